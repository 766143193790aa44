//! Everything that is known of one campaign, from four sides that do not depend on each other.
//!
//! Clients note each call, agents log each run ([`Turn`]), the jobs themselves leave marks, and the nexus has the journal
//! and the records. All times of this host are of one clock ([`Moment`]); what the nexus wrote has its own time, which
//! [`History::moment`] translates. The checker reads this and nothing else, so any history can be judged again.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::job::StateName;
use domain::{Cause, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// The part of a job's id that names it within its pool.
pub type Ulid = String;

/// A point in time on this host: nanoseconds of `CLOCK_BOOTTIME`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// Now.
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        let nanos = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
        Self(u64::try_from(nanos).unwrap_or_default())
    }

    /// So much later.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A time from one moment to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stretch {
    /// Its begin.
    pub from: Moment,
    /// Its end.
    pub to: Moment,
}

impl Stretch {
    /// How long both last together.
    pub fn overlap(self, other: Self) -> Duration {
        self.to.min(other.to).since(self.from.max(other.from))
    }

    /// Whether they share a moment.
    pub fn meets(self, other: Self) -> bool {
        self.from <= other.to && other.from <= self.to
    }

    /// The same with an end so much later.
    #[must_use]
    pub fn and_after(self, span: Duration) -> Self {
        Self {
            to: self.to.plus(span),
            ..self
        }
    }
}

/// What the campaign was run with, as far as a verdict depends on it.
#[derive(Clone, Debug)]
pub struct Terms {
    /// How long leases live.
    pub lease_ttl: Duration,
    /// A job that a calm system with idle agents does not claim within this was not woken for.
    pub claimed_within: Duration,
    /// How much calm time a requested cancel may take.
    pub cancelled_within: Duration,
    /// How long two attempts may seem to run at once: what marks and schedulers are off by.
    pub overlap_max: Duration,
}

/// One call of a client.
#[derive(Clone, Debug)]
pub struct Call {
    /// What was asked.
    pub request: Request,
    /// When it was sent.
    pub invoked_at: Moment,
    /// When its outcome was known.
    pub returned_at: Moment,
    /// Its outcome.
    pub reply: Reply,
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A job with this idempotency key, which is its name too.
    Submit {
        /// The key.
        key: String,
        /// The job is another than the key stands for already.
        is_another: bool,
    },
    /// The end of a job.
    Cancel {
        /// The job.
        job: Ulid,
    },
}

/// What a client hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The job is accepted.
    Submitted(Ulid),
    /// It is done.
    Done,
    /// It is refused, with this code.
    Refused(String),
    /// Nobody knows: no answer, a broken one, or one that says to try again.
    Unknown(String),
}

/// What a reader saw of a job while the campaign went on.
#[derive(Clone, Debug)]
pub struct Sight {
    /// The job.
    pub job: Ulid,
    /// When the answer was there.
    pub at: Moment,
    /// Its state.
    pub state: StateName,
    /// Its newest attempt.
    pub attempt: u32,
    /// The digests of its facts, when those were asked for.
    pub facts: Option<Vec<String>>,
}

/// What an agent logs of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The agent's name.
    pub agent: String,
    /// The agent's process start.
    pub agent_id: String,
    /// The job.
    pub job: Ulid,
    /// The attempt.
    pub attempt: u32,
    /// What happened.
    pub event: RunEvent,
    /// When.
    pub at: Moment,
}

/// What happens to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEvent {
    /// Its command runs.
    Started,
    /// It was stopped, since its lease may run out.
    Frozen,
    /// It goes on.
    Thawed,
    /// Its processes are gone.
    Ended,
}

/// A line that a job wrote by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The job.
    pub job: Ulid,
    /// The attempt.
    pub attempt: u32,
    /// Which one.
    pub step: Step,
    /// When, to 10 ms.
    pub at: Moment,
}

/// How far a job's program has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It begins.
    First,
    /// It goes on.
    More,
    /// It is about to exit.
    Last,
}

/// Something that was done to the system.
#[derive(Clone, Debug)]
pub struct Hit {
    /// To whom.
    pub target: Target,
    /// What.
    pub blow: Blow,
    /// From its begin to its repair. A process that was killed is up again then.
    pub stretch: Stretch,
}

/// Who is hit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// One coordinator, by its number.
    Coordinator(usize),
    /// All coordinators.
    Coordinators,
    /// One agent, by its name.
    Agent(String),
    /// The nexus.
    Nexus,
}

/// What a hit means for whoever judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// The process was killed.
    Killed,
    /// The process was stopped and went on.
    Stopped,
    /// It was cut off.
    CutOff,
    /// It was slow, or forgot something, or lost a reply.
    Disturbed,
    /// Its clock was off by at most this.
    ClockOff(Duration),
}

/// One fact of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The job.
    pub job: Ulid,
    /// When, by the nexus's clock.
    pub at: Timestamp,
    /// The job's state after it.
    pub state: StateName,
    /// What happened.
    pub what: What,
    /// Its digest.
    pub digest: String,
}

/// What a fact says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It was accepted.
    Submitted,
    /// Its time came.
    Due,
    /// Its group had room.
    Admitted,
    /// It was leased to the agent of this name and id.
    Claimed {
        /// The attempt.
        attempt: u32,
        /// The agent's name.
        agent: String,
        /// The agent's process start.
        agent_id: String,
    },
    /// Its agent reported an end.
    Finished(u32),
    /// Its agent returned it unstarted.
    GivenBack(u32),
    /// The reaper took it.
    Taken(u32, Cause),
    /// Somebody asked to cancel it.
    CancelRequested,
    /// It can never run.
    Rejected,
    /// Its record could not be read, or could be again.
    Unreadable,
}

/// A job as it was in the end.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name: the idempotency key.
    pub name: String,
    /// Its state.
    pub state: StateName,
    /// Its newest attempt.
    pub attempt: u32,
    /// Its charged attempts.
    pub charged: u32,
    /// How many may be.
    pub max_attempts: u32,
    /// Why it failed.
    pub cause: Option<Cause>,
    /// With what its program ends when it is let.
    pub exit: i32,
    /// Not to be claimed before.
    pub not_before: Option<Timestamp>,
    /// The zone that it requires.
    pub zone: Option<String>,
    /// Its group and how many of that may run.
    pub group: Option<(String, u32)>,
    /// The logs of its attempts whose ends were reported.
    pub logs: BTreeMap<u32, String>,
    /// The digests of its facts, as the API tells them.
    pub events: Vec<String>,
}

/// Everything.
#[derive(Clone, Debug)]
pub struct History {
    /// What it was run with.
    pub terms: Terms,
    /// The nexus's time at [`Moment`] 0, in milliseconds.
    pub nexus_zero_ms: u64,
    /// When it was over.
    pub collected_at: Moment,
    /// What clients asked.
    pub calls: Vec<Call>,
    /// What readers saw.
    pub sights: Vec<Sight>,
    /// The zone of each agent, by name.
    pub zones: BTreeMap<String, String>,
    /// What agents logged, in the order of each agent's process.
    pub turns: Vec<Turn>,
    /// What jobs wrote.
    pub marks: Vec<Mark>,
    /// What was done to the system.
    pub hits: Vec<Hit>,
    /// When this machine did not run us for a while: whatever was late then may have been late for that.
    pub stalls: Vec<Stretch>,
    /// The journal, in its order.
    pub facts: Vec<Fact>,
    /// The jobs as they were in the end.
    pub jobs: BTreeMap<Ulid, Job>,
    /// Jobs that were submitted in the end, when all was calm and every agent idle.
    pub probes: Vec<Ulid>,
    /// What `fsck` found.
    pub findings: Vec<String>,
    /// Processes of jobs that were there when nothing ran any more.
    pub left_over: Vec<String>,
}

impl History {
    /// The moment of a time of the nexus.
    pub const fn moment(&self, at: Timestamp) -> Moment {
        Moment(at.0.saturating_sub(self.nexus_zero_ms).saturating_mul(1_000_000))
    }

    /// The facts of one job, in their order.
    pub fn facts_of<'a>(&'a self, job: &'a str) -> impl Iterator<Item = &'a Fact> {
        self.facts.iter().filter(move |fact| fact.job == job)
    }

    /// How long a stretch was without hits and stalls. A hit goes on for as long as a lease lives: what it held up is
    /// over only then.
    pub fn calm(&self, within: Stretch) -> Duration {
        let hits = self
            .hits
            .iter()
            .map(|hit| hit.stretch.and_after(self.terms.lease_ttl));
        let mut busy: Vec<Stretch> = hits.chain(self.stalls.iter().copied()).collect();
        busy.sort();
        let (mut calm, mut at) = (Duration::ZERO, within.from);
        for stretch in busy {
            calm += stretch.from.min(within.to).since(at);
            at = at.max(stretch.to);
        }
        calm + within.to.since(at)
    }
}
