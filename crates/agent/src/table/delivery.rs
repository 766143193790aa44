//! What the coordinator is still to be told: reports of ended runs, and leases that are given back.
//!
//! Both stay until the coordinator has answered. There is one reporter and it sends one request at a time, so nothing
//! here is marked as under way: after a crash everything unanswered is simply sent again, and the coordinator knows a
//! repetition for what it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::Cause;
use domain::job::{GiveBack, Report, RunEnd};
use protocol::Problem;
use protocol::jobs::Artifact;
use protocol::leases::{Finish, FinishResult, Held, LogReceived, Proof};
use protocol::limits::{FINISH_LOG_BYTES_MAX, LEASES_PER_REQUEST_MAX};

use super::phase::Phase;
use super::{RunTable, State};
use crate::refusal::is_passing;
use crate::run::Run;

/// A batch that has so many reports does not wait for more.
pub(crate) const BATCH_GOOD: usize = 16;

/// An ended run and what stands between it and its end.
#[derive(Debug)]
pub struct Delivery {
    report: Report,
    artifacts: Vec<Artifact>,
    /// The run has failed because its report was refused; refused again, it is forgotten.
    refused: bool,
    needs: Option<Supply>,
}

impl Delivery {
    /// How long the command ran, as far as it is reported.
    pub(super) fn ran(&self) -> Duration {
        self.report
            .evidence
            .as_ref()
            .map_or(Duration::ZERO, |evidence| evidence.ran.duration())
    }
}

/// What the coordinator lacks before it takes a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supply {
    /// The log, or its end.
    Log,
    /// Artifacts.
    Blobs,
}

/// The coordinator cannot take any of the reports now; this is what it said of one.
#[derive(Debug, thiserror::Error)]
#[error("put off: {0}")]
pub struct PutOff(Box<Problem>);

/// Reports for one request.
#[derive(Debug)]
pub struct Batch {
    /// The runs, in the order of the finishes.
    pub runs: Vec<Arc<Run>>,
    /// Their reports.
    pub finishes: Vec<Finish>,
}

impl Delivery {
    pub(super) const fn new(report: Report, artifacts: Vec<Artifact>) -> Self {
        Self {
            report,
            artifacts,
            refused: false,
            needs: None,
        }
    }
}

impl RunTable {
    /// How many ended runs can be reported, and whether there is work to go on with meanwhile.
    pub fn reportable(&self) -> (usize, bool) {
        let state = self.lock();
        (state.ended.len(), state.unstarted.len() > state.idle())
    }

    /// The oldest reports that one request takes, at most `n_max`.
    pub fn batch(&self, n_max: usize) -> Batch {
        let state = self.lock();
        let mut batch = Batch {
            runs: Vec::new(),
            finishes: Vec::new(),
        };
        let mut log_bytes = 0;
        for run in &state.ended {
            let Some(Phase::Ended(delivery)) = state.entries.get(&run.held).map(|entry| &entry.phase) else {
                continue;
            };
            if delivery.needs.is_some() {
                continue;
            }
            let log = run.spool.inline().filter(|log| !log.is_empty());
            log_bytes += log.as_ref().map_or(0, bytes::Bytes::len);
            let full =
                batch.runs.len() >= n_max.min(LEASES_PER_REQUEST_MAX) || log_bytes > FINISH_LOG_BYTES_MAX;
            if full {
                break;
            }
            let Proof { job, token } = run.proof.clone();
            let (report, artifacts) = (delivery.report.clone(), delivery.artifacts.clone());
            batch.finishes.push(Finish {
                job,
                token,
                report,
                log,
                artifacts,
            });
            batch.runs.push(Arc::clone(run));
        }
        batch
    }

    /// Takes in the answers to a batch.
    ///
    /// # Errors
    /// Every report was put off: it is better to wait before the next.
    pub fn delivered(&self, runs: &[Arc<Run>], results: &[FinishResult]) -> Result<(), PutOff> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let (mut n_decided, mut put_off) = (0, None);
        for (run, result) in runs.iter().zip(results) {
            let Some(entry) = state.entries.get_mut(&run.held) else {
                continue;
            };
            let Phase::Ended(delivery) = &mut entry.phase else {
                continue;
            };
            let is_over = match result {
                FinishResult::Done => true,
                FinishResult::Refused(problem) if is_passing(problem) => {
                    put_off = Some(PutOff(Box::new(problem.clone())));
                    continue;
                }
                FinishResult::Refused(problem) => delivery.refused(run, problem),
            };
            n_decided += 1;
            if is_over {
                self.forget(state, &run.held);
            }
        }
        match put_off {
            Some(put_off) if n_decided == 0 => Err(put_off),
            _ => Ok(()),
        }
    }

    /// The request with this single report was refused as a whole.
    ///
    /// # Errors
    /// It was only put off.
    pub fn undeliverable(&self, run: &Arc<Run>, problem: &Problem) -> Result<(), PutOff> {
        let refused = FinishResult::Refused(problem.clone());
        self.delivered(std::slice::from_ref(run), &[refused])
    }

    /// The runs whose reports wait for something that has to be sent first.
    pub fn supplies(&self) -> Vec<(Arc<Run>, Supply)> {
        let state = self.lock();
        let needing = state
            .ended
            .iter()
            .filter_map(|run| match &state.entries.get(&run.held)?.phase {
                Phase::Ended(delivery) => delivery.needs.map(|supply| (Arc::clone(run), supply)),
                _ => None,
            });
        needing.collect()
    }

    /// What was missing has been sent: the report may go again.
    pub fn supplied(&self, run: &Run) {
        self.go_again(run, |_| {});
    }

    /// What is missing will never be there: the run has failed.
    pub fn unsuppliable(&self, run: &Run, why: &str) {
        tracing::error!(job.id = %run.held.job, why, "what a run left cannot be supplied: the run has failed");
        self.go_again(run, |delivery| delivery.fail(why));
    }

    fn go_again(&self, run: &Run, change: impl FnOnce(&mut Delivery)) {
        let mut state = self.lock();
        if let Some(entry) = state.entries.get_mut(&run.held)
            && let Phase::Ended(delivery) = &mut entry.phase
        {
            change(delivery);
            delivery.needs = None;
            self.bells.ended.notify_one();
        }
    }

    /// The manifest of an ended run.
    pub(crate) fn artifacts_of(&self, run: &Run) -> Vec<Artifact> {
        match self.lock().entries.get(&run.held).map(|entry| &entry.phase) {
            Some(Phase::Ended(delivery)) => delivery.artifacts.clone(),
            _ => Vec::new(),
        }
    }

    /// The leases to give back, by reason.
    pub fn returning(&self) -> Option<(GiveBack, Vec<Proof>)> {
        let state = self.lock();
        if state.returning == 0 {
            return None;
        }
        let mut by_reason: BTreeMap<u8, (GiveBack, Vec<Proof>)> = BTreeMap::new();
        for entry in state.entries.values() {
            if let Phase::Returning(why) = entry.phase {
                let (_, proofs) = by_reason.entry(why as u8).or_insert_with(|| (why, Vec::new()));
                proofs.push(entry.run.proof.clone());
            }
        }
        by_reason.into_values().next().map(|(why, mut proofs)| {
            proofs.truncate(LEASES_PER_REQUEST_MAX);
            (why, proofs)
        })
    }

    /// The coordinator has taken these leases back.
    pub fn returned(&self, proofs: &[Proof]) {
        let mut state = self.lock();
        for proof in proofs {
            if let Some((attempt, ..)) = proof.token.parts() {
                self.forget(
                    &mut state,
                    &Held {
                        job: proof.job.clone(),
                        attempt,
                    },
                );
            }
        }
    }
}

impl State {
    /// Whether the report of an ended run can be sent: nothing has to be sent before.
    pub(super) fn is_reportable(&self, run: &Run) -> bool {
        match self.entries.get(&run.held).map(|entry| &entry.phase) {
            Some(Phase::Ended(delivery)) => delivery.needs.is_none(),
            _ => false,
        }
    }
}

impl Delivery {
    /// Notes why a report was refused, for a reason that does not pass. Returns whether the run is over with that.
    fn refused(&mut self, run: &Run, problem: &Problem) -> bool {
        let job = &run.held.job;
        match problem.code.as_str() {
            "lease_lost" => {
                tracing::warn!(job.id = %job, attempt = run.held.attempt, "the lease was lost before the end was reported");
                true
            }
            "job_unknown" => {
                tracing::warn!(job.id = %job, "the job was forgotten before the end of its run was reported");
                true
            }
            "log_incomplete" | "log_offset" => {
                let there = serde_json::from_str::<LogReceived>(&problem.detail);
                run.spool.stored(there.map_or(0, |there| there.stored));
                self.needs = Some(Supply::Log);
                false
            }
            "blob_missing" => {
                self.needs = Some(Supply::Blobs);
                false
            }
            _ if self.refused => {
                tracing::error!(job.id = %job, %problem, "even the failure of a run is refused: given up");
                true
            }
            _ => {
                tracing::error!(job.id = %job, %problem, "the report of a run is refused: the run has failed");
                self.fail(&problem.detail);
                false
            }
        }
    }

    /// Lets the run have failed because its report is refused: whoever waits for the job learns why.
    fn fail(&mut self, why: &str) {
        self.refused = true;
        let why = why.to_owned();
        let had_artifacts = !std::mem::take(&mut self.artifacts).is_empty();
        if let Some(evidence) = &mut self.report.evidence {
            evidence.artifacts = 0;
        }
        match (&self.report.end, had_artifacts) {
            (RunEnd::Succeeded, true) => self.report.end = RunEnd::Failed(Cause::ArtifactRefused { why }),
            // The first failure is the one to know; without its artifacts it may be taken.
            (RunEnd::Failed(_) | RunEnd::Cancelled, true) => {}
            (_, false) => self.report.end = RunEnd::Failed(Cause::AgentFault { why }),
        }
    }
}
