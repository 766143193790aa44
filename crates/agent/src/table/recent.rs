//! What the coordinator was told lately and has acknowledged, to be told again when the nexus may have forgotten it.
//!
//! A nexus that was restarted or replaced may have lost the last things that it acknowledged (`era`). Then every end and
//! every return of the last minutes is due once more, newest first, for the last ones are those that were lost; the
//! coordinator knows what it still has, and a repetition changes nothing. Memory is bounded: of a very busy agent only the newest are kept.

use std::collections::VecDeque;
use std::time::Duration;

use domain::job::GiveBack;
use protocol::Problem;
use protocol::leases::{Finish, FinishResult, Held, Proof};
use protocol::limits::FINISH_LOG_BYTES_MAX;

use super::{RunTable, State};
use crate::clock::BootTime;
use crate::refusal::is_passing;

/// How long it is kept.
pub(crate) const TOLD_FOR: Duration = Duration::from_secs(600);
/// How many are kept.
pub(crate) const TOLD_MAX: usize = 8_192;
/// How many bytes all of them may have, about.
pub(crate) const TOLD_BYTES_MAX: usize = 32 << 20;
/// How many are told again in one request: few, so that no new report waits long for the coordinator.
pub(crate) const AGAIN_MAX: usize = 64;
/// What one has beside its log and its artifacts, about, in bytes.
const TOLD_BYTES: usize = 512;
/// What an artifact has, about, in bytes.
const ARTIFACT_BYTES: usize = 256;

/// Something that the coordinator was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// How a run ended.
    Finish(Box<Finish>),
    /// That a lease was given back.
    Release(GiveBack, Proof),
}

impl Word {
    /// The lease that it is about.
    fn held(&self) -> Option<Held> {
        let (job, token) = match self {
            Self::Finish(finish) => (&finish.job, &finish.token),
            Self::Release(_, proof) => (&proof.job, &proof.token),
        };
        let (attempt, ..) = token.parts()?;
        let job = job.clone();
        Some(Held { job, attempt })
    }
}

/// Something to be told again, with the number under which it is remembered.
pub type Again = (u64, Word);

/// See the module.
#[derive(Default)]
pub(super) struct Recent {
    told: VecDeque<Told>,
    n_bytes: usize,
    next: u64,
    /// Something may be due.
    unsettled: bool,
}

struct Told {
    number: u64,
    word: Word,
    n_bytes: usize,
    at: BootTime,
    due: bool,
}

impl Recent {
    fn remember(&mut self, word: Word, now: BootTime) {
        let n_bytes = bytes_of(&word);
        self.told.push_back(Told {
            number: self.next,
            word,
            n_bytes,
            at: now,
            due: false,
        });
        self.next += 1;
        self.n_bytes += n_bytes;
        while self.told.len() > TOLD_MAX
            || self.n_bytes > TOLD_BYTES_MAX
            || self
                .told
                .front()
                .is_some_and(|told| now.since(told.at) > TOLD_FOR)
        {
            let Some(told) = self.told.pop_front() else { return };
            self.n_bytes -= told.n_bytes;
        }
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut Told> {
        let index = self.told.binary_search_by_key(&number, |told| told.number).ok()?;
        self.told.get_mut(index)
    }

    fn remove(&mut self, number: u64) {
        if let Ok(index) = self.told.binary_search_by_key(&number, |told| told.number)
            && let Some(told) = self.told.remove(index)
        {
            self.n_bytes -= told.n_bytes;
        }
    }
}

impl Told {
    fn is_fresh(&self, now: BootTime) -> bool {
        now.since(self.at) <= TOLD_FOR
    }
}

fn bytes_of(word: &Word) -> usize {
    match word {
        Word::Finish(finish) => {
            TOLD_BYTES + log_bytes_of(finish) + finish.artifacts.len().saturating_mul(ARTIFACT_BYTES)
        }
        Word::Release(..) => TOLD_BYTES,
    }
}

fn log_bytes_of(finish: &Finish) -> usize {
    finish.log.as_ref().map_or(0, bytes::Bytes::len)
}

impl RunTable {
    /// Remembers the reports that the coordinator has recorded.
    pub(crate) fn remember(&self, finishes: Vec<Finish>, results: &[FinishResult], now: BootTime) {
        let mut state = self.lock();
        for (finish, result) in finishes.into_iter().zip(results) {
            if matches!(result, FinishResult::Done) {
                state.recent.remember(Word::Finish(Box::new(finish)), now);
            }
        }
    }

    /// Remembers leases that the coordinator has taken back.
    pub(crate) fn remember_returned(&self, why: GiveBack, proofs: &[Proof], now: BootTime) {
        let mut state = self.lock();
        for proof in proofs {
            state.recent.remember(Word::Release(why, proof.clone()), now);
        }
    }

    /// All that is remembered is to be told again. Returns how much that is. Of anything else that the nexus thinks this
    /// process has, it is right from now on: an attempt that was lost with its end may be granted once more.
    pub(crate) fn tell_again(&self, now: BootTime) -> usize {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.recent.unsettled = true;
        state.forgotten.clear();
        let mut n_due = 0;
        let fresh = state.recent.told.iter_mut().filter(|told| told.is_fresh(now));
        for told in fresh {
            told.due = true;
            n_due += 1;
            if let Some(held) = told.word.held() {
                // As long as it is to be told, nobody who names it knows.
                state.forgotten.insert(&held, now.plus(TOLD_FOR));
            }
        }
        self.bells.ended.notify_one();
        n_due
    }

    /// The nexus thinks that this lease is live, and it is not held: if what became of it is remembered, that is to be told
    /// again, without waiting for word of another era. Returns whether it is.
    pub(super) fn is_told_again(&self, state: &mut State, held: &Held) -> bool {
        let now = BootTime::now();
        let mut fresh = state.recent.told.iter_mut().filter(|told| told.is_fresh(now));
        let Some(told) = fresh.find(|told| told.word.held().as_ref() == Some(held)) else {
            return false;
        };
        told.due = true;
        state.recent.unsettled = true;
        state.forgotten.insert(held, now.plus(TOLD_FOR));
        self.bells.ended.notify_one();
        true
    }

    /// What is to be told again first, as much as one request takes.
    pub(crate) fn again(&self, now: BootTime) -> Vec<Again> {
        let mut state = self.lock();
        if !state.recent.unsettled {
            return Vec::new();
        }
        let mut log_bytes = 0;
        let due = state
            .recent
            .told
            .iter()
            .rev()
            .filter(|told| told.due && told.is_fresh(now));
        let batch: Vec<Again> = due
            .take(AGAIN_MAX)
            .take_while(|told| {
                if let Word::Finish(finish) = &told.word {
                    log_bytes += log_bytes_of(finish);
                }
                log_bytes <= FINISH_LOG_BYTES_MAX
            })
            .map(|told| (told.number, told.word.clone()))
            .collect();
        state.recent.unsettled = !batch.is_empty();
        batch
    }

    /// Leases that were given back again.
    pub(crate) fn returned_again(&self, numbers: &[u64]) {
        let mut guard = self.lock();
        let state = &mut *guard;
        for number in numbers {
            if let Some(told) = state.recent.get_mut(*number) {
                told.due = false;
                if let Some(held) = told.word.held() {
                    state.forgotten.insert(&held, BootTime::now());
                }
            }
        }
    }

    /// Takes in the answer to a report that was sent again. Returns whether it is settled, and not refused for good.
    ///
    /// # Errors
    /// It was put off, and stays due.
    pub(crate) fn told_again(&self, number: u64, result: &FinishResult) -> Result<bool, Box<Problem>> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(told) = state.recent.get_mut(number) else {
            return Ok(true);
        };
        let mut is_taken = true;
        if let FinishResult::Refused(problem) = result {
            if is_passing(problem) {
                return Err(Box::new(problem.clone()));
            }
            if let Word::Finish(finish) = &mut told.word {
                let is_log = matches!(problem.code.as_str(), "log_incomplete" | "log_offset");
                if is_log && finish.report.evidence.take().is_some() {
                    // The log was shipped before and is gone here and there. How the run ended is worth more.
                    finish.log = None;
                    return Ok(true);
                }
                is_taken = false;
                tracing::debug!(job.id = %finish.job, %problem, "the end of a run was told again in vain");
            }
        }
        told.due = false;
        if let Some(held) = told.word.held() {
            state.forgotten.insert(&held, BootTime::now());
        }
        if !is_taken {
            // If the nexus thinks later that it runs here, there is nothing to tell that it would take: it runs once more.
            state.recent.remove(number);
        }
        Ok(is_taken)
    }
}
