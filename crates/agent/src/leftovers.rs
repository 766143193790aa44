//! What an earlier process of this agent left behind when it died: ended, removed and reported.
//!
//! Processes are recognised by what their runs wrote down, and nothing else is touched. Each run is reported as
//! `agent_died` with its stored token, so that the coordinator hears of it now and not at the end of the lease, and what
//! was held ahead and never started is given back. The records stay until all that was answered; then this actor has
//! nothing left to do and ends.

use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use domain::job::{GiveBack, Report, RunEnd};
use domain::{AgentId, Cause};
use executor::CleanUpError;
use protocol::client::{ClientError, Options};
use protocol::leases::{
    Finish, FinishReply, FinishRequest, FinishResult, Held, Proof, ReleaseRequest, RenewReply, RenewRequest,
};
use protocol::limits::LEASES_PER_REQUEST_MAX;
use serde::de::IgnoredAny;
use supervision::{Actor, ChildSpec, Ctx, Failure, Handle, Restart};

use crate::Station;
use crate::backoff::backoff;
use crate::blocking::blocking;
use crate::clock::jitter;
use crate::footprint::Footprint;
use crate::refusal::is_passing;

/// Messages that may wait; nobody sends any.
const MAILBOX: usize = 8;

/// What wakes this actor.
pub enum Msg {
    /// It is time to look.
    Look,
    /// All is done, or something must be tried again.
    Cleared(Result<(), ClearError>),
}

/// Why something is still left.
#[derive(Debug, thiserror::Error)]
pub enum ClearError {
    /// Records or files cannot be read or removed.
    #[error("cannot read what an earlier process left: {0}")]
    Files(#[from] io::Error),
    /// A process of an earlier run does not end.
    #[error("cannot {0}")]
    Processes(#[from] CleanUpError),
    /// The coordinator cannot be told.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// See the module.
pub struct Leftovers {
    station: Arc<Station>,
}

/// What dies with this actor.
#[derive(Default)]
pub struct State {
    failures: u32,
}

/// Restarted only after a failure: it ends when its work is done.
pub fn child_spec(station: &Arc<Station>) -> ChildSpec {
    let station = Arc::clone(station);
    let make = move || Leftovers {
        station: Arc::clone(&station),
    };
    ChildSpec::worker("leftovers", &Handle::new("leftovers", MAILBOX), make).restart(Restart::Transient)
}

impl Actor for Leftovers {
    type Msg = Msg;
    type State = State;

    async fn start(&self, ctx: &Ctx<Msg>) -> Result<State, Failure> {
        ctx.tell_self(Msg::Look);
        Ok(State::default())
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, state: &mut State) -> Result<(), Failure> {
        match msg {
            Msg::Look => {
                let station = Arc::clone(&self.station);
                ctx.task(async move { Msg::Cleared(clear(&station).await) })?;
            }
            Msg::Cleared(Ok(())) => ctx.stop_self(),
            Msg::Cleared(Err(error)) => {
                if state.failures == 0 {
                    tracing::warn!(%error, "what an earlier process left is not cleared yet: trying again");
                }
                state.failures = state.failures.saturating_add(1);
                ctx.tick_after(backoff(state.failures, jitter()), Msg::Look);
            }
        }
        Ok(())
    }
}

/// Everything from the beginning: what was done before is found done. A run is reported when it is certainly over, then
/// what was never started is given back, and files, which may be many, are removed last.
async fn clear(station: &Arc<Station>) -> Result<(), ClearError> {
    let reading = Arc::clone(station);
    let earlier = blocking(move || reading.footprints.of_earlier_processes()).await?;
    let (mut over, mut alive) = (Vec::new(), None);
    for run in earlier.runs {
        match end(station, &run).await {
            Ok(()) => over.push(run),
            Err(error) => alive = Some(error),
        }
    }
    for part in over.chunks(LEASES_PER_REQUEST_MAX) {
        report(station, part).await?;
    }
    // One that cannot be ended keeps nobody else from being reported, but its lease must not pass for an unstarted one.
    if let Some(error) = alive {
        return Err(error.into());
    }
    for agent in earlier.agents {
        give_back_unstarted(station, agent).await?;
    }
    let (removing, files) = (Arc::clone(station), earlier.files);
    blocking(move || {
        files.iter().try_for_each(|file| remove_file(file))?;
        remove_files(&removing)
    })
    .await?;
    Ok(())
}

/// Ends what is left of a run.
async fn end(station: &Station, run: &Footprint) -> Result<(), CleanUpError> {
    let Some(identity) = &run.identity else {
        return Ok(());
    };
    let cleaned = station.executor.clean_up(identity).await?;
    if cleaned.killed > 0 {
        tracing::info!(job.id = %run.job, killed = cleaned.killed, "ended what an earlier run left");
    }
    Ok(())
}

/// Gives back what an earlier process held ahead. All that it had started is known and its reports are decided, so what
/// is still its is unstarted, and nobody need be charged for it.
async fn give_back_unstarted(station: &Station, agent: AgentId) -> Result<(), ClearError> {
    let request = RenewRequest {
        agent,
        leases: Vec::new(),
    };
    let answer = station
        .client
        .post::<RenewReply>("/v1/leases/renew", &request, Options::default().repeatable())
        .await;
    station.heard(&answer);
    let unstarted = match answer {
        Ok(reply) => reply.unlisted,
        // It never enrolled, or was forgotten long ago.
        Err(error) if error.code() == Some("agent_unknown") => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let leases: Vec<Proof> = unstarted
        .into_iter()
        .map(|lease| Proof {
            job: lease.job,
            token: lease.token,
        })
        .collect();
    for part in leases.chunks(LEASES_PER_REQUEST_MAX) {
        tracing::info!(
            leases = part.len(),
            "giving back what an earlier process held and never started"
        );
        let request = ReleaseRequest {
            leases: part.to_vec(),
            why: GiveBack::HeldAhead,
        };
        station
            .client
            .post::<IgnoredAny>("/v1/leases/release", &request, Options::default().repeatable())
            .await?;
    }
    Ok(())
}

/// Removes all work directories and logs that belong to no lease of this process.
fn remove_files(station: &Station) -> io::Result<()> {
    for left in station.work.leftovers()? {
        let ours = left.job.parse().is_ok_and(|job| {
            station.table.holds(&Held {
                job,
                attempt: left.attempt,
            })
        });
        if !ours {
            station.work.remove(&left.job, left.attempt)?;
        }
    }
    for entry in fs::read_dir(station.table.places().spool.as_path())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = name
            .rsplit_once('.')
            .is_some_and(|(job, attempt)| match (job.parse(), attempt.parse()) {
                (Ok(job), Ok(attempt)) => station.table.holds(&Held { job, attempt }),
                _ => false,
            });
        if !ours {
            remove_file(&entry.path())?;
        }
    }
    Ok(())
}

async fn report(station: &Station, left: &[Footprint]) -> Result<(), ClearError> {
    let finishes = left.iter().map(|footprint| Finish {
        job: footprint.job.clone(),
        token: footprint.token.clone(),
        report: Report {
            end: RunEnd::Failed(Cause::AgentDied),
            evidence: None,
        },
        log: None,
        artifacts: Vec::new(),
    });
    let request = FinishRequest {
        finishes: finishes.collect(),
        claim: None,
    };
    let answer = station
        .client
        .post::<FinishReply>("/v1/leases/finish", &request, Options::default().repeatable())
        .await;
    station.heard(&answer);
    for (footprint, result) in left.iter().zip(answer?.results) {
        if let FinishResult::Refused(problem) = &result
            && is_passing(problem)
        {
            return Err(ClientError::Problem(Box::new(problem.clone())).into());
        }
        tracing::info!(job.id = %footprint.job, attempt = footprint.attempt, ?result, "reported a run of an earlier process");
    }
    Ok(())
}

/// Removes a file that somebody else may just have removed.
fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
