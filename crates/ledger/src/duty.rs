//! The duties that nobody asks for: taking overdue leases, returning holds, firing timers, doing what must follow.
//!
//! Each is one bounded, idempotent pass that reads the nexus and nothing else, so any number of coordinators may do it
//! at once: guards decide who was first. What is not done in this pass is done in the next.

use std::time::Duration;

use domain::entity::FOLLOWUPS;
use domain::job::{AGENT_LEASES_FAMILY, TIMERS, apply, group_set, waiting_set};
use domain::plan::ReapPlan;
use domain::{Followup, GroupName, JobEvent, Timestamp};
use nexus::{Ascending, Class, Discard, Durability, Guard, Move, Score, Transaction};

use crate::error::LedgerError;
use crate::keys;
use crate::ledger::Ledger;
use crate::plan::{self, Overdue};
use crate::record::{self, BeatRecord};

/// How long a taken job is held for its claim.
pub const HOLD: Duration = Duration::from_secs(5);
/// How long an idempotency key is remembered.
pub(crate) const IDEMPOTENCY_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Members of one set that one pass handles. A pass that was full is followed by the next at once.
pub const PASS_MAX: usize = 100;
/// After so many leases a pass looks at no further agent: each is a synced write, and a pass that outlasts the gap
/// between two beats would give everybody else a grace.
pub const TAKEN_MAX: usize = 400;
/// Agents whose leases one pass looks at.
const AGENTS_MAX: usize = 256;
/// How long a group with waiting jobs but no room is left alone, unless a job of it ends.
const GROUP_RETRY: Duration = Duration::from_secs(1);

/// What one pass of the reaper did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reaped {
    /// Leases taken.
    pub taken: usize,
    /// Holds ended.
    pub returned: usize,
    /// A grace was granted or runs.
    pub grace: bool,
}

impl Ledger {
    /// One pass of the reaper. `ttl_max` is the longest TTL of the pool.
    ///
    /// # Errors
    /// The nexus does not answer; the next pass will see that it was away, and grant a grace.
    pub async fn reap(&self, ttl_max: Duration) -> Result<Reaped, LedgerError> {
        let now = self.now().await?;
        let last = self.fetch_one(keys::BEAT).await?;
        let last = match last {
            None => None,
            Some(found) => Some((
                found.version,
                record::decode::<BeatRecord>(keys::BEAT, &found.bytes)?,
            )),
        };
        let (plan, tx) = plan::beat(self.tx_id(), last, now, ttl_max);
        let beat = nexus::Version::from(tx.id);
        let returned = self.return_held(now).await?;
        if !self.commit_one(tx, Durability::Process).await? {
            // Another reaper ticked at the same moment. Its beat stands, and so does its work.
            return Ok(Reaped {
                returned,
                ..Reaped::default()
            });
        }
        match plan {
            ReapPlan::Grace { .. } | ReapPlan::Wait => Ok(Reaped {
                taken: 0,
                returned,
                grace: true,
            }),
            ReapPlan::Reap => Ok(Reaped {
                taken: self.take_overdue(now, beat).await?,
                returned,
                grace: false,
            }),
        }
    }

    async fn take_overdue(&self, now: Timestamp, beat: nexus::Version) -> Result<usize, LedgerError> {
        let due = Score::saturating(now.as_millis());
        let heads = self
            .nexus
            .heads(&self.space, AGENT_LEASES_FAMILY, AGENTS_MAX)
            .await?;
        let mut taken = 0;
        for (set, _) in heads.into_iter().filter(|(_, head)| *head <= due) {
            if taken >= TAKEN_MAX {
                break;
            }
            let overdue = self.members_due(&set, now).await?;
            let ulids: Vec<String> = overdue.iter().map(|(_, ulid)| ulid.clone()).collect();
            for ((deadline, ulid), found) in overdue.into_iter().zip(self.load_all(&ulids).await?) {
                let before = match found {
                    Some(Ok(before)) => before,
                    Some(Err(error)) => {
                        tracing::error!(job = %ulid, %error, "a job with an overdue lease cannot be read");
                        continue;
                    }
                    None => continue,
                };
                let overdue = Overdue {
                    set: set.clone(),
                    deadline,
                    beat,
                };
                let Some((step, guards)) = plan::reap(&before, &overdue, now) else {
                    continue;
                };
                let mut tx = match self.change(&before, step, now).await {
                    Ok(tx) => tx,
                    Err(LedgerError::Undecodable(error)) => {
                        tracing::error!(job = %ulid, %error, "an overdue lease cannot be taken");
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                tx.guards.extend(guards);
                taken += usize::from(self.commit_one(tx, Durability::Disk).await?);
            }
        }
        Ok(taken)
    }

    /// Returns holds that nobody claimed. Returns how many.
    async fn return_held(&self, now: Timestamp) -> Result<usize, LedgerError> {
        let held = self.members_due(keys::HELD, now).await?;
        let ulids: Vec<String> = held.iter().map(|(_, ulid)| ulid.clone()).collect();
        let mut txs = Vec::new();
        for ((until, ulid), found) in held.into_iter().zip(self.load_all(&ulids).await?) {
            match found.transpose() {
                Ok(before) => txs.push(plan::return_held(self.tx_id(), &ulid, until, before.as_ref())),
                // It stays held, out of everybody's way, and is looked at again each pass.
                Err(error) => tracing::error!(job = %ulid, %error, "a held job cannot be read"),
            }
        }
        self.commit_counted(txs, Durability::Process).await
    }

    /// Makes jobs claimable whose time has come. Returns how many.
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn fire_timers(&self) -> Result<usize, LedgerError> {
        let now = self.now().await?;
        let due = self.members_due(TIMERS, now).await?;
        let ulids: Vec<String> = due.into_iter().map(|(_, ulid)| ulid).collect();
        let mut txs = Vec::new();
        for found in self.load_all(&ulids).await?.into_iter().flatten() {
            let before = match found {
                Ok(before) => before,
                Err(error) => {
                    tracing::error!(%error, "a job with a due timer cannot be read");
                    continue;
                }
            };
            if let Some(step) = apply(before.job(), JobEvent::Due, now).ok().and_then(plan::moved) {
                txs.push(self.change(&before, step, now).await?);
            }
        }
        self.commit_counted(txs, Durability::Disk).await
    }

    /// Does what must follow. Returns how many jobs were admitted to their groups.
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn follow_up(&self) -> Result<usize, LedgerError> {
        let now = self.now().await?;
        let mut admitted = 0;
        for (stands_at, member) in self.members_due(FOLLOWUPS, now).await? {
            match Followup::of_member(&member) {
                Some(Followup::AdmitFromGroup(group)) => {
                    admitted += self.serve_group(&group, &member, stands_at, now).await?;
                }
                None => tracing::error!(%member, "an unknown follow-up is left for a newer version"),
            }
        }
        Ok(admitted)
    }

    /// Admits waiting jobs of a group while there is room. The follow-up stays as long as anybody waits, so no
    /// ended job can be missed; it only moves on a little when there is no room.
    async fn serve_group(
        &self,
        group: &GroupName,
        member: &str,
        stands_at: Score,
        now: Timestamp,
    ) -> Result<usize, LedgerError> {
        let waiting = waiting_set(group);
        let page = Ascending {
            after: None,
            up_to: None,
            n: PASS_MAX,
        };
        let ulids: Vec<String> = self
            .nexus
            .range(&self.space, &waiting, page)
            .await?
            .into_iter()
            .map(|(_, ulid)| ulid)
            .collect();
        let mut admitted = 0;
        for found in self.load_all(&ulids).await?.into_iter().flatten() {
            let before = match found {
                Ok(before) => before,
                Err(error) => {
                    tracing::error!(%group, %error, "a job that waits for its group cannot be read");
                    continue;
                }
            };
            let limit = before
                .job()
                .group
                .as_ref()
                .map_or(1, |group| u64::from(group.limit));
            let Some(step) = apply(before.job(), JobEvent::Admitted, now)
                .ok()
                .and_then(plan::moved)
            else {
                continue;
            };
            let mut tx = self.change(&before, step, now).await?;
            tx.guards.push(Guard::Room(group_set(group), limit));
            if !self.commit_one(tx, Durability::Process).await? {
                break;
            }
            admitted += 1;
        }
        let served = plan::group_is_served(self.tx_id(), member, &waiting, stands_at);
        if !self.commit_one(served, Durability::Process).await? {
            // After a full page there may be room for more at once.
            let pause = if admitted < PASS_MAX {
                GROUP_RETRY
            } else {
                Duration::ZERO
            };
            self.put_off(member, stands_at, now.plus(pause)).await?;
        }
        Ok(admitted)
    }

    /// Moves a follow-up on, unless somebody has moved it since it was read.
    async fn put_off(&self, member: &str, stands_at: Score, until: Timestamp) -> Result<(), LedgerError> {
        let mut tx = Transaction::new(self.tx_id(), Class::Relief);
        tx.guards.push(Guard::Member(
            FOLLOWUPS.to_owned(),
            member.to_owned(),
            Some(stands_at),
        ));
        tx.moves.push(Move {
            set: FOLLOWUPS.to_owned(),
            member: member.to_owned(),
            score: Some(Score::saturating(until.as_millis())),
        });
        self.commit_one(tx, Durability::Process).await.map(drop)
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
    async fn members_due(&self, set: &str, now: Timestamp) -> Result<Vec<(Score, String)>, LedgerError> {
        let up_to = Some(Score::saturating(now.as_millis()));
        Ok(self
            .nexus
            .range(
                &self.space,
                set,
                Ascending {
                    after: None,
                    up_to,
                    n: PASS_MAX,
                },
            )
            .await?)
    }
}
