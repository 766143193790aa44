//! A role that is killed and started again, each time with a log of its own.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::{Cli, Role};
use rustix::process::Signal;

/// How long a role may take to stop when it is asked to.
const STOP_MAX: Duration = Duration::from_secs(60);

/// A role that is started again and again.
pub(crate) struct Process {
    /// What it is started with, each time.
    pub(crate) arguments: Vec<String>,
    /// In which environment.
    pub(crate) cli: Cli,
    /// Where its logs are, without the number of the start.
    pub(crate) logs: PathBuf,
    /// A mutex: strikes at one process wait for each other.
    pub(crate) state: Mutex<Lives>,
}

/// Its life and the number of its lives.
#[derive(Default)]
pub(crate) struct Lives {
    role: Option<Role>,
    starts: usize,
}

impl Process {
    /// The same with these fail points, unless a start has its own.
    pub(crate) fn breaking(mut self, points: &str) -> Self {
        self.cli = self.cli.with("FAILPOINTS", points);
        self
    }

    fn lives(&self) -> MutexGuard<'_, Lives> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self, start: usize) -> PathBuf {
        PathBuf::from(format!("{}-{start}.log", self.logs.display()))
    }

    /// What it has logged so far, one text for each start.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(crate) fn read_logs(&self) -> Result<Vec<String>> {
        let starts = self.lives().starts;
        let files = (1..=starts).map(|start| self.log(start));
        files
            .map(|file| Ok(String::from_utf8_lossy(&fs::read(file)?).into_owned()))
            .collect()
    }

    /// Starts it and returns at once.
    ///
    /// # Errors
    /// It runs, or cannot be started.
    pub(crate) fn start(&self, breaks: &str) -> Result<()> {
        let mut lives = self.lives();
        ensure!(lives.role.is_none(), "{} runs already", self.logs.display());
        lives.starts += 1;
        let mut command = self.cli.command();
        if !breaks.is_empty() {
            command.env("FAILPOINTS", breaks);
        }
        command.args(&self.arguments);
        lives.role = Some(Role::start(command, self.log(lives.starts))?);
        Ok(())
    }

    /// Kills it.
    ///
    /// # Errors
    /// It does not run.
    pub(crate) fn kill(&self) -> Result<()> {
        let role = self.lives().role.take();
        role.with_context(|| format!("{} does not run", self.logs.display()))?
            .kill()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It does not run.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let lives = self.lives();
        let role = lives.role.as_ref();
        role.with_context(|| format!("{} does not run", self.logs.display()))?
            .signal(signal)
    }

    /// Waits until it has ended by itself, and well.
    ///
    /// # Errors
    /// It does not run, does not end, or ends badly.
    pub(crate) fn ended_well(&self) -> Result<()> {
        let role = self.lives().role.take();
        let mut role = role.with_context(|| format!("{} does not run", self.logs.display()))?;
        let status = role.wait(STOP_MAX)?;
        ensure!(
            status.success(),
            "a role ended with {status}; its log is {}",
            role.log_file().display()
        );
        Ok(())
    }
}
