//! The duties that nobody asks for: taking overdue leases, returning holds, firing timers. What must follow from other
//! changes is in `follow_up`.
//!
//! Each is one bounded, idempotent pass that reads the nexus and nothing else, so any number of coordinators may do it
//! at once: guards decide who was first. What is not done in this pass is done in the next. What cannot be read is put
//! aside (`quarantine`), so that it stands in nobody's way.

use std::time::Duration;

use domain::job::{AGENT_LEASES_FAMILY, TIMERS, apply};
use domain::plan::ReapPlan;
use domain::{JobEvent, Timestamp};
use nexus::{Ascending, Class, Discard, Durability, Guard, Move, Score, Transaction, Version};

use crate::error::LedgerError;
use crate::fail_points;
use crate::keys;
use crate::ledger::Ledger;
use crate::plan::{self, Overdue};
use crate::quarantine::Unreadable;
use crate::record::{BeatRecord, Undecodable};
use crate::transaction::StoredJob;

/// How long a taken job is held for its claim.
pub const HOLD: Duration = Duration::from_secs(5);
/// How long an idempotency key is remembered.
pub(crate) const IDEMPOTENCY_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Members of one set that one pass handles. A pass that was full is followed by the next at once.
pub const PASS_MAX: usize = 100;
/// After so many leases a pass looks at no further agent: each is a synced write, and a pass that outlasts the gap
/// between two beats would give everybody else a grace.
pub const TAKEN_MAX: usize = 400;
/// Holds that one pass of the reaper ends, in one commit: a coordinator that dies may leave a large take behind.
const HELD_MAX: usize = nexus::limits::PAGE_MAX;
/// Agents whose leases one pass looks at.
const AGENTS_MAX: usize = 256;
/// A hold that ends later than this was made by a clock that was ahead: it counts as over, for a hold is no promise.
const HOLD_HORIZON: Duration = Duration::from_secs(2 * HOLD.as_secs());

/// What one pass of the reaper did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reaped {
    /// It was this reaper's turn: it left the beat.
    pub beat: bool,
    /// Leases taken.
    pub taken: usize,
    /// Holds ended.
    pub returned: usize,
    /// A grace was granted or runs.
    pub grace: bool,
}

impl Ledger {
    /// One pass of the reaper, or none if another one has just made its own. `ttl_max` is the longest TTL of the pool.
    ///
    /// # Errors
    /// The nexus does not answer; the next pass will see that it was away, and grant a grace.
    pub async fn reap(&self, ttl_max: Duration) -> Result<Reaped, LedgerError> {
        // In this order: a beat that comes between the two is never from the future.
        let last = match self.stored::<BeatRecord>(keys::BEAT).await {
            Err(LedgerError::Undecodable(error)) => return self.forget_beat(&error).await,
            read => read?,
        };
        let now = self.now().await?;
        let Some((plan, tx)) = plan::beat(self.tx_id(), last.as_ref(), now, ttl_max) else {
            return Ok(Reaped::default());
        };
        let beat = Version::from(tx.id);
        if !self.commit_one(tx, Durability::Process).await? {
            // Another reaper ticked at the same moment. Its beat stands, and so does its work.
            return Ok(Reaped::default());
        }
        let reap = plan == ReapPlan::Reap || fail_points::is_on(fail_points::NO_GRACE);
        let returned = self.return_held(now).await?;
        let taken = match reap {
            true => self.take_overdue(now, beat, ttl_max).await?,
            false => 0,
        };
        Ok(Reaped {
            beat: true,
            taken,
            returned,
            grace: plan != ReapPlan::Reap,
        })
    }

    /// Drops a beat that cannot be read: the next tick is like the very first, and begins with a grace.
    async fn forget_beat(&self, why: &Undecodable) -> Result<Reaped, LedgerError> {
        tracing::error!(%why, "the beat of the reapers cannot be read, and is begun anew with a grace");
        let mut tx = Transaction::new(self.tx_id(), Class::Relief);
        tx.drops.push(Discard::Record(keys::BEAT.to_owned()));
        self.commit_one(tx, Durability::Process).await?;
        Ok(Reaped::default())
    }

    async fn take_overdue(
        &self,
        now: Timestamp,
        beat: Version,
        ttl_max: Duration,
    ) -> Result<usize, LedgerError> {
        let due = Score::saturating(now.as_millis());
        let displaced = Score::saturating(now.plus(ttl_max * 2).as_millis());
        let heads = self
            .nexus
            .heads(&self.space, AGENT_LEASES_FAMILY, AGENTS_MAX)
            .await?;
        let (mut taken, mut unreadable) = (0, Vec::new());
        for (set, head) in heads {
            if head > displaced {
                self.bring_back(&set, now, ttl_max).await?;
            }
            if head > due || taken >= TAKEN_MAX {
                continue;
            }
            let overdue = self.members_due(&set, now).await?;
            let ulids: Vec<String> = overdue.iter().map(|(_, ulid)| ulid.clone()).collect();
            for ((deadline, ulid), found) in overdue.into_iter().zip(self.load_all(&ulids).await?) {
                let overdue = Overdue {
                    set: set.clone(),
                    deadline,
                    beat,
                };
                match self.take_lease(found, overdue, now).await {
                    Ok(done) => taken += usize::from(done),
                    Err(LedgerError::Undecodable(error)) => {
                        let error = LedgerError::Undecodable(error);
                        unreadable.push(Unreadable::new(&set, ulid, deadline, &error));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        self.quarantine(unreadable, now).await?;
        Ok(taken)
    }

    /// Takes an overdue lease, if nothing has happened to it since it was read.
    async fn take_lease(
        &self,
        found: Option<Result<StoredJob, LedgerError>>,
        overdue: Overdue,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let Some(before) = found.transpose()? else {
            return Ok(false);
        };
        let Some((step, guards)) = plan::reap(&before, &overdue, now) else {
            return Ok(false);
        };
        let mut tx = self.change(&before, step, now).await?;
        tx.guards.extend(guards);
        self.commit_one(tx, Durability::Disk).await
    }

    /// Gives leases whose deadlines a clock has set that was far ahead one TTL from now.
    async fn bring_back(&self, set: &str, now: Timestamp, ttl_max: Duration) -> Result<(), LedgerError> {
        let page = Ascending {
            after: None,
            up_to: None,
            n: PASS_MAX,
        };
        let until = Score::saturating(now.plus(ttl_max).as_millis());
        let members = self.nexus.range(&self.space, set, page).await?;
        let txs = members.into_iter().map(|(deadline, member)| {
            let mut tx = Transaction::new(self.tx_id(), Class::Relief);
            tx.guards
                .push(Guard::Member(set.to_owned(), member.clone(), Some(deadline)));
            tx.moves.push(Move {
                set: set.to_owned(),
                member,
                score: Some(until),
            });
            tx
        });
        self.commit_counted(txs.collect(), Durability::Process)
            .await
            .map(drop)
    }

    /// Returns holds that nobody claimed. Returns how many.
    async fn return_held(&self, now: Timestamp) -> Result<usize, LedgerError> {
        if fail_points::is_on(fail_points::KEEP_HELD) {
            return Ok(0);
        }
        let held = self
            .due_or_displaced(keys::HELD, now, HOLD_HORIZON, HELD_MAX)
            .await?;
        let ulids: Vec<String> = held.iter().map(|(_, ulid)| ulid.clone()).collect();
        let (mut txs, mut unreadable) = (Vec::new(), Vec::new());
        for ((until, ulid), found) in held.into_iter().zip(self.load_all(&ulids).await?) {
            match found.transpose() {
                Ok(before) => txs.push(plan::return_held(self.tx_id(), &ulid, until, before.as_ref())),
                Err(error) => unreadable.push(Unreadable::held(ulid, until, &error)),
            }
        }
        self.quarantine(unreadable, now).await?;
        self.commit_counted(txs, Durability::Process).await
    }

    /// Makes jobs claimable whose time has come. Returns how many.
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn fire_timers(&self) -> Result<usize, LedgerError> {
        let now = self.now().await?;
        let due = self.members_due(TIMERS, now).await?;
        let ulids: Vec<String> = due.iter().map(|(_, ulid)| ulid.clone()).collect();
        let (mut txs, mut unreadable) = (Vec::new(), Vec::new());
        for ((at, ulid), found) in due.into_iter().zip(self.load_all(&ulids).await?) {
            let before = match found {
                None => continue,
                Some(Ok(before)) => before,
                Some(Err(error)) => {
                    unreadable.push(Unreadable::new(TIMERS, ulid, at, &error));
                    continue;
                }
            };
            if let Some(step) = apply(before.job(), JobEvent::Due, now).ok().and_then(plan::moved) {
                txs.push(self.change(&before, step, now).await?);
            }
        }
        self.quarantine(unreadable, now).await?;
        let again = fail_points::is_on(fail_points::DOUBLE_TIMER).then(|| txs.clone());
        let fired = self.commit_counted(txs, Durability::Disk).await?;
        if let Some(again) = again.filter(|_| fired > 0) {
            self.fire_again(again).await?;
        }
        Ok(fired)
    }

    /// The sabotage of a timer that fires twice.
    async fn fire_again(&self, mut txs: Vec<Transaction>) -> Result<(), LedgerError> {
        tokio::time::sleep(Duration::from_millis(700)).await;
        for tx in &mut txs {
            tx.id = self.tx_id();
            tx.guards.clear();
        }
        self.commit_counted(txs, Durability::Disk).await.map(drop)
    }

    /// Forgets idempotency keys that are older than [`IDEMPOTENCY_KEPT`]. Returns how many.
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn forget_keys(&self) -> Result<usize, LedgerError> {
        let now = self.now().await?;
        let kept = u64::try_from(IDEMPOTENCY_KEPT.as_millis()).unwrap_or(u64::MAX);
        let page = Ascending {
            after: None,
            up_to: Some(Score::saturating(now.as_millis().saturating_sub(kept))),
            n: nexus::limits::PAGE_MAX,
        };
        let old = self.nexus.range(&self.space, keys::IDEMPOTENCY, page).await?;
        let txs: Vec<Transaction> = old
            .into_iter()
            .map(|(score, key)| {
                let mut tx = Transaction::new(self.tx_id(), Class::Relief);
                // Somebody may have forgotten the key already, and somebody else may use it anew.
                tx.guards.push(Guard::Member(
                    keys::IDEMPOTENCY.to_owned(),
                    key.clone(),
                    Some(score),
                ));
                tx.moves.push(Move {
                    set: keys::IDEMPOTENCY.to_owned(),
                    member: key.clone(),
                    score: None,
                });
                tx.drops.push(Discard::Record(key));
                tx
            })
            .collect();
        self.commit_counted(txs, Durability::Process).await
    }

    /// The first members of a set whose score is not after `now`.
    pub(crate) async fn members_due(
        &self,
        set: &str,
        now: Timestamp,
    ) -> Result<Vec<(Score, String)>, LedgerError> {
        let page = Ascending {
            after: None,
            up_to: Some(Score::saturating(now.as_millis())),
            n: PASS_MAX,
        };
        Ok(self.nexus.range(&self.space, set, page).await?)
    }

    /// Of the first `n` members of a set, those whose score is not after `now`, and those that stand so far after it that another clock has
    /// put them there: nothing is ever put off for longer than `horizon`.
    pub(crate) async fn due_or_displaced(
        &self,
        set: &str,
        now: Timestamp,
        horizon: Duration,
        n: usize,
    ) -> Result<Vec<(Score, String)>, LedgerError> {
        let page = Ascending {
            after: None,
            up_to: None,
            n,
        };
        let (now, beyond) = (
            Score::saturating(now.as_millis()),
            Score::saturating(now.plus(horizon).as_millis()),
        );
        let mut members = self.nexus.range(&self.space, set, page).await?;
        members.retain(|(score, _)| *score <= now || *score > beyond);
        Ok(members)
    }
}
