//! From what was read to what is committed, for every duty that touches leases: pure functions, no IO.
//!
//! Each returns the transaction with all its guards, or nothing when there is nothing to do. The async shell and the
//! model checker call the same functions, so what is checked is what runs.

use std::time::Duration;

use domain::entity::FOLLOWUPS;
use domain::job::{ProvenLease, State, Waits, apply, leases_set};
use domain::plan::{Beat, LaneDemand, ReapPlan, plan_beat};
use domain::{
    AgentId, AgentRef, Cause, Entity as _, Job, JobEvent, Lane, Move, Place, Refused, Step, Timestamp,
};
use nexus::{Class, Demand, Guard, Hold, Move as SetMove, Score, Taken, Transaction, TxId, Version};

use crate::claim::Claimant;
use crate::keys;
use crate::record::{self, BeatRecord, Stored};
use crate::transaction::{StoredJob, changed};

/// What is asked of the nexus for one claimant: the best-placed jobs of its lanes, held until `held_until`, each with
/// its record and its spec.
pub fn take(demand: &LaneDemand, held_until: Score) -> Demand {
    Demand {
        sets: demand.lanes.iter().map(Lane::set).collect(),
        n: demand.n.min(nexus::limits::TAKE_MEMBERS_MAX),
        up_to: Score::MAX,
        hold: Hold {
            set: keys::HELD.to_owned(),
            until: held_until,
        },
        with: vec![keys::JOB_PREFIX.to_owned(), keys::SPEC_PREFIX.to_owned()],
    }
}

/// The claim of a job that was taken from its lane and is held until `held_until`.
///
/// # Errors
/// The job is not claimable any more.
pub fn claim(
    id: TxId,
    before: &StoredJob,
    agent: &AgentRef,
    held_until: Score,
    (now, ttl): (Timestamp, Duration),
) -> Result<(Transaction, Job), Refused> {
    let step = moved(apply(
        before.job(),
        JobEvent::Claimed { agent: agent.clone() },
        now,
    )?);
    let Some(step) = step else {
        return Err(Refused::NotClaimable {
            state: before.job().state.name(),
        });
    };
    let job = step.next.clone();
    let ulid = job.id.ulid().to_owned();
    let mut tx = changed(id, before, step, now, Some(now.plus(ttl)));
    tx.guards.push(Guard::Member(
        keys::HELD.to_owned(),
        ulid.clone(),
        Some(held_until),
    ));
    // The take has moved it out of the lane already.
    tx.moves.retain(|step| step.set != before.job().lane.set());
    tx.moves.push(SetMove {
        set: keys::HELD.to_owned(),
        member: ulid,
        score: None,
    });
    Ok((tx, job))
}

/// Where the deadline of a lease stands that begins now.
pub(crate) fn lease_end((now, ttl): (Timestamp, Duration)) -> Score {
    Score::saturating(now.plus(ttl).as_millis())
}

/// The claim of a lease that the nexus forgot, committed anew for the agent that proves it. Where the job stands by now,
/// in its lane, held for somebody else's claim or at a timer, it leaves.
pub fn readopt(
    id: TxId,
    before: &StoredJob,
    lease: &ProvenLease,
    agent: &AgentRef,
    (now, ttl): (Timestamp, Duration),
) -> Option<Transaction> {
    let step = moved(domain::job::readopt(before.job(), lease, agent.clone(), now).ok()?)?;
    let mut tx = changed(id, before, step, now, Some(now.plus(ttl)));
    tx.moves.push(SetMove {
        set: keys::HELD.to_owned(),
        member: before.job().id.ulid().to_owned(),
        score: None,
    });
    Some(tx)
}

/// A lease that is to be renewed, as it was read.
#[derive(Debug, Clone, Copy)]
pub struct Lease<'a> {
    /// Who holds it.
    pub agent: &'a AgentId,
    /// The attempt.
    pub attempt: u32,
    /// Where it stands.
    pub deadline: Score,
}

/// The renewal of a lease, when it is still that agent's.
///
/// A deadline never goes back: a renewal that was held up on its way is refused once another one has moved it.
pub fn renew(
    id: TxId,
    before: &StoredJob,
    lease: &Lease<'_>,
    when: (Timestamp, Duration),
) -> Option<Transaction> {
    let until = lease_end(when).max(lease.deadline);
    move_deadline(id, before, lease, until)
}

/// The renewal of a lease that its agent is told of for the first time, and where its deadline stands then: always
/// elsewhere, which is what tells a lease that was told from one that was not.
pub fn tell(
    id: TxId,
    before: &StoredJob,
    lease: &Lease<'_>,
    when: (Timestamp, Duration),
) -> Option<(Transaction, Score)> {
    let later = Score::saturating(lease.deadline.get().saturating_add(1));
    let until = lease_end(when).max(later);
    Some((move_deadline(id, before, lease, until)?, until))
}

/// What a give-back of a lease wants besides its step: that the agent was not told of it, so its deadline is where its
/// claim has put it.
pub fn untold(agent: &AgentId, ulid: &str, deadline: Score) -> Guard {
    Guard::Member(leases_set(agent), ulid.to_owned(), Some(deadline))
}

fn move_deadline(id: TxId, before: &StoredJob, lease: &Lease<'_>, until: Score) -> Option<Transaction> {
    let job = before.job();
    let held = matches!(&job.state, State::Running(running) if running.agent.id == *lease.agent);
    if !held || job.attempt != lease.attempt {
        return None;
    }
    let (set, member) = (leases_set(lease.agent), job.id.ulid().to_owned());
    let mut tx = Transaction::new(id, Class::Relief);
    tx.guards.push(before.guard());
    tx.guards
        .push(Guard::Member(set.clone(), member.clone(), Some(lease.deadline)));
    tx.moves.push(SetMove {
        set,
        member,
        score: Some(until),
    });
    Some(tx)
}

/// What the reaper read of an overdue lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    /// The set of its agent.
    pub set: String,
    /// The deadline that was read: a lease that was renewed since has another, and is not taken.
    pub deadline: Score,
    /// The version of the beat that allowed to reap: a grace that began since forbids it.
    pub beat: Version,
}

/// The taking of an overdue lease: the step it makes and the guards that only a taking has.
pub fn reap(before: &StoredJob, overdue: &Overdue, now: Timestamp) -> Option<(Move<Job>, Vec<Guard>)> {
    let job = before.job();
    let event = JobEvent::LeaseTaken {
        attempt: job.attempt,
        cause: Cause::LeaseLost,
    };
    let step = moved(apply(job, event, now).ok()?)?;
    let member = job.id.ulid().to_owned();
    let guards = vec![
        Guard::Member(overdue.set.clone(), member, Some(overdue.deadline)),
        Guard::Record(keys::BEAT.to_owned(), Some(overdue.beat)),
    ];
    Some((step, guards))
}

/// One tick of a reaper: what it may do, and the transaction that leaves its beat. Nothing when another reaper ticked a
/// moment ago.
pub fn beat(
    id: TxId,
    last: Option<&(Version, Stored<BeatRecord>)>,
    now: Timestamp,
    ttl_max: Duration,
) -> Option<(ReapPlan, Transaction)> {
    let known = last.map(|(_, record)| Beat {
        at: record.value.at,
        grace_until: record.value.grace_until,
    });
    let plan = plan_beat(known, now, ttl_max);
    let grace_until = match (plan, known) {
        (ReapPlan::Rest, _) => return None,
        (ReapPlan::Grace { until }, _) => until,
        (ReapPlan::Wait | ReapPlan::Reap, Some(beat)) => beat.grace_until,
        (ReapPlan::Wait | ReapPlan::Reap, None) => now,
    };
    let record = BeatRecord { at: now, grace_until };
    let bytes = match last {
        Some((_, last)) => last.rewritten(&record),
        None => record::encode(&record),
    };
    let mut tx = Transaction::new(id, Class::Relief);
    tx.guards.push(Guard::Record(
        keys::BEAT.to_owned(),
        last.map(|(version, _)| *version),
    ));
    tx.puts.push((keys::BEAT.to_owned(), bytes));
    Some((plan, tx))
}

/// The end of a hold that nobody claimed: back to the lane if the job is still claimable.
pub fn return_held(id: TxId, ulid: &str, held_until: Score, before: Option<&StoredJob>) -> Transaction {
    let mut tx = Transaction::new(id, Class::Relief);
    tx.guards.push(Guard::Member(
        keys::HELD.to_owned(),
        ulid.to_owned(),
        Some(held_until),
    ));
    tx.moves.push(SetMove {
        set: keys::HELD.to_owned(),
        member: ulid.to_owned(),
        score: None,
    });
    let claimable = |stored: &&StoredJob| {
        matches!(
            stored.job().state,
            State::Queued {
                waits: Waits::Nothing
            }
        )
    };
    if let Some(stored) = before.filter(claimable) {
        let lane = stored.job().lane.set();
        let turn = stored
            .job()
            .places()
            .get(&(lane.clone(), ulid.to_owned()))
            .copied();
        if let Some(Place::At(score)) = turn {
            tx.guards.push(stored.guard());
            tx.hints.push(lane.clone());
            tx.moves.push(SetMove {
                set: lane,
                member: ulid.to_owned(),
                score: Some(Score::saturating(score)),
            });
        }
    }
    tx
}

/// The removal of a follow-up of a group in which nobody waits any more. `stands_at` is the score that was read.
pub fn group_is_served(id: TxId, member: &str, waiting_set: &str, stands_at: Score) -> Transaction {
    let mut tx = Transaction::new(id, Class::Relief);
    tx.guards.push(Guard::Member(
        FOLLOWUPS.to_owned(),
        member.to_owned(),
        Some(stands_at),
    ));
    tx.guards.push(Guard::Room(waiting_set.to_owned(), 0));
    tx.moves.push(SetMove {
        set: FOLLOWUPS.to_owned(),
        member: member.to_owned(),
        score: None,
    });
    tx
}

/// Unwraps a step: nothing for a replay.
pub fn moved(step: Step<Job>) -> Option<Move<Job>> {
    match step {
        Step::Moved(step) => Some(*step),
        Step::Same => None,
    }
}

/// The first claimants, as many as make one take that the nexus accepts.
pub(crate) fn within_one_take(claimants: &[Claimant]) -> &[Claimant] {
    let mut members = 0_usize;
    let fits = |claimant: &&Claimant| {
        members = members.saturating_add(claimant.demand.n);
        members <= nexus::limits::TAKE_MEMBERS_MAX
    };
    let n = claimants
        .iter()
        .take(nexus::limits::DEMANDS_MAX)
        .take_while(fits)
        .count();
    // One that asks for too much alone is served as far as one take goes.
    let n = n.max(1).min(claimants.len());
    claimants.get(..n).unwrap_or(claimants)
}

/// What to take for all of these claimants: one demand for neighbours that want jobs of the same lanes, and how many
/// claimants share each.
pub(crate) fn shared_demands(claimants: &[Claimant], held_until: Score) -> (Vec<Demand>, Vec<usize>) {
    let (mut demands, mut sharers) = (Vec::new(), Vec::new());
    for sharing in claimants.chunk_by(|one, next| one.demand.lanes == next.demand.lanes) {
        let Some(first) = sharing.first() else { continue };
        let n = sharing
            .iter()
            .fold(0_usize, |n, claimant| n.saturating_add(claimant.demand.n));
        let lanes = first.demand.lanes.clone();
        demands.push(take(&LaneDemand { lanes, n }, held_until));
        sharers.push(sharing.len());
    }
    (demands, sharers)
}

/// What was taken, by claimant: of those that share a demand, the first gets the best-placed jobs.
pub(crate) fn shared_out(
    taken: Vec<Vec<Taken>>,
    claimants: &[Claimant],
    sharers: &[usize],
) -> Vec<Vec<Taken>> {
    let (mut shares, mut claimants) = (Vec::with_capacity(claimants.len()), claimants.iter());
    for (taken, n) in taken.into_iter().zip(sharers) {
        let mut taken = taken.into_iter();
        for claimant in claimants.by_ref().take(*n) {
            shares.push(taken.by_ref().take(claimant.demand.n).collect());
        }
    }
    shares
}
