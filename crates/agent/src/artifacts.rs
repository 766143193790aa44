//! What a run left behind, brought to the vault.
//!
//! After the command and all of its processes are dead, the files that match the spec's rules are listed, digested and
//! uploaded one after the other; the manifest travels with the finish and is visible only then. Everything here may be
//! repeated: a blob that the vault has is not sent again.

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::job::RunEnd;
use domain::{Cause, Digest};
use executor::artifacts::{Artifact as Found, ArtifactLimits, Artifacts, Patterns};
use protocol::client::{ClientError, Options, Upload};
use protocol::jobs::Artifact;
use protocol::limits::{ARTIFACTS_MAX, BLOB_BYTES_MAX};

use crate::Station;
use crate::blocking::blocking;
use crate::fingerprint::digest_of;
use crate::refusal::lasting;
use crate::run::Run;
use crate::table::Outcome;
use crate::workplace::cause_of;

/// Bytes of all artifacts of one attempt.
const ARTIFACT_BYTES_MAX: u64 = 4 * BLOB_BYTES_MAX;
/// Directory entries that are looked at.
const VISITED_MAX: usize = 1_000_000;
/// A file up to this size is sent without asking first whether it is there, from memory.
const SMALL_BYTES_MAX: u64 = 256 << 10;
/// How much of a larger file is in memory at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// How long one file may take, whatever its size,
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(600);
/// and beyond that, at the speed of the slowest uplink that is good enough.
const UPLOAD_BYTES_PER_SECOND: u64 = 100_000;

/// Why the artifacts are not with the coordinator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotCollected {
    /// The run has failed because of them.
    #[error("{0}")]
    Failed(Cause),
    /// To be tried again.
    #[error("cannot upload: {0}")]
    Client(#[from] ClientError),
}

impl NotCollected {
    /// Whether trying again is in vain.
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            Self::Failed(_) => true,
            Self::Client(error) => lasting(error).is_some(),
        }
    }
}

/// Collects and uploads the artifacts of a run. Returns how it ended, all things considered, and the manifest.
pub(crate) async fn collect(
    station: &Station,
    run: &Arc<Run>,
    outcome: &Outcome,
) -> Result<(RunEnd, Vec<Artifact>), ClientError> {
    if !outcome.leaves_artifacts() {
        return Ok((outcome.end.clone(), Vec::new()));
    }
    let failed = |cause| match outcome.end {
        // The first failure is the one to know.
        RunEnd::Succeeded => RunEnd::Failed(cause),
        RunEnd::Failed(_) | RunEnd::Cancelled => outcome.end.clone(),
    };
    let found = {
        let run = Arc::clone(run);
        blocking(move || find(&run)).await
    };
    let found = match found {
        Ok(found) => Arc::new(found),
        Err(cause) => return Ok((failed(cause), Vec::new())),
    };
    let mut manifest = Vec::with_capacity(found.files.len());
    for file in &found.files {
        match upload(station, &found, file).await {
            Ok(artifact) => manifest.push(artifact),
            Err(NotCollected::Failed(cause)) => return Ok((failed(cause), Vec::new())),
            Err(NotCollected::Client(error)) => match lasting(&error) {
                Some(problem) => {
                    let why = format!("cannot upload `{}`: {problem}", file.path.as_str());
                    return Ok((failed(Cause::AgentFault { why }), Vec::new()));
                }
                None => return Err(error),
            },
        }
    }
    let end = match complaint(run, &found) {
        Some(cause) => failed(cause),
        None => outcome.end.clone(),
    };
    Ok((end, manifest))
}

/// Uploads the artifacts of an ended run once more; its work directory is still there.
pub(crate) async fn upload_again(
    station: &Station,
    run: &Arc<Run>,
    manifest: &[Artifact],
) -> Result<(), NotCollected> {
    let again = Arc::clone(run);
    let found = blocking(move || find(&again))
        .await
        .map_err(NotCollected::Failed)?;
    let found = Arc::new(found);
    for file in &found.files {
        let artifact = upload(station, &found, file).await?;
        if !manifest.contains(&artifact) {
            let why = format!("`{}` changed after the run was over", artifact.path);
            return Err(NotCollected::Failed(Cause::ArtifactRefused { why }));
        }
    }
    Ok(())
}

fn find(run: &Run) -> Result<Artifacts, Cause> {
    let refused = |why: String| Cause::ArtifactRefused { why };
    let globs: Vec<String> = run.spec.artifacts.iter().map(|rule| rule.glob.clone()).collect();
    let patterns = Patterns::parse(&globs).map_err(|error| refused(format!("cannot {error}")))?;
    let limits = ArtifactLimits {
        files: ARTIFACTS_MAX,
        bytes: ARTIFACT_BYTES_MAX,
        visited: VISITED_MAX,
    };
    let workdir = run.workdir.get().expect("the command ran in it");
    Artifacts::find(workdir, &patterns, &limits).map_err(|error| refused(format!("cannot {error}")))
}

/// What is wrong with what was found, if anything.
fn complaint(run: &Run, found: &Artifacts) -> Option<Cause> {
    if let Some((path, refusal)) = found.refused.first() {
        return Some(Cause::ArtifactRefused {
            why: format!("`{path}`: cannot {refusal}"),
        });
    }
    let missing = run
        .spec
        .artifacts
        .iter()
        .find(|rule| !rule.optional && found.unmatched.contains(&rule.glob))?;
    Some(Cause::ArtifactMissing {
        glob: missing.glob.clone(),
    })
}

async fn upload(station: &Station, found: &Arc<Artifacts>, file: &Found) -> Result<Artifact, NotCollected> {
    let path = file.path.as_str().to_owned();
    let refused = |why: String| {
        NotCollected::Failed(Cause::ArtifactRefused {
            why: format!("`{path}`: {why}"),
        })
    };
    if file.size > BLOB_BYTES_MAX {
        return Err(refused(format!("it has more than {BLOB_BYTES_MAX} bytes")));
    }
    let unreadable = |error: io::Error| NotCollected::Failed(cause_of("read an artifact", &error));
    let opened = found
        .open(file)
        .map_err(|refusal| refused(format!("cannot {refusal}")))?;
    let size = file.size;
    let (digest, small, opened) = blocking(move || digest(opened, size)).await.map_err(unreadable)?;
    let artifact = Artifact {
        path: path.clone(),
        size,
        digest,
        executable: file.executable,
    };
    let url = format!("/v1/blobs/{digest}");
    let options = Options::default().timeout(upload_limit(size));
    let answer = match small {
        Some(bytes) => station.client.put(&url, Upload::bytes(bytes), options).await,
        None if station.client.head(&url).await?.is_some() => Ok(()),
        None => put_large(station, &url, opened, size, options).await,
    };
    station.heard(&answer);
    match answer {
        Ok(()) => Ok(artifact),
        Err(ClientError::Problem(problem)) if problem.status == 413 || problem.status == 422 => {
            Err(refused(problem.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

/// A megabit per second is enough. An upload that breaks off begins again.
const fn upload_limit(size: u64) -> Duration {
    UPLOAD_TIMEOUT.saturating_add(Duration::from_secs(size / UPLOAD_BYTES_PER_SECOND))
}

/// Reads a file once for its digest, and keeps its bytes if they are few.
fn digest(file: File, size: u64) -> io::Result<(Digest, Option<Bytes>, File)> {
    let mut reader = file.take(size);
    if size <= SMALL_BYTES_MAX {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes)?;
        return Ok((Digest::of(&bytes), Some(bytes.into()), reader.into_inner()));
    }
    Ok((digest_of(&mut reader)?, None, reader.into_inner()))
}

async fn put_large(
    station: &Station,
    url: &str,
    file: File,
    size: u64,
    options: Options,
) -> Result<(), ClientError> {
    let (chunks, body) = Upload::chunks(size);
    let reading = blocking(move || {
        io::Seek::rewind(&mut &file)?;
        let mut left = size;
        while left > 0 {
            let mut chunk = vec![0; CHUNK_BYTES.min(usize::try_from(left).unwrap_or(CHUNK_BYTES))];
            (&file).read_exact(&mut chunk)?;
            left -= chunk.len() as u64;
            if chunks.blocking_send(Ok(chunk.into())).is_err() {
                // Nobody sends any more; why, the request says.
                break;
            }
        }
        io::Result::Ok(())
    });
    let (answer, read) = tokio::join!(station.client.put(url, body, options), reading);
    if let Err(error) = read {
        tracing::warn!(%error, "cannot read an artifact to its end");
    }
    answer
}
