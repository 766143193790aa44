//! The command line, as a person in front of a terminal has it: its own environment, and nothing of ours.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait::eventually;

/// How commands are run.
#[derive(Debug, Clone)]
pub struct Cli {
    binary: PathBuf,
    home: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
}

/// A command that runs. It is killed when this is dropped.
#[derive(Debug)]
pub struct Interactive {
    child: Child,
    readers: Option<[JoinHandle<std::io::Result<Vec<u8>>>; 2]>,
}

impl Cli {
    /// Commands that find their coordinator in the data directory `data`, run in `home`.
    pub fn new(binary: &Path, data: &Path, home: &Path) -> Self {
        let environment = vec![("HIVEFORGE_DATA".into(), data.into())];
        Self {
            binary: binary.to_owned(),
            home: home.to_owned(),
            environment,
        }
    }

    /// The same with one more variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<Finished> {
        self.start(arguments)?.finish()
    }

    /// Runs a command that must end with 0, and returns its standard output as text.
    ///
    /// # Errors
    /// It cannot be started, or ends with another code.
    pub fn ok<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<String> {
        let finished = self.run(arguments)?;
        ensure!(
            finished.code == Some(0),
            "a command ended with {:?}: {}",
            finished.code,
            finished.stderr()
        );
        Ok(finished.stdout())
    }

    /// Starts a command.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<Interactive> {
        let mut command = self.command();
        let mut child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
        let readers = [
            thread::spawn(move || read_all(stdout.as_mut())),
            thread::spawn(move || read_all(stderr.as_mut())),
        ];
        Ok(Interactive {
            child,
            readers: Some(readers),
        })
    }

    /// The bare command: the program in its environment.
    pub fn command(&self) -> Command {
        self.command_under(&[])
    }

    /// The same as the last arguments of another program, e.g. of a tracer.
    #[expect(
        clippy::disallowed_methods,
        reason = "the rule is for agents; nothing here is large or fast"
    )]
    pub fn command_under(&self, wrapper: &[&str]) -> Command {
        let mut command = match wrapper.split_first() {
            None => Command::new(&self.binary),
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(&self.binary);
                command
            }
        };
        command
            .current_dir(&self.home)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.home)
            .envs(self.environment.iter().cloned());
        command
    }
}

fn read_all(source: Option<&mut impl std::io::Read>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(source) = source {
        source.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

impl Interactive {
    /// Sends a signal, as a terminal does for Ctrl-C.
    ///
    /// # Errors
    /// It has ended already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal).context("signal a command")
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It does not end, or its output cannot be read.
    pub fn finish(mut self) -> Result<Finished> {
        let status = eventually("the end of a command", || Ok(self.child.try_wait()?))?;
        let [stdout, stderr] = self.readers.take().context("finished once")?;
        let joined = |reader: JoinHandle<std::io::Result<Vec<u8>>>| -> Result<Vec<u8>> {
            Ok(reader.join().ok().context("a reader panicked")??)
        };
        Ok(Finished {
            code: status.code(),
            stdout: joined(stdout)?,
            stderr: joined(stderr)?,
        })
    }
}

impl Drop for Interactive {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

impl Finished {
    /// Standard output as text.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}
