//! The mapping from a domain step to a nexus transaction: pure, and the only place that knows both.
//!
//! A change of a job is one record, one journal entry, the difference of its places, its follow-ups and its hints, all
//! in one transaction that is guarded by the version of the record that the decision was made on.

use domain::entity::FOLLOWUPS;
use domain::job::{State, Waits, leases_set};
use domain::{Digest, Entity as _, Job, JobId, JobSpec, Move, Place, Places, Timestamp};
use nexus::{Append, Class, Guard, Move as SetMove, Record, Score, Transaction, TxId, Version};

use crate::chain::{CHAIN_START, JournalEntry};
use crate::keys;
use crate::record::{self, AttemptsRecord, JobRecord, Stored, Undecodable};

/// A job as it was read, with the version to guard on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoredJob {
    /// The version that was read.
    pub version: Version,
    /// The content.
    pub record: Stored<JobRecord>,
}

impl StoredJob {
    /// Decodes a job's record.
    ///
    /// # Errors
    /// The record is damaged or of another version.
    pub fn read(ulid: &str, stored: &Record) -> Result<Self, Undecodable> {
        let record = Stored::decode(&keys::job(ulid), stored.bytes.clone())?;
        Ok(Self {
            version: stored.version,
            record,
        })
    }

    /// The job.
    pub const fn job(&self) -> &Job {
        &self.record.value.job
    }

    /// The job, and nothing else.
    pub fn into_job(self) -> Job {
        self.record.value.job
    }

    /// The digest of the job's newest fact.
    pub const fn head(&self) -> Digest {
        self.record.value.head
    }

    /// The guard that the job has not changed since it was read.
    pub fn guard(&self) -> Guard {
        Guard::Record(keys::job(self.job().id.ulid()), Some(self.version))
    }
}

/// The transaction that brings a job into being.
pub fn created(id: TxId, step: Move<Job>, spec: &JobSpec, now: Timestamp) -> Transaction {
    let ulid = step.next.id.ulid().to_owned();
    let mut tx = Transaction::new(id, Class::Growth);
    tx.guards.push(Guard::Record(keys::job(&ulid), None));
    tx.puts.push((keys::spec(&ulid), spec.canonical()));
    write(&mut tx, None, step, now);
    tx
}

/// The transaction that changes a job. `lease_end` is where a new lease's deadline stands.
pub fn changed(
    id: TxId,
    before: &StoredJob,
    step: Move<Job>,
    now: Timestamp,
    lease_end: Option<Timestamp>,
) -> Transaction {
    let mut tx = Transaction::new(id, Class::Relief);
    tx.guards.push(before.guard());
    write(&mut tx, Some(before), step, now);
    if let Some(end) = lease_end {
        place_lease(&mut tx, end);
    }
    tx
}

/// Adds the record of ended attempts, when this step ended one and the job goes on.
pub fn keep_attempt(
    tx: &mut Transaction,
    id: &JobId,
    ended: domain::job::Attempt,
    earlier: &Stored<AttemptsRecord>,
) {
    let mut attempts = earlier.value.clone();
    attempts.ended.push(ended);
    tx.puts.push((keys::attempts(id), earlier.rewritten(&attempts)));
}

fn write(tx: &mut Transaction, before: Option<&StoredJob>, step: Move<Job>, now: Timestamp) {
    let Move {
        next,
        fact,
        followups,
        ended: _,
    } = step;
    let ulid = next.id.ulid().to_owned();
    let entry = JournalEntry {
        ulid: ulid.clone(),
        at: now,
        state: next.state.name(),
        fact,
        prev: before.map_or(CHAIN_START, StoredJob::head),
    };
    let (bytes, head) = entry.seal();
    tx.appends.push(Append {
        log: keys::JOURNAL.to_owned(),
        thread: Some(ulid.clone()),
        bytes,
    });
    let places = before.map_or_else(Places::new, |before| before.job().places());
    tx.moves = moves(&places, &next.places());
    for followup in &followups {
        tx.moves.push(SetMove {
            set: FOLLOWUPS.to_owned(),
            member: followup.member(),
            score: Some(Score::saturating(now.as_millis())),
        });
    }
    tx.hints = hints(&next, !followups.is_empty());
    let record = JobRecord { job: next, head };
    let bytes = match before {
        Some(before) => before.record.rewritten(&record),
        None => record::encode(&record),
    };
    tx.puts.push((keys::job(&ulid), bytes));
}

/// The set moves that lead from one value's places to the next one's.
fn moves(before: &Places, after: &Places) -> Vec<SetMove> {
    let left = before
        .keys()
        .filter(|key| !after.contains_key(*key))
        .map(|(set, member)| SetMove {
            set: set.clone(),
            member: member.clone(),
            score: None,
        });
    let entered = after
        .iter()
        .filter(|(key, place)| before.get(*key) != Some(place));
    let entered = entered.map(|((set, member), place)| SetMove {
        set: set.clone(),
        member: member.clone(),
        score: Some(match place {
            Place::At(score) => Score::saturating(*score),
            // Put right by `place_lease`; a lease that nobody placed is overdue at once, not immortal.
            Place::Somewhere => Score::ZERO,
        }),
    });
    left.chain(entered).collect()
}

fn place_lease(tx: &mut Transaction, end: Timestamp) {
    let family = format!("{}/", domain::job::AGENT_LEASES_FAMILY);
    for step in tx
        .moves
        .iter_mut()
        .filter(|step| step.set.starts_with(&family) && step.score.is_some())
    {
        step.score = Some(Score::saturating(end.as_millis()));
    }
}

/// Who should look: agents at the lane, duties at what is due, waiting requests at the job.
fn hints(job: &Job, has_followups: bool) -> Vec<String> {
    let mut hints = vec![keys::job_hint(job.id.ulid())];
    match &job.state {
        State::Queued {
            waits: Waits::Nothing,
        } => hints.push(job.lane.set()),
        // Its agent learns of the cancel by renewing, and this makes it renew now.
        State::Running(running) if running.cancel.is_some() => hints.push(leases_set(&running.agent.id)),
        State::Queued {
            waits: Waits::Until(_) | Waits::ForGroup,
        }
        | State::Running(_)
        | State::Succeeded { .. }
        | State::Failed { .. }
        | State::Cancelled { .. } => {}
    }
    if has_followups {
        hints.push(FOLLOWUPS.to_owned());
    }
    hints
}
