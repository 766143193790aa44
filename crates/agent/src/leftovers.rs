//! What an earlier process of this agent left behind when it died: ended, removed and reported.
//!
//! Processes are recognised by what their runs wrote down, and nothing else is touched. Each run is reported as
//! `agent_died` with its stored token, so that the coordinator hears of it now and not at the end of the lease. The
//! records stay until that was answered; then this actor has nothing left to do and ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use domain::Cause;
use domain::job::{Report, RunEnd};
use executor::CleanUpError;
use protocol::client::{ClientError, Options};
use protocol::leases::{Finish, FinishReply, FinishRequest, Held};
use protocol::limits::LEASES_PER_REQUEST_MAX;
use supervision::{Actor, ChildSpec, Ctx, Failure, Handle, Restart};
use tokio::task::spawn_blocking;

use crate::Station;
use crate::backoff::backoff;
use crate::clock::jitter;
use crate::footprint::Footprint;

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

/// Everything from the beginning: what was done before is found done. A run is reported when it is certainly over, and
/// its files, which may be many, are removed afterwards.
async fn clear(station: &Arc<Station>) -> Result<(), ClearError> {
    let left = station.footprints.of_earlier_processes()?;
    for (_, footprint) in &left {
        if let Some(identity) = &footprint.identity {
            let cleaned = station.executor.clean_up(identity).await?;
            if cleaned.killed > 0 {
                tracing::info!(job.id = %footprint.job, killed = cleaned.killed, "ended what an earlier run left");
            }
        }
    }
    for part in left.chunks(LEASES_PER_REQUEST_MAX) {
        report(station, part).await?;
    }
    let removing = Arc::clone(station);
    let removed = spawn_blocking(move || remove_files(&removing)).await;
    Ok(removed.map_err(io::Error::from)??)
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

async fn report(station: &Station, left: &[(PathBuf, Footprint)]) -> Result<(), ClearError> {
    let finishes = left.iter().map(|(_, footprint)| Finish {
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
        .post::<FinishReply>("/v1/leases/finish", &request, Options::default())
        .await;
    station.heard(&answer);
    // Whatever the answer to each is, it is the coordinator's word: the record has served its purpose.
    for ((path, footprint), result) in left.iter().zip(answer?.results) {
        tracing::info!(job.id = %footprint.job, attempt = footprint.attempt, ?result, "reported a run of an earlier process");
        remove_file(path)?;
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
