//! Which leases are asked for, and what becomes of those that arrive.
//!
//! A claim takes a [`Room`] first: a guard for the slots that it asks for, so that two requests never ask for the same
//! one. Replies may name any lease of this process: one that is known is left alone, one that was forgotten is a late
//! echo, one that cannot be run is given back, and the rest is to be started.

use std::sync::Arc;

use domain::Resources;
use domain::job::GiveBack;
use domain::plan::AHEAD_MAX;
use protocol::leases::{AheadWish, Held, Lease};

use super::forgotten::Named;
use super::phase::{Entry, Halt, Phase};
use super::{RunTable, State, Stop};
use crate::clock::BootTime;
use crate::run::Run;

/// The slots that one request asks for. Dropping it, answered or not, makes what is still open open for others.
pub struct Room {
    table: Arc<RunTable>,
    /// Open slots.
    pub slots: usize,
    /// Leases beyond them.
    pub ahead: Option<AheadWish>,
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut state = self.table.lock();
        state.reserved -= self.slots;
        state.reserved_ahead -= self.ahead.as_ref().map_or(0, |wish| wish.n);
        if state.open() > 0 {
            self.table.bells.open.notify_one();
        }
    }
}

impl RunTable {
    /// Reserves the open slots for a claim of their own. None when there are none, when nothing should be taken, or when
    /// an ended run is about to be reported, because its report carries the claim.
    pub fn room_for_poll(self: &Arc<Self>) -> Option<Room> {
        let mut state = self.lock();
        let reported_soon = state.ended.iter().any(|run| state.is_reportable(run));
        if reported_soon || !self.takes(&state) {
            return None;
        }
        let slots = state.open();
        state.reserved += slots;
        (slots > 0).then(|| Room {
            table: Arc::clone(self),
            slots,
            ahead: None,
        })
    }

    /// Reserves the open slots, and leases ahead of them, for a claim that travels with a report.
    pub fn room_for_report(self: &Arc<Self>) -> Option<Room> {
        let mut state = self.lock();
        if !self.takes(&state) {
            return None;
        }
        let (slots, ahead) = (state.open(), self.wish(&state));
        state.reserved += slots;
        state.reserved_ahead += ahead.as_ref().map_or(0, |wish| wish.n);
        (slots > 0 || ahead.is_some()).then(|| Room {
            table: Arc::clone(self),
            slots,
            ahead,
        })
    }

    /// All leases that this process holds, for a claim to list.
    pub fn held(&self) -> Vec<Held> {
        self.lock().entries.keys().cloned().collect()
    }

    /// What no held lease reserves. What has ended but is not reported yet counts as free.
    pub fn free(&self) -> Resources {
        let state = self.lock();
        let held = state.entries.values().filter(|entry| !entry.is_over());
        held.fold(self.shape.capacity, |free, entry| {
            free.minus(entry.run.lane.resources())
        })
    }

    /// Takes in the leases of a reply to a request that was sent at `sent_at`. Returns how many are new.
    pub fn admit(&self, leases: Vec<Lease>, sent_at: BootTime) -> usize {
        let mut state = self.lock();
        let mut n_new = 0;
        for lease in leases {
            let held = Held {
                job: lease.job.clone(),
                attempt: lease.attempt,
            };
            if let Some(known) = state.entries.get_mut(&held) {
                if lease.cancel {
                    known.want(Halt::Cancel);
                }
                continue;
            }
            match state.forgotten.named(&held, sent_at) {
                Named::New => {}
                Named::Echo => continue,
                Named::Again => {
                    if self.is_told_again(&mut state, &held) {
                        continue;
                    }
                }
            }
            let cancel = lease.cancel;
            let run = Arc::new(Run::new(lease, &self.shape.places));
            let phase = match self.unwanted(&state) {
                Some(why) => {
                    state.returning += 1;
                    self.bells.ended.notify_one();
                    Phase::Returning(why)
                }
                None => {
                    state.quota = state.quota.map(|left| left - 1);
                    state.unstarted.push_back(Arc::clone(&run));
                    n_new += 1;
                    Phase::Unstarted
                }
            };
            let mut entry = Entry::new(run, phase, sent_at);
            entry.halt = cancel.then_some(Halt::Cancel);
            state.entries.insert(held, entry);
        }
        self.count(&state);
        if n_new > 0 {
            self.ring_for_work(&state);
        }
        n_new
    }

    /// Gives back what is held ahead and was not needed for a while: another agent may have a slot for it.
    pub(crate) fn give_back_stale(&self, now: BootTime) {
        let mut state = self.lock();
        let stale: Vec<Held> = state
            .unstarted
            .iter()
            .skip(state.idle())
            .filter(|run| {
                let since = state
                    .entries
                    .get(&run.held)
                    .map_or(now, |entry| entry.admitted_at);
                now.since(since) > AHEAD_HELD_MAX
            })
            .map(|run| run.held.clone())
            .collect();
        for held in stale {
            self.give_back(&mut state, &held, GiveBack::HeldAhead);
        }
    }

    /// Gives back one lease that was not started.
    pub(super) fn give_back(&self, state: &mut State, held: &Held, why: GiveBack) {
        if let Some(entry) = state.entries.get_mut(held)
            && matches!(entry.phase, Phase::Unstarted)
        {
            entry.phase = Phase::Returning(why);
            state.returning += 1;
            state.unstarted.retain(|run| run.held != *held);
            self.bells.ended.notify_one();
        }
    }

    /// Why a lease that arrives cannot be run here now.
    fn unwanted(&self, state: &State) -> Option<GiveBack> {
        if state.draining || *self.bells.stop.borrow() != Stop::No {
            return Some(GiveBack::Drain);
        }
        let room = self.shape.slots + AHEAD_MAX;
        let full = state.occupied() + state.unstarted.len() >= room || state.quota == Some(0);
        full.then_some(GiveBack::Undelivered)
    }

    fn takes(&self, state: &State) -> bool {
        !state.draining && *self.bells.stop.borrow() == Stop::No
    }

    /// What to hold ahead beyond what is held already: of the lane that runs now, if its jobs are short.
    fn wish(&self, state: &State) -> Option<AheadWish> {
        if state.quota.is_some() {
            return None;
        }
        let lane = state.lane.as_ref()?;
        let wanted = state.pace.ahead(lane, self.shape.slots);
        let held = state.unstarted.len().saturating_sub(state.idle()) + state.reserved_ahead;
        let n = wanted.saturating_sub(held);
        (n > 0).then(|| AheadWish {
            lane: lane.clone(),
            n,
        })
    }

    /// Wakes as many slots as there is work for; who takes some wakes the next.
    pub(super) fn ring_for_work(&self, state: &State) {
        self.bells.work.notify_one();
        let served = state
            .slots
            .iter()
            .filter(|slot| slot.served && slot.run.is_none())
            .count();
        if state.unstarted.len() > served && served < state.idle() {
            self.bells.unserved.notify_one();
        }
    }
}

/// How long a lease may wait for a slot that was not there when it was claimed.
const AHEAD_HELD_MAX: std::time::Duration = std::time::Duration::from_secs(1);

impl State {
    /// Slots with a run.
    pub(super) fn occupied(&self) -> usize {
        self.slots.iter().filter(|slot| slot.run.is_some()).count()
    }

    /// Slots without a run.
    pub(super) fn idle(&self) -> usize {
        self.slots.len() - self.occupied()
    }

    /// Slots for which neither a lease nor a request is there.
    pub(super) fn open(&self) -> usize {
        let open = self.idle().saturating_sub(self.unstarted.len() + self.reserved);
        self.quota
            .map_or(open, |quota| open.min(quota.saturating_sub(self.reserved)))
    }
}

impl Entry {
    /// Whether the command is over, so that nothing is reserved for it any more.
    pub(super) const fn is_over(&self) -> bool {
        match self.phase {
            Phase::Unstarted | Phase::Preparing | Phase::Starting(_) | Phase::Running(_) => false,
            Phase::Collecting(_) | Phase::Ended(_) | Phase::Returning(_) => true,
        }
    }

    /// Notes that the run should end, unless that is noted already, and tells whoever watches it.
    pub(super) fn want(&mut self, halt: Halt) {
        if self.halt.is_none() {
            self.halt = Some(halt);
            self.run.wake.notify_one();
        }
    }
}
