//! What a started run leaves on disk, so that the next process of the agent finds it after a crash.
//!
//! One small file for each started run, written before the spawn and again after it, when it can name the process. The
//! files are reused: overwriting one costs a few microseconds, making one fifty. They are not fsynced, because they must
//! survive the death of the process and not that of the machine, after which there is nothing to find: their names say
//! in which boot they can be trusted. A file's first line counts; what an earlier, longer record left behind it does not.
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
    /// The ids of those of which every started run is known.
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
    /// The present boot.
    boot: String,
    /// Written to by the actors of all slots, at any time, without waiting for an actor; held for one small write.
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    open: Vec<File>,
    free: Vec<usize>,
}

impl Footprints {
    /// The footprints that this process will leave in `dir` during this boot.
    pub fn new(dir: &Path, agent: AgentId, boot: String) -> Self {
        Self {
            dir: dir.to_owned(),
            agent,
            boot,
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
            None => files.take_one(|index| self.path(index))?,
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
            fs::remove_file(self.path(index)).ok();
        }
    }

    fn path(&self, index: usize) -> PathBuf {
        self.dir.join(format!("{}-{index}-{}", self.agent, self.boot))
    }

    /// Reads what earlier processes left. Nothing is removed: the files are all that is known of them.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn of_earlier_processes(&self) -> io::Result<Earlier> {
        let (mut earlier, mut in_doubt) = (Earlier::default(), BTreeSet::new());
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
            let mut parts = name.splitn(3, '-');
            let agent: Option<AgentId> = parts.next().and_then(|agent| agent.parse().ok());
            let of_this_boot = parts.nth(1) == Some(self.boot.as_str());
            let footprint = read(&path);
            if !of_this_boot || footprint.is_err() {
                in_doubt.extend(agent.clone());
            }
            earlier.agents.extend(agent);
            match footprint {
                Ok(footprint) => earlier.runs.extend(footprint),
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "the record of an earlier run cannot be read: ignored");
                }
            }
            earlier.files.push(path);
        }
        earlier.agents.retain(|agent| !in_doubt.contains(agent));
        Ok(earlier)
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    /// A file that nobody uses, made if there is none.
    fn take_one(&mut self, path: impl FnOnce(usize) -> PathBuf) -> io::Result<usize> {
        if let Some(index) = self.free.pop() {
            return Ok(index);
        }
        let path = path(self.open.len());
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
    // What was wiped is an empty line and not an empty file: that was cut off.
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    match &bytes[..end] {
        [] => Ok(None),
        line => serde_json::from_slice(line).map(Some).map_err(io::Error::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"job":"default-00000000000000000000000000","attempt":1,"token":"1.seal"}"#;

    fn id(number: usize) -> AgentId {
        format!("{number:026}").parse().unwrap()
    }

    #[test]
    fn an_agent_is_in_doubt_if_one_of_its_records_is_cut_off_or_of_another_boot() {
        let dir = tempfile::TempDir::new().unwrap();
        let whole = format!("{RECORD}\n");
        let cut = &RECORD[..20];
        let files = [
            (1, "-0-b-1", whole.as_str()),
            (1, "-1-b-1", "\nrest"),
            (2, "-0-b-1", ""),
            (2, "-1-b-1", "\n"),
            (3, "-0-b-1", cut),
            (4, "-0-b-1", RECORD),
            (5, "-0-b-0", "\n"),
            (6, "-0", "\n"),
            (7, "-0-b-1", whole.as_str()),
        ];
        for (agent, name, content) in files {
            fs::write(dir.path().join(format!("{}{name}", id(agent))), content).unwrap();
        }
        let own = Footprints::new(dir.path(), id(7), "b-1".to_owned());
        let earlier = own.of_earlier_processes().unwrap();
        assert_eq!(earlier.agents, BTreeSet::from([id(1)]));
        assert_eq!((earlier.runs.len(), earlier.files.len()), (1, files.len() - 1));
    }
}
