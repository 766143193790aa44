//! What the process intends: to go on, to end when its runs have, or to end now.
//!
//! It is the process's and not an actor's, so a poller that is restarted while the agent stops does not take a job.

use domain::job::GiveBack;
use protocol::leases::Held;

use super::phase::{Halt, Phase};
use super::{RunTable, State};

/// How the process is to end. It only ever gets more urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Stop {
    /// It is not.
    #[default]
    No,
    /// When all that was started is over and reported.
    Drain,
    /// At once: what runs is killed and reported as preempted.
    Now,
}

impl RunTable {
    /// Takes no more leases, gives back what was not started, and kills what runs if it is to be now.
    pub fn stop(&self, stop: Stop) {
        let mut guard = self.lock();
        let state = &mut *guard;
        if stop <= *self.bells.stop.borrow() {
            return;
        }
        self.bells.stop.send_replace(stop);
        self.give_back_unstarted(state, GiveBack::Drain);
        if stop == Stop::Now {
            for entry in state.entries.values_mut() {
                entry.halt = Some(Halt::Preempt);
                if let Phase::Running(watched) = &mut entry.phase {
                    watched.kill(Halt::Preempt);
                }
                entry.run.wake.notify_one();
            }
        }
        self.count(state);
    }

    /// Whether there is nothing left to do: the process was told to end, or has had its share, and holds nothing.
    pub fn is_done(&self) -> bool {
        let state = self.lock();
        let ending = *self.bells.stop.borrow() != Stop::No || state.quota == Some(0);
        ending && state.entries.is_empty() && state.trash.is_empty()
    }

    pub(super) fn give_back_unstarted(&self, state: &mut State, why: GiveBack) {
        let unstarted: Vec<Held> = state.unstarted.iter().map(|run| run.held.clone()).collect();
        for held in unstarted {
            self.give_back(state, &held, why);
        }
    }
}
