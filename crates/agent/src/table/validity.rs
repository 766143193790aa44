//! How long leases are good for without another word of the coordinator.
//!
//! A lease is confirmed from the moment at which an accepted request was *sent*: the coordinator cannot have counted
//! from earlier. Shortly before it runs out its command is frozen, not killed; the next accepted renewal thaws it, a
//! refusal kills it. That saves work and keeps a machine that was cut off from working in vain. Safety does not hang
//! on it: the token does that.

use std::time::Duration;

use domain::job::GiveBack;
use protocol::leases::{Held, Proof, Renewal, Standing};
use tokio::time::Instant;

use super::RunTable;
use super::phase::{Halt, Phase};
use crate::clock::BootTime;
use crate::history::{Event, note};

/// A command is frozen when this part of its lease's life has passed without a renewal.
pub(super) const FREEZE_AT: f64 = 0.8;
/// A lease is renewed when this part of its life has passed.
pub(super) const RENEW_AT: f64 = 1.0 / 3.0;

impl RunTable {
    /// The leases to renew: all of them together, as soon as one is due.
    pub fn due_renewals(&self, now: BootTime) -> Option<Vec<Proof>> {
        let due = {
            let state = self.lock();
            let mut kept = state.entries.values().filter(|entry| entry.is_kept());
            kept.any(|entry| now >= entry.confirmed_at.plus(entry.run.ttl.mul_f64(RENEW_AT)))
        };
        due.then(|| self.all_renewals())
    }

    /// The leases that are kept alive, due or not.
    pub fn all_renewals(&self) -> Vec<Proof> {
        let state = self.lock();
        let kept = state.entries.values().filter(|entry| entry.is_kept());
        kept.map(|entry| entry.run.proof.clone()).collect()
    }

    /// What to send for these leases: with each, how long its command has run.
    pub fn renewals(&self, proofs: &[Proof], now: Instant) -> Vec<Renewal> {
        let state = self.lock();
        let renewal = |proof: &Proof| {
            let entry = held_of(proof).and_then(|held| state.entries.get(&held));
            let ran = entry.map_or(Duration::ZERO, |entry| entry.ran(now));
            let ran_ms = u64::try_from(ran.as_millis()).unwrap_or(u64::MAX);
            Renewal {
                ran_ms,
                ..proof.clone().into()
            }
        };
        proofs.iter().map(renewal).collect()
    }

    /// Takes in the answer to a renewal that was sent at `sent_at`.
    pub fn renewed(&self, proofs: &[Proof], standings: &[Standing], sent_at: BootTime, now: Instant) {
        let mut guard = self.lock();
        let state = &mut *guard;
        for (proof, standing) in proofs.iter().zip(standings) {
            let Some(held) = held_of(proof) else { continue };
            let Some(entry) = state.entries.get_mut(&held) else {
                continue;
            };
            match standing {
                Standing::Live | Standing::Cancel => {
                    entry.confirmed_at = entry.confirmed_at.max(sent_at);
                    if let Phase::Running(watched) = &mut entry.phase
                        && watched.frozen_at.is_some()
                    {
                        watched.thaw(now);
                        note(&self.shape.agent, &held, Event::Thawed);
                        entry.run.wake.notify_one();
                    }
                    if *standing == Standing::Cancel {
                        entry.want(Halt::Cancel);
                    }
                }
                Standing::Lost => self.lose(state, &held),
            }
        }
        if !state.unstarted.is_empty() {
            self.ring_for_work(state);
        }
    }

    /// Kills what runs under a lost lease. The entry stays until the processes are gone.
    fn lose(&self, state: &mut super::State, held: &protocol::leases::Held) {
        let Some(entry) = state.entries.get_mut(held) else {
            return;
        };
        tracing::warn!(job.id = %held.job, attempt = held.attempt, "the lease is lost: its run is given up");
        entry.lost = true;
        match &mut entry.phase {
            Phase::Running(watched) => watched.kill(Halt::Preempt),
            Phase::Preparing | Phase::Starting(_) | Phase::Collecting(_) => {}
            Phase::Unstarted | Phase::Ended(_) | Phase::Returning(_) => {
                self.forget(state, held);
                return;
            }
        }
        entry.run.wake.notify_one();
    }

    /// Freezes what would outlive its lease, and says when to look again; never, when nothing is held.
    pub fn freeze_due(&self, now: BootTime, instant: Instant) -> Option<Duration> {
        let mut state = self.lock();
        for entry in state.entries.values_mut() {
            let due = entry.freezes_by(now);
            if let Phase::Running(watched) = &mut entry.phase
                && due
                && watched.frozen_at.is_none()
                && watched.halting.is_none()
            {
                watched.freeze(instant);
                note(&self.shape.agent, &entry.run.held, Event::Frozen);
                entry.run.wake.notify_one();
            }
        }
        let shortest = state.entries.values().map(|entry| entry.run.ttl).min()?;
        Some((shortest / FENCE_LOOKS).clamp(FENCE_STEP_MIN, FENCE_STEP_MAX))
    }

    /// The coordinator says whether it wants this agent to take more jobs.
    pub fn draining(&self, draining: bool) {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.draining == draining {
            return;
        }
        state.draining = draining;
        if draining {
            self.give_back_unstarted(state, GiveBack::Drain);
        } else {
            self.bells.open.notify_one();
        }
    }
}

/// The lease that a proof is of. The job alone does not name it, its token is of one attempt.
fn held_of(proof: &Proof) -> Option<Held> {
    let (attempt, ..) = proof.token.parts()?;
    Some(Held {
        job: proof.job.clone(),
        attempt,
    })
}

/// How often the fence looks during the life of a lease. Timers stand still while a machine sleeps, so it cannot wait
/// for a moment; it has to look.
const FENCE_LOOKS: u32 = 20;
/// The shortest and the longest time between two looks.
const FENCE_STEP_MIN: Duration = Duration::from_millis(10);
const FENCE_STEP_MAX: Duration = Duration::from_millis(250);
