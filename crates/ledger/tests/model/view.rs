//! What of a world counts: everything that can make a difference from now on, and nothing of how it came to be.

use std::collections::BTreeSet;

use domain::job::{AttemptEnd, LastEnd, State, StateName, leases_set};
use domain::{AgentId, Cause};

use ledger::keys;
use ledger::transaction::StoredJob;
use nexus::{Guard, Set};

use crate::bounds::Bounds;
use crate::promises::Promise;
use crate::sample::time;
use crate::world::{Agent, Lease, Left, Message, Target, Work, World};

/// After so many ticks without a beat it makes no difference how many more.
const AGE_MAX: u64 = 2;

/// A world as far as its future is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct View {
    jobs: Vec<JobView>,
    standing: Vec<(Set, usize, u64)>,
    beat: Option<(u64, u64)>,
    agents: Vec<Agent>,
    coordinators: Vec<WorkView>,
    wire: BTreeSet<Message>,
    left: Option<Left>,
    broken: BTreeSet<Promise>,
    served_for: u64,
    witnessed: (bool, bool, BTreeSet<usize>, BTreeSet<usize>),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct JobView {
    state: StateName,
    cause: Option<Cause>,
    agent: Option<AgentId>,
    cancel: bool,
    attempt: u32,
    charged: u32,
    given_back: u32,
    last_end: Option<LastEnd>,
    ended: Vec<(u32, AttemptEnd)>,
}

/// A coordinator's work. What it read counts only while it is current: a commit on anything else is refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum WorkView {
    Idle,
    Taken {
        agent: (usize, u8),
        job: (usize, bool),
        hold_stands: bool,
        age: u64,
    },
    Untold {
        agent: (usize, u8),
        job: usize,
        attempt: u32,
        deadline_stands: bool,
    },
    Renewing {
        agent: (usize, u8),
        job: (usize, bool),
        deadline_stands: bool,
        age: u64,
    },
    Handling {
        message: Message,
        is_current: bool,
    },
    BeatRead {
        is_current: bool,
        age: u64,
    },
    Reaping {
        targets: Vec<TargetView>,
        served: bool,
    },
    Returning {
        job: (usize, bool),
        hold_stands: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct TargetView {
    job: (usize, bool),
    deadline_stands: bool,
    beat_stands: bool,
    renewed: bool,
}

impl View {
    pub(crate) fn of(world: &World, bounds: &Bounds) -> Self {
        let pool = &world.pool;
        let now = time(world.now).as_millis();
        let from_now = |(set, job, score): (Set, usize, nexus::Score)| {
            let ahead = if set.starts_with("lane/") {
                score.get()
            } else {
                score.get().saturating_sub(now)
            };
            (set, job, ahead)
        };
        let beat = pool.beat().map(|(_, beat)| {
            let age = now.saturating_sub(beat.value.at.as_millis());
            let grace = beat.value.grace_until.as_millis().saturating_sub(now);
            (age.min(time(AGE_MAX).as_millis()), grace)
        });
        let mut coordinators: Vec<WorkView> = world
            .coordinators
            .iter()
            .map(|work| work_view(work, world, bounds))
            .collect();
        coordinators.sort();
        Self {
            jobs: (0..pool.n_jobs()).map(|n| job_view(world, n)).collect(),
            standing: pool.standing().into_iter().map(from_now).collect(),
            beat,
            agents: world
                .agents
                .iter()
                .map(|agent| agent_view(agent, world.now))
                .collect(),
            coordinators,
            wire: world.wire.clone(),
            left: Some(world.left),
            broken: world.ghost.broken.clone(),
            served_for: (world.now - world.ghost.served_since).min(bounds.ttl),
            witnessed: (
                world.ghost.returned,
                world.ghost.saved,
                world.ghost.graced.clone(),
                world.ghost.cancels.clone(),
            ),
        }
    }
}

fn job_view(world: &World, n: usize) -> JobView {
    let job = world.pool.job(n).job();
    let (cause, agent, cancel) = match &job.state {
        State::Running(running) => (None, Some(running.agent.id.clone()), running.cancel.is_some()),
        State::Failed { cause, .. } => (Some(cause.clone()), None, false),
        State::Queued { .. } | State::Succeeded { .. } | State::Cancelled { .. } => (None, None, false),
    };
    JobView {
        state: job.state.name(),
        cause,
        agent,
        cancel,
        attempt: job.attempt,
        charged: job.charged,
        given_back: job.given_back,
        last_end: job.last_end,
        ended: world
            .pool
            .ended(n)
            .map(|attempt| (attempt.number, attempt.end.clone()))
            .collect(),
    }
}

fn agent_view(agent: &Agent, now: u64) -> Agent {
    let lease = agent.lease.clone().map(|lease| Lease {
        fence_at: lease.fence_at.saturating_sub(now),
        ..lease
    });
    Agent { lease, ..*agent }
}

fn work_view(work: &Work, world: &World, bounds: &Bounds) -> WorkView {
    let pool = &world.pool;
    let read = |job: usize, before: &StoredJob| (job, pool.job(job).version == before.version);
    let age = |read_at: u64| (world.now - read_at).min(bounds.ttl.max(AGE_MAX));
    match work {
        Work::Idle => WorkView::Idle,
        Work::Taken {
            agent,
            process,
            job,
            before,
            held_until,
            read_at,
        } => WorkView::Taken {
            agent: (*agent, *process),
            job: read(*job, before),
            hold_stands: pool.score(keys::HELD, *job) == Some(*held_until),
            age: age(*read_at),
        },
        Work::Untold {
            agent,
            process,
            job,
            attempt,
            deadline,
            read_at: _,
        } => WorkView::Untold {
            agent: (*agent, *process),
            job: *job,
            attempt: *attempt,
            deadline_stands: deadline_of(world, (*agent, *process), *job) == Some(*deadline),
        },
        Work::Renewing {
            agent,
            process,
            job,
            tx,
            before,
            read_at,
        } => WorkView::Renewing {
            agent: (*agent, *process),
            job: read(*job, before),
            deadline_stands: tx.guards.iter().all(|guard| match guard {
                Guard::Member(set, _, score) => pool.score(set, *job) == *score,
                Guard::Record(..) | Guard::Room(..) | Guard::LogLen(..) => true,
            }),
            age: age(*read_at),
        },
        Work::Handling { message, before, .. } => WorkView::Handling {
            message: message.clone(),
            is_current: read(message.job(), before).1,
        },
        Work::BeatRead { last, read_at } => WorkView::BeatRead {
            is_current: last.as_ref().map(|(version, _)| *version) == pool.beat().map(|(version, _)| version),
            age: age(*read_at),
        },
        Work::Reaping {
            targets,
            read_at,
            served_since,
        } => WorkView::Reaping {
            targets: targets.iter().map(|target| target_view(target, world)).collect(),
            served: served_since + bounds.ttl <= *read_at,
        },
        Work::Returning { job, until, before } => WorkView::Returning {
            job: read(*job, before),
            hold_stands: pool.score(keys::HELD, *job) == Some(*until),
        },
    }
}

fn deadline_of(world: &World, (agent, process): (usize, u8), job: usize) -> Option<nexus::Score> {
    let leases = leases_set(&crate::sample::agent(agent, process).id);
    world.pool.score(&leases, job)
}

fn target_view(target: &Target, world: &World) -> TargetView {
    let pool = &world.pool;
    TargetView {
        job: (target.job, pool.job(target.job).version == target.before.version),
        deadline_stands: pool.score(&target.overdue.set, target.job) == Some(target.overdue.deadline),
        beat_stands: pool.beat().map(|(version, _)| version) == Some(target.overdue.beat),
        renewed: target.renewed,
    }
}
