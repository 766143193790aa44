//! The jobs of one world: what they are, and what they say of themselves.
//!
//! Each run leaves a line with its attempt and process in a file, so what really ran is known from outside of
//! HiveForge. Two jobs run until they are let go; the others are short, and of every kind that some actor has work with.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use domain::{JobId, JobSpec};
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// Bytes of output of a long job before it waits: more than an agent keeps back, so that it is shipped at once.
pub const TALK_BYTES: usize = 100_000;
/// Attempts that a gate lets go; no job has more.
const ATTEMPTS_MAX: usize = 3;
/// When a job becomes claimable that is not from the beginning.
const LATER_MS: u64 = 700;

/// The end of a job's script.
const RESULT: &str = "echo result > out.txt; echo over";
/// The last line of every log.
pub const LAST_LINE: &str = "over\n";

/// What jobs say of themselves, and the gates that hold the long ones.
pub struct Stage {
    directory: PathBuf,
}

/// Holds one job until it is opened.
pub struct Gate {
    path: PathBuf,
    /// Open for reading too, so that no end of it is ever missing.
    pipe: File,
}

/// One line of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// The attempt.
    pub attempt: u32,
    /// The process of its shell.
    pub pid: u32,
}

impl Stage {
    /// An empty stage in a directory that exists.
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
        }
    }

    /// A new gate, closed.
    ///
    /// # Errors
    /// The pipe cannot be made.
    pub fn gate(&self, name: &str) -> Result<Gate> {
        let path = self.directory.join(name);
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).context("make a pipe")?;
        let pipe = OpenOptions::new().read(true).write(true).open(&path)?;
        Ok(Gate { path, pipe })
    }

    /// A job that talks, and then runs until its gate is opened.
    ///
    /// # Errors
    /// The spec is none.
    pub fn long(&self, gate: &Gate) -> Result<JobSpec> {
        let script = format!(
            "head -c {TALK_BYTES} /dev/zero | tr '\\0' .; echo; {}; read go < {}; {RESULT}",
            self.says_that_it_runs(),
            gate.path.display()
        );
        self.spec(&script, "")
    }

    /// A job that is over at once.
    ///
    /// # Errors
    /// The spec is none.
    pub fn short(&self) -> Result<JobSpec> {
        self.spec(&self.quick(), "")
    }

    /// A job of a group that only one may run of at a time.
    ///
    /// # Errors
    /// The spec is none.
    pub fn grouped(&self) -> Result<JobSpec> {
        self.spec(&self.quick(), r#", "group": {"name": "narrow", "limit": 1}"#)
    }

    /// A job that becomes claimable a little later.
    ///
    /// # Errors
    /// The spec is none.
    pub fn later(&self) -> Result<JobSpec> {
        let mut spec = self.short()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let at = u64::try_from(now.as_millis())? + LATER_MS;
        spec.not_before = Some(domain::Timestamp(at));
        Ok(spec)
    }

    /// What ran of a job, in order.
    ///
    /// # Errors
    /// A line is not as jobs write it.
    pub fn ran(&self, job: &JobId) -> Result<Vec<Ran>> {
        let Ok(lines) = fs::read_to_string(self.directory.join(job.to_string())) else {
            return Ok(Vec::new());
        };
        let read = |line: &str| {
            let (attempt, pid) = line.split_once(' ').context("a line of a job")?;
            Ok(Ran {
                attempt: attempt.parse()?,
                pid: pid.parse()?,
            })
        };
        lines.lines().map(read).collect()
    }

    fn quick(&self) -> String {
        format!("{}; {RESULT}", self.says_that_it_runs())
    }

    fn says_that_it_runs(&self) -> String {
        let directory = self.directory.display();
        format!("echo $HIVEFORGE_ATTEMPT $$ >> {directory}/$HIVEFORGE_JOB_ID")
    }

    fn spec(&self, script: &str, more: &str) -> Result<JobSpec> {
        let script = serde_json::to_string(script)?;
        let mut json = String::new();
        write!(
            json,
            r#"{{"script": {script}, "artifacts": ["out.txt"], "max_attempts": {ATTEMPTS_MAX}{more}}}"#
        )?;
        Ok(JobSpec::from_json(&json)?)
    }
}

impl Gate {
    /// Lets the job go, in whatever attempt it is.
    ///
    /// # Errors
    /// The pipe cannot be written.
    pub fn open(&mut self) -> Result<()> {
        let lines = "go\n".repeat(ATTEMPTS_MAX);
        ensure!(
            self.pipe.write(lines.as_bytes())? == lines.len(),
            "a gate is stuck"
        );
        Ok(())
    }
}
