//! What must follow from changes in other entities: so far, jobs that wait for their group are admitted when it has room.
//!
//! A follow-up stands in a set of its own from the commit that causes it until it is done. Doing it twice does no harm,
//! and several coordinators that do it at once admit each job once: its record and the group's room are guarded.

use std::time::Duration;

use domain::entity::FOLLOWUPS;
use domain::job::{apply, group_set, waiting_set};
use domain::{Followup, GroupName, JobEvent, Timestamp};
use nexus::{Ascending, Class, Durability, Guard, Move, Score, Transaction};

use crate::duty::PASS_MAX;
use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::plan;
use crate::quarantine::Unreadable;

/// How long a group with waiting jobs but no room is left alone, unless a job of it ends.
const GROUP_RETRY: Duration = Duration::from_secs(1);
/// How long a follow-up is left alone that only a newer version knows.
const UNKNOWN_RETRY: Duration = Duration::from_secs(30);
/// A follow-up that is due later than this was put there by a clock that was ahead: it is due now.
const HORIZON: Duration = Duration::from_secs(60);

impl Ledger {
    /// Does what must follow. Returns how many jobs were admitted to their groups.
    ///
    /// # Errors
    /// The nexus does not answer.
    pub async fn follow_up(&self) -> Result<usize, LedgerError> {
        let now = self.now().await?;
        let mut admitted = 0;
        let due = self.due_or_displaced(FOLLOWUPS, now, HORIZON, PASS_MAX).await?;
        for (stands_at, member) in due {
            match Followup::of_member(&member) {
                Some(Followup::AdmitFromGroup(group)) => {
                    admitted += self.serve_group(&group, &member, stands_at, now).await?;
                }
                None => {
                    tracing::error!(%member, "an unknown follow-up is left for a newer version");
                    self.put_off(&member, stands_at, now.plus(UNKNOWN_RETRY)).await?;
                }
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
        let members = self.nexus.range(&self.space, &waiting, page).await?;
        let ulids: Vec<String> = members.iter().map(|(_, ulid)| ulid.clone()).collect();
        let (mut admitted, mut unreadable) = (0, Vec::new());
        for ((turn, ulid), found) in members.into_iter().zip(self.load_all(&ulids).await?) {
            let before = match found {
                None => continue,
                Some(Ok(before)) => before,
                Some(Err(error)) => {
                    unreadable.push(Unreadable::new(&waiting, ulid, turn, &error));
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
        self.quarantine(unreadable, now).await?;
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
}
