//! Where a run takes place: its directory, its inputs, its environment, its limits.
//!
//! Preparing is made to be repeated: what an interrupted attempt at it left is removed first. Inputs are fetched from the
//! coordinator by digest and written beneath the work directory only; the bytes are checked against the digest before
//! the command can see them.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::spec::Input;
use domain::{Cause, Digest};
use executor::inputs::Inputs;
use executor::{Launch, Limits, RelativePath, environment};
use protocol::client::{ClientError, Options, Reply};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::Station;
use crate::blocking::blocking;
use crate::refusal::lasting;
use crate::run::Run;

/// How long a coordinator may fall silent in the middle of an input.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Pieces of an input that may wait to be written.
const PIECES_MAX: usize = 4;

/// Why a run could not be prepared.
#[derive(Debug)]
pub(crate) enum NotPrepared {
    /// It ends with this.
    Failed(Cause),
    /// Nobody could be reached for the inputs: to be tried again.
    Unreachable(ClientError),
}

/// Makes the work directory and the inputs, and returns how the command is to be started.
pub(crate) async fn prepare(station: &Arc<Station>, run: &Arc<Run>) -> Result<Launch, NotPrepared> {
    let made = make_workdir(station, run).await;
    let workdir = made.map_err(|error| machine_failed("make the work directory", &error))?;
    let workdir = run.workdir.get_or_init(|| workdir);
    if !run.spec.inputs.is_empty() {
        let opened = Inputs::open(workdir);
        let inputs = opened.map_err(|error| machine_failed("open the work directory", &error))?;
        let inputs = Arc::new(inputs);
        for (path, input) in &run.spec.inputs {
            // On the heap, for most runs do without and should not carry it.
            Box::pin(fetch(station, &inputs, path, input)).await?;
        }
    }
    Ok(launch(station, run, workdir))
}

/// Makes the directory empty. One that is there is of an earlier try of this same attempt, and may hold much.
async fn make_workdir(station: &Arc<Station>, run: &Arc<Run>) -> io::Result<PathBuf> {
    let (job, attempt) = (run.held.job.to_string(), run.held.attempt);
    let errand = run.site.errand();
    match run.site.try_run(errand, || station.work.create(&job, attempt)) {
        Some(Err(error)) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Some(Ok(made)) => Ok(made),
        // There is one, or a predecessor is still at it.
        Some(Err(_)) | None => {
            let (station, run) = (Arc::clone(station), Arc::clone(run));
            let made = blocking(move || {
                run.site.run(errand, || {
                    station.work.remove(&job, attempt)?;
                    station.work.create(&job, attempt)
                })
            });
            let overtaken = || Err(io::Error::other("the run is over, or somebody else prepares it"));
            made.await.unwrap_or_else(overtaken)
        }
    }
}

fn launch(station: &Station, run: &Run, workdir: &Path) -> Launch {
    let spec = &run.spec;
    let job: Vec<_> = spec
        .env
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let agent = [
        ("HIVEFORGE_JOB_ID", run.held.job.to_string()),
        ("HIVEFORGE_ATTEMPT", run.held.attempt.to_string()),
        ("HIVEFORGE_AGENT", station.info.name.to_string()),
        ("HIVEFORGE_POOL", run.held.job.pool().to_string()),
    ];
    let agent = agent.map(|(name, value)| (name.to_owned(), value));
    Launch {
        argv: spec.argv(),
        env: environment::environment(&workdir.to_string_lossy(), &job, &agent),
        workdir: workdir.to_owned(),
        limits: Limits {
            memory: spec.limits.memory.map(|size| size.0),
            millicpus: spec.limits.cpus.map(domain::spec::Cpus::millis),
            pids: spec.limits.pids,
            open_files: None,
            file_size: spec.limits.disk.map(|size| size.0),
        },
    }
}

/// Brings one input to its place. What is there when it breaks off goes with the work directory, before the next try.
async fn fetch(
    station: &Station,
    inputs: &Arc<Inputs>,
    path: &str,
    input: &Input,
) -> Result<(), NotPrepared> {
    let place = RelativePath::parse(path).map_err(|error| refused(format!("cannot {error}: `{path}`")))?;
    let reply = ask_for(station, path, input).await?;
    let (pieces, received) = mpsc::channel(PIECES_MAX);
    let (inputs, executable) = (Arc::clone(inputs), input.executable);
    let writing = blocking(move || write(&inputs, &place, executable, received));
    let (read, written) = tokio::join!(read(reply, pieces), writing);
    // Whoever reads stops when nobody writes, so what the writer says comes first.
    let digest = written?;
    read?;
    if digest != input.digest {
        let why = format!("`{path}` arrived with another digest than {}", input.digest);
        return Err(NotPrepared::Failed(Cause::AgentFault { why }));
    }
    Ok(())
}

async fn ask_for(station: &Station, path: &str, input: &Input) -> Result<Reply, NotPrepared> {
    let url = format!("/v1/blobs/{}", input.digest);
    let answer = station
        .client
        .stream(&url, "application/octet-stream", Options::default())
        .await;
    match answer {
        Ok(reply) => Ok(reply),
        Err(ClientError::Problem(problem)) if problem.status == 404 => {
            Err(NotPrepared::Failed(Cause::InputMissing {
                path: path.to_owned(),
            }))
        }
        Err(error) => match lasting(&error) {
            None => Err(NotPrepared::Unreachable(error)),
            Some(problem) => {
                let why = format!("cannot fetch `{path}`: {problem}");
                Err(NotPrepared::Failed(Cause::AgentFault { why }))
            }
        },
    }
}

/// Passes a body on, until it ends or nobody takes it any more.
async fn read(mut reply: Reply, pieces: mpsc::Sender<Bytes>) -> Result<(), NotPrepared> {
    while let Some(piece) = reply.piece(SILENCE_MAX).await.map_err(NotPrepared::Unreachable)? {
        if pieces.send(piece).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Writes what comes, and returns its digest.
fn write(
    inputs: &Inputs,
    place: &RelativePath,
    executable: bool,
    mut pieces: mpsc::Receiver<Bytes>,
) -> Result<Digest, NotPrepared> {
    let placed = inputs.place(place, executable);
    let mut file = placed.map_err(|error| refused(format!("cannot {error}")))?;
    let mut hasher = Sha256::new();
    while let Some(piece) = pieces.blocking_recv() {
        hasher.update(&piece);
        file.write_all(&piece)
            .map_err(|error| machine_failed("write an input", &error))?;
    }
    Ok(Digest::from_bytes(hasher.finalize().into()))
}

/// The run cannot be started as its spec says.
fn refused(why: String) -> NotPrepared {
    NotPrepared::Failed(Cause::CannotStart { why })
}

/// The cause of a run that the machine failed.
pub(crate) fn machine_failed(doing: &str, error: &io::Error) -> NotPrepared {
    NotPrepared::Failed(cause_of(doing, error))
}

/// What a failed operation on this machine means for the run.
pub(crate) fn cause_of(doing: &str, error: &io::Error) -> Cause {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Cause::Disk,
        _ => Cause::AgentFault {
            why: format!("cannot {doing}: {error}"),
        },
    }
}
