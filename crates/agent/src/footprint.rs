//! What a started run leaves on disk, so that the next process of the agent finds it after a crash.
//!
//! One small file for each started run, written before the spawn and again after it, when it can name the process. The
//! files are reused: overwriting one costs a few microseconds, making one fifty. They are not fsynced, because they must
//! survive the death of the process and not that of the machine, after which there is nothing to find. A file's first
//! line counts; what an earlier, longer record left behind it does not.
//!
//! [`crate::leftovers`] is the reader.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::{AgentId, JobId};
use executor::Identity;
use protocol::LeaseToken;
use serde::{Deserialize, Serialize};

use crate::run::Run;

/// What is stored of one started run; its files are found by the names of job and attempt. The form is a promise: the next process may be of a newer version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footprint {
    /// The job.
    pub job: JobId,
    /// The attempt.
    pub attempt: u32,
    /// The lease's token: with it the next process may report the end.
    pub token: LeaseToken,
    /// How to find its processes; absent while they are being made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

/// What earlier processes of the agent left.
#[derive(Debug, Default)]
pub struct Earlier {
    /// Their ids.
    pub agents: BTreeSet<AgentId>,
    /// The runs that they had started and not reported.
    pub runs: Vec<Footprint>,
    /// The files that say so.
    pub files: Vec<PathBuf>,
}

/// The footprints of one process of the agent. Files are named by its id, so those of an earlier one are never touched.
#[derive(Debug)]
pub struct Footprints {
    dir: PathBuf,
    agent: AgentId,
    /// Written to by the actors of all slots, at any time, without waiting for an actor; held for one small write.
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    open: Vec<File>,
    free: Vec<usize>,
}

impl Footprints {
    /// The footprints that this process will leave in `dir`.
    pub fn new(dir: &Path, agent: AgentId) -> Self {
        Self {
            dir: dir.to_owned(),
            agent,
            files: Mutex::default(),
        }
    }

    /// Records a run that is about to be started, or that has been, when its `identity` is known.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn mark(&self, run: &Run, identity: Option<Identity>) -> io::Result<()> {
        let footprint = Footprint {
            job: run.held.job.clone(),
            attempt: run.held.attempt,
            token: run.proof.token.clone(),
            identity,
        };
        let mut line = serde_json::to_vec(&footprint)?;
        line.push(b'\n');
        let mut files = self.lock();
        let index = match self.index_of(run) {
            Some(index) => index,
            None => files.take_one(&self.dir, &self.agent)?,
        };
        *run.footprint.lock().unwrap_or_else(PoisonError::into_inner) = Some(index);
        files.open[index].write_all_at(&line, 0)
    }

    /// Wipes the footprint of a run that is over and reported. A run that has none is no error.
    pub fn wipe(&self, run: &Run) {
        let mut files = self.lock();
        let Some(index) = run
            .footprint
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        else {
            return;
        };
        if let Err(error) = files.open[index].write_all_at(b"\n", 0) {
            // The next process reports a run that is long over, and is told so.
            tracing::warn!(%error, "cannot wipe the record of a run that is over");
        }
        files.free.push(index);
    }

    fn index_of(&self, run: &Run) -> Option<usize> {
        *run.footprint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the files that hold nothing: the process ends in order.
    pub fn tidy_up(&self) {
        let files = self.lock();
        for &index in &files.free {
            fs::remove_file(self.dir.join(format!("{}-{index}", self.agent))).ok();
        }
    }

    /// Reads what earlier processes left. Nothing is removed: the files are all that is known of them.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn of_earlier_processes(&self) -> io::Result<Earlier> {
        let mut earlier = Earlier::default();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if name.starts_with(self.agent.as_str()) {
                continue;
            }
            earlier
                .agents
                .extend(name.split_once('-').and_then(|(agent, _)| agent.parse().ok()));
            match read(&path) {
                Ok(footprint) => earlier.runs.extend(footprint),
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "the record of an earlier run cannot be read: ignored");
                }
            }
            earlier.files.push(path);
        }
        Ok(earlier)
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    /// A file that nobody uses, made if there is none.
    fn take_one(&mut self, dir: &Path, agent: &AgentId) -> io::Result<usize> {
        if let Some(index) = self.free.pop() {
            return Ok(index);
        }
        let path = dir.join(format!("{agent}-{}", self.open.len()));
        self.open.push(
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path)?,
        );
        Ok(self.open.len() - 1)
    }
}

fn read(path: &Path) -> io::Result<Option<Footprint>> {
    let bytes = fs::read(path)?;
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    if line.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(line).map(Some).map_err(io::Error::from)
}
