//! How much of the world a run of the model looks at: how many jobs, which faults and how often, how deep.
//!
//! Time is counted in ticks of three seconds, the coarsest step that still tells a missed beat (more than five
//! seconds) from a punctual one.

use std::time::Duration;

use domain::Cause;
use domain::job::RunEnd;

/// One step of the model's clock.
pub(crate) const TICK: Duration = Duration::from_secs(3);

/// What is explored.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    pub(crate) jobs: usize,
    pub(crate) max_attempts: u32,
    /// The TTL of a lease, in ticks.
    pub(crate) ttl: u64,
    /// How often an agent's process may die.
    pub(crate) deaths: u8,
    /// How often a lease may be given back.
    pub(crate) give_backs: u8,
    /// Whether each job may be cancelled, at any time.
    pub(crate) cancels: bool,
    /// Whether replies may be lost on their way.
    pub(crate) lost_replies: bool,
    /// How a run may end.
    pub(crate) ends: &'static [End],
    /// Whether states are told apart by what is needed to see good things happen. It costs states.
    pub(crate) witnesses: bool,
    /// How many steps to look ahead; none: until nothing new is found.
    pub(crate) depth: Option<usize>,
    /// How many states to generate at least, repetitions included, before giving up.
    pub(crate) generated: Option<usize>,
}

/// How a run ends, as its agent says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum End {
    /// Exit 0.
    Success,
    /// Exit 1: the program's own failure.
    Failure,
    /// The machinery's failure.
    DiskFull,
    /// Killed for a cancel.
    Cancelled,
    /// The agent died; its successor says so.
    AgentDied,
}

impl End {
    /// The same in the words of the rules.
    pub(crate) fn run_end(self) -> RunEnd {
        match self {
            Self::Success => RunEnd::Succeeded,
            Self::Failure => RunEnd::Failed(Cause::Exit { code: 1 }),
            Self::DiskFull => RunEnd::Failed(Cause::Disk),
            Self::Cancelled => RunEnd::Cancelled,
            Self::AgentDied => RunEnd::Failed(Cause::AgentDied),
        }
    }
}

impl Bounds {
    /// The longest TTL that an agent may have: so long that one missed tick is an outage and a punctual one is not.
    pub(crate) fn ttl_max(&self) -> Duration {
        TICK * u32::try_from(self.grace()).expect("a TTL has few ticks")
    }

    /// How many ticks a grace lasts.
    pub(crate) const fn grace(&self) -> u64 {
        self.ttl + 1
    }

    /// One job and every fault.
    pub(crate) fn faults() -> Self {
        Self {
            jobs: 1,
            max_attempts: 2,
            ttl: 2,
            deaths: 1,
            give_backs: 1,
            cancels: true,
            lost_replies: true,
            ends: &[End::Success, End::DiskFull],
            witnesses: false,
            depth: Some(9),
            generated: None,
        }
    }

    /// One job that is leased, renewed, taken and leased again: few faults, more steps.
    pub(crate) fn leases() -> Self {
        Self {
            deaths: 0,
            give_backs: 0,
            cancels: false,
            lost_replies: false,
            ends: &[End::Success],
            depth: Some(20),
            ..Self::faults()
        }
    }

    /// One job about which requests arrive late and more than once.
    pub(crate) fn requests() -> Self {
        Self {
            deaths: 0,
            lost_replies: false,
            depth: Some(11),
            ..Self::faults()
        }
    }

    /// Two jobs that compete for two agents.
    pub(crate) fn pair() -> Self {
        Self {
            jobs: 2,
            max_attempts: 1,
            depth: Some(8),
            ..Self::leases()
        }
    }

    /// Every state of one job: until nothing new is found.
    pub(crate) fn nightly() -> Self {
        Self {
            ends: &[End::Success, End::Failure, End::DiskFull],
            depth: None,
            generated: Some(12_000_000),
            ..Self::faults()
        }
    }

    /// Two jobs with every fault, as far as memory allows.
    pub(crate) fn nightly_pair() -> Self {
        Self {
            jobs: 2,
            depth: None,
            generated: Some(6_000_000),
            ..Self::faults()
        }
    }
}
