//! One started process of the program, with its log in a file.
//!
//! It is ended by its process id when it is dropped, at once and without a word.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait::within_limit;

/// A running process.
#[derive(Debug)]
pub struct Role {
    child: Child,
    log: PathBuf,
}

impl Role {
    /// Starts a command with its standard error in the file `log`.
    ///
    /// # Errors
    /// The file cannot be made, or the command cannot be started.
    pub fn start(mut command: Command, log: PathBuf) -> Result<Self> {
        let file = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        Ok(Self { child, log })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file of its log.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// Its log so far.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn log(&self) -> Result<String> {
        let bytes = fs::read(&self.log).with_context(|| format!("read {}", self.log.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// The process has ended already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal)
            .with_context(|| format!("send {signal:?} to process {}", self.pid()))
    }

    /// Kills it without a warning, and waits until it is gone.
    ///
    /// # Errors
    /// It had ended already.
    pub fn kill(mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.child.wait().context("wait for a killed process")?;
        Ok(())
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// The operating system cannot say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("look at a process")
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// It has not after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!(
            "the end of process {}, which logs to {}",
            self.pid(),
            self.log.display()
        );
        within_limit(&what, limit, || self.ended())
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // It may be stopped; SIGKILL ends it all the same.
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}
