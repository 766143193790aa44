//! Records that nobody can read: put aside, on record, in nobody's way, and put back by whoever can read them.
//!
//! A job whose record cannot be read would be met again and again where it stands: at the head of its lane, among the
//! holds, the timers, the overdue leases. So whoever meets it moves it into the set [`QUARANTINE`], with a fact in the
//! journal. The record itself is left alone. Every sweep looks whether this version can read one after all, because it
//! was repaired or because this coordinator is newer, and puts the job back to where its record says.

use std::time::Duration;

use domain::job::StateName;
use domain::{Entity as _, JobFact, JobId, JobSpec, Place, Timestamp};
use nexus::{Append, Ascending, Class, Discard, Durability, Guard, Move, Score, Transaction};

use crate::chain::JournalEntry;
use crate::error::LedgerError;
use crate::keys::{self, QUARANTINE};
use crate::ledger::Ledger;
use crate::record::{self, QuarantineRecord};
use crate::transaction::StoredJob;

/// Characters of a reason that are kept.
const WHY_CHARS_MAX: usize = 300;
/// Quarantined jobs that a sweep looks at, and that are listed.
pub const QUARANTINED_MAX: usize = nexus::limits::PAGE_MAX;

/// A job that cannot be read where it stands.
#[derive(Debug)]
pub(crate) struct Unreadable {
    set: String,
    ulid: String,
    stands_at: Score,
    why: String,
}

impl Unreadable {
    pub(crate) fn new(set: &str, ulid: String, stands_at: Score, why: &LedgerError) -> Self {
        Self {
            set: set.to_owned(),
            ulid,
            stands_at,
            why: why.to_string().chars().take(WHY_CHARS_MAX).collect(),
        }
    }

    /// One that was taken from its lane.
    pub(crate) fn held(ulid: String, until: Score, why: &LedgerError) -> Self {
        Self::new(keys::HELD, ulid, until, why)
    }
}

/// A job that is put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The job.
    pub job: JobId,
    /// Where it stood, since when it does not, and why it cannot be read.
    pub record: QuarantineRecord,
}

impl Ledger {
    /// Puts jobs aside that cannot be read, unless something has happened to them since.
    pub(crate) async fn quarantine(
        &self,
        found: Vec<Unreadable>,
        now: Timestamp,
    ) -> Result<usize, LedgerError> {
        if found.is_empty() {
            return Ok(0);
        }
        let txs = found.into_iter().map(|one| {
            tracing::error!(job = %one.ulid, set = %one.set, why = %one.why, "a job cannot be read and is put aside");
            self.putting_aside(one, now)
        });
        self.commit_counted(txs.collect(), Durability::Process).await
    }

    fn putting_aside(&self, found: Unreadable, now: Timestamp) -> Transaction {
        let Unreadable {
            set,
            ulid,
            stands_at,
            why,
        } = found;
        let mut tx = Transaction::new(self.tx_id(), Class::Relief);
        tx.guards
            .push(Guard::Member(set.clone(), ulid.clone(), Some(stands_at)));
        let is_leased = set.starts_with(domain::job::AGENT_LEASES_FAMILY);
        // Where it stood tells the state that its record must have had.
        let state = if is_leased {
            StateName::Running
        } else {
            StateName::Queued
        };
        let record = QuarantineRecord {
            from: set.clone(),
            at: now,
            why: why.clone(),
        };
        tx.puts.push((keys::quarantined(&ulid), record::encode(&record)));
        tx.appends.push(aside(
            &ulid,
            state,
            JobFact::Quarantined {
                from: set.clone(),
                why,
            },
            now,
        ));
        tx.moves.push(Move {
            set,
            member: ulid.clone(),
            score: None,
        });
        tx.moves.push(Move {
            set: QUARANTINE.to_owned(),
            member: ulid.clone(),
            score: Some(Score::saturating(now.as_millis())),
        });
        tx.hints.push(keys::job_hint(&ulid));
        tx
    }

    /// Puts back what can be read after all. Returns how many. `ttl` is how long a lease lives that was put aside.
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn restore(&self, ttl: Duration) -> Result<usize, LedgerError> {
        let members = self.quarantine_page().await?;
        if members.is_empty() {
            return Ok(0);
        }
        let now = self.now().await?;
        let ulids: Vec<String> = members.iter().map(|(_, ulid)| ulid.clone()).collect();
        let mut txs = Vec::new();
        for ((since, ulid), found) in members.into_iter().zip(self.load_all(&ulids).await?) {
            match found {
                Some(Err(_)) => {}
                Some(Ok(before)) => {
                    if self.is_whole(&before).await? {
                        txs.push(self.putting_back(&before, since, (now, ttl)));
                    }
                }
                None => txs.push(self.leaving(&ulid, since)),
            }
        }
        self.commit_counted(txs, Durability::Process).await
    }

    /// Says whether everything that a claim or an end of this job reads can be read.
    async fn is_whole(&self, job: &StoredJob) -> Result<bool, LedgerError> {
        let id = &job.job().id;
        let spec = self.fetch_one(&keys::spec(id.ulid())).await?;
        let spec_reads = spec.is_some_and(|spec| JobSpec::from_canonical(&spec.bytes).is_ok());
        match self.attempts(id).await {
            Ok(_) => Ok(spec_reads),
            Err(LedgerError::Undecodable(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn putting_back(
        &self,
        before: &StoredJob,
        since: Score,
        (now, ttl): (Timestamp, Duration),
    ) -> Transaction {
        let ulid = before.job().id.ulid();
        let mut tx = self.leaving(ulid, since);
        tx.guards.push(before.guard());
        tx.appends
            .push(aside(ulid, before.job().state.name(), JobFact::Restored, now));
        for ((set, member), place) in before.job().places() {
            tx.hints.push(set.clone());
            let score = match place {
                Place::At(score) => Score::saturating(score),
                Place::Somewhere => Score::saturating(now.plus(ttl).as_millis()),
            };
            tx.moves.push(Move {
                set,
                member,
                score: Some(score),
            });
        }
        tx
    }

    /// The end of a quarantine.
    fn leaving(&self, ulid: &str, since: Score) -> Transaction {
        let mut tx = Transaction::new(self.tx_id(), Class::Relief);
        tx.guards
            .push(Guard::Member(QUARANTINE.to_owned(), ulid.to_owned(), Some(since)));
        tx.drops.push(Discard::Record(keys::quarantined(ulid)));
        tx.moves.push(Move {
            set: QUARANTINE.to_owned(),
            member: ulid.to_owned(),
            score: None,
        });
        tx
    }

    /// The jobs that are put aside, oldest first, up to [`QUARANTINED_MAX`].
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn quarantined(&self) -> Result<Vec<Quarantined>, LedgerError> {
        let members = self.quarantine_page().await?;
        let wanted: Vec<String> = members.iter().map(|(_, ulid)| keys::quarantined(ulid)).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let records = self.nexus.fetch(&self.space, &wanted).await?;
        let mut listed = Vec::with_capacity(records.len());
        for ((since, ulid), found) in members.into_iter().zip(records) {
            let read = found.map(|found| record::decode(QUARANTINE, &found.bytes));
            let record = match read {
                Some(Ok(record)) => record,
                None | Some(Err(_)) => QuarantineRecord {
                    from: String::new(),
                    at: Timestamp(since.get()),
                    why: "not recorded".to_owned(),
                },
            };
            if let Ok(job) = JobId::new(self.pool().clone(), &ulid) {
                listed.push(Quarantined { job, record });
            }
        }
        Ok(listed)
    }

    /// How many jobs are put aside.
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn n_quarantined(&self) -> Result<u64, LedgerError> {
        Ok(self.nexus.size(&self.space, QUARANTINE).await?)
    }

    async fn quarantine_page(&self) -> Result<Vec<(Score, String)>, LedgerError> {
        let page = Ascending {
            after: None,
            up_to: None,
            n: QUARANTINED_MAX,
        };
        Ok(self.nexus.range(&self.space, QUARANTINE, page).await?)
    }
}

/// A fact about a record that cannot be read: in the job's history, but no link of its chain.
fn aside(ulid: &str, state: StateName, fact: JobFact, now: Timestamp) -> Append {
    let entry = JournalEntry {
        ulid: ulid.to_owned(),
        at: now,
        state,
        fact,
        prev: crate::chain::CHAIN_START,
    };
    Append {
        log: keys::JOURNAL.to_owned(),
        thread: Some(ulid.to_owned()),
        bytes: entry.seal().0,
    }
}
