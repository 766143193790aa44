//! Where a run takes place: its directory, its inputs, its environment, its limits.
//!
//! Preparing is made to be repeated: what an interrupted attempt at it left is removed first. Inputs are fetched from the
//! coordinator by digest and written beneath the work directory only; the bytes are checked against the digest before
//! the command can see them.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use domain::spec::Input;
use domain::{Cause, Digest};
use executor::inputs::Inputs;
use executor::{Launch, Limits, RelativePath, environment};
use http_body_util::BodyExt as _;
use protocol::client::{ClientError, Options};
use sha2::{Digest as _, Sha256};

use crate::Station;
use crate::run::Run;

/// Why a run could not be prepared.
#[derive(Debug)]
pub(crate) enum NotPrepared {
    /// It ends with this.
    Failed(Cause),
    /// Nobody could be reached for the inputs: to be tried again.
    Unreachable(ClientError),
}

/// Makes the work directory and the inputs, and returns how the command is to be started.
pub(crate) async fn prepare(station: &Station, run: &Run) -> Result<Launch, NotPrepared> {
    let workdir =
        make_workdir(station, run).map_err(|error| machine_failed("make the work directory", &error))?;
    let workdir = run.workdir.get_or_init(|| workdir);
    if !run.spec.inputs.is_empty() {
        let inputs =
            Inputs::open(workdir).map_err(|error| machine_failed("open the work directory", &error))?;
        for (path, input) in &run.spec.inputs {
            // On the heap, for most runs do without and should not carry it.
            Box::pin(fetch(station, &inputs, path, input)).await?;
        }
    }
    Ok(launch(station, run, workdir))
}

/// Makes the directory empty. One that is there is of an earlier try of this same attempt.
fn make_workdir(station: &Station, run: &Run) -> io::Result<PathBuf> {
    let (job, attempt) = (run.held.job.to_string(), run.held.attempt);
    match station.work.create(&job, attempt) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            station.work.remove(&job, attempt)?;
            station.work.create(&job, attempt)
        }
        made => made,
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

async fn fetch(station: &Station, inputs: &Inputs, path: &str, input: &Input) -> Result<(), NotPrepared> {
    let refused = |why: String| NotPrepared::Failed(Cause::CannotStart { why });
    let place = RelativePath::parse(path).map_err(|error| refused(format!("cannot {error}: `{path}`")))?;
    let url = format!("/v1/blobs/{}", input.digest);
    let answer = station
        .client
        .stream(&url, "application/octet-stream", Options::default())
        .await;
    let mut body = match answer {
        Ok(response) => response.into_body(),
        Err(error) if error.is_transient() => return Err(NotPrepared::Unreachable(error)),
        Err(ClientError::Problem(problem)) if problem.status == 404 => {
            return Err(NotPrepared::Failed(Cause::InputMissing {
                path: path.to_owned(),
            }));
        }
        Err(error) => {
            return Err(NotPrepared::Failed(Cause::AgentFault {
                why: format!("cannot fetch `{path}`: {error}"),
            }));
        }
    };
    let mut file = inputs
        .place(&place, input.executable)
        .map_err(|error| refused(format!("cannot {error}")))?;
    let mut hasher = Sha256::new();
    while let Some(frame) = body.frame().await {
        let broken = |why: String| {
            let url = station.client.url().to_owned();
            NotPrepared::Unreachable(ClientError::Unreachable { url, why })
        };
        let frame = frame.map_err(|error| broken(error.to_string()))?;
        if let Ok(data) = frame.into_data() {
            file =
                write(file, &mut hasher, data).map_err(|error| machine_failed("write an input", &error))?;
        }
    }
    if Digest::from_bytes(hasher.finalize().into()) != input.digest {
        let why = format!("`{path}` arrived with another digest than {}", input.digest);
        return Err(NotPrepared::Failed(Cause::AgentFault { why }));
    }
    Ok(())
}

fn write(mut file: File, hasher: &mut Sha256, data: Bytes) -> io::Result<File> {
    hasher.update(&data);
    file.write_all(&data)?;
    Ok(file)
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
