//! The `process` executor: a command as a plain child process, in a session and process group of its own.
//!
//! It separates jobs from the agent's environment and file descriptors, not from its files: it is for commands
//! that their submitter could as well run by hand. A process that leaves the group (`setsid`) outlives the job
//! here; only its hold on the output is bounded. Memory is limited per process, not per job.
//!
//! [`crate::wait`] has the end of the process, [`crate::output`] its pipes; this joins the two.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{future, io};

use async_trait::async_trait;
use rustix::process::Signal;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until};

use crate::clean_up::{CleanUpError, CleanedUp, clean_up};
use crate::command::Command;
use crate::execution::{Drained, End, Execution, Executor, OutputEnd, Ready, Sink};
use crate::identity::{Identity, ProcessIdentity, boot_id};
use crate::launch::{Launch, LaunchError, Limit};
use crate::output::Output;
use crate::spawner::Spawner;
use crate::wait::{Child, ExitStatus, Usage};
use crate::watch::watch;

/// How long after the end of the main process a process that escaped the kill may keep the output open.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// Runs commands as plain child processes.
#[derive(Debug)]
pub struct ProcessExecutor {
    spawner: Spawner,
    boot_id: String,
}

impl ProcessExecutor {
    /// Returns an executor that starts its processes through `spawner`.
    pub fn new(spawner: Spawner) -> io::Result<Self> {
        Ok(Self {
            spawner,
            boot_id: boot_id()?,
        })
    }
}

#[async_trait]
impl Executor for ProcessExecutor {
    fn name(&self) -> &'static str {
        "process"
    }

    fn enforces(&self) -> &'static [Limit] {
        &[Limit::Memory, Limit::OpenFiles, Limit::FileSize]
    }

    async fn start(&self, launch: Launch) -> Result<Arc<dyn Execution>, LaunchError> {
        let workdir = launch.workdir.clone();
        let (output, stdout, stderr) = Output::open().map_err(LaunchError::Pipes)?;
        let child = self
            .spawner
            .spawn(Command {
                launch,
                stdout,
                stderr,
            })
            .await?;
        let child = watch(child).map_err(LaunchError::Pipes)?;
        let boot_id = self.boot_id.clone();
        Ok(Arc::new(ProcessExecution {
            child,
            output,
            boot_id,
            workdir,
            phase: Mutex::new(Phase::Running),
        }))
    }

    async fn clean_up(&self, identity: &Identity) -> Result<CleanedUp, CleanUpError> {
        let Identity::Process(identity) = identity;
        clean_up(identity, &self.boot_id).await
    }
}

struct ProcessExecution {
    child: AsyncFd<Child>,
    output: Output,
    boot_id: String,
    workdir: PathBuf,
    /// Outlives the actors that look at it, so it cannot belong to one; never held across an await.
    phase: Mutex<Phase>,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Running,
    Frozen,
    /// The main process is reaped and its group was killed.
    Draining {
        status: ExitStatus,
        usage: Usage,
        until: Instant,
    },
    Ended(End),
}

#[async_trait]
impl Execution for ProcessExecution {
    fn identity(&self) -> Identity {
        let child = self.child.get_ref();
        Identity::Process(ProcessIdentity {
            pid: child.pid().as_raw_nonzero().get(),
            start_time: child.start_time(),
            boot_id: self.boot_id.clone(),
            workdir: self.workdir.clone(),
        })
    }

    async fn ready(&self) -> Ready {
        loop {
            if self.output.available() {
                return Ready::Output;
            }
            let until = match self.advance() {
                Phase::Ended(_) => return Ready::Ended,
                Phase::Draining { until, .. } => Some(until),
                Phase::Running | Phase::Frozen => None,
            };
            tokio::select! {
                () = self.exited(), if until.is_none() => {}
                () = self.output.changed() => {}
                () = wait_until(until) => {}
            }
        }
    }

    fn drain(&self, sink: &mut Sink<'_>, bytes_max: usize) -> io::Result<Drained> {
        self.output.drain(sink, bytes_max)
    }

    fn end(&self) -> Option<End> {
        match *self.phase() {
            Phase::Ended(end) => Some(end),
            Phase::Running | Phase::Frozen | Phase::Draining { .. } => None,
        }
    }

    fn terminate(&self) {
        let mut phase = self.phase();
        self.child.get_ref().signal(Signal::TERM);
        if matches!(*phase, Phase::Frozen) {
            self.child.get_ref().signal(Signal::CONT);
            *phase = Phase::Running;
        }
    }

    fn kill(&self) {
        self.child.get_ref().signal(Signal::KILL);
    }

    fn freeze(&self) {
        let mut phase = self.phase();
        if matches!(*phase, Phase::Running) {
            self.child.get_ref().signal(Signal::STOP);
            *phase = Phase::Frozen;
        }
    }

    fn thaw(&self) {
        let mut phase = self.phase();
        if matches!(*phase, Phase::Frozen) {
            self.child.get_ref().signal(Signal::CONT);
            *phase = Phase::Running;
        }
    }
}

impl ProcessExecution {
    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the steps towards the end that are due, and returns the phase that results.
    fn advance(&self) -> Phase {
        let mut phase = self.phase();
        if matches!(*phase, Phase::Running | Phase::Frozen)
            && let Ok((status, usage)) = self.child.try_io(Interest::READABLE, end)
        {
            *phase = Phase::Draining {
                status,
                usage,
                until: Instant::now() + DRAIN_LIMIT,
            };
        }
        if let Phase::Draining { status, usage, until } = *phase {
            let output = if self.output.closed() {
                Some(OutputEnd::Complete)
            } else if Instant::now() >= until && self.output.cut_off() {
                Some(OutputEnd::CutOff)
            } else {
                None
            };
            if let Some(output) = output {
                *phase = Phase::Ended(End {
                    status,
                    usage,
                    output,
                });
            }
        }
        *phase
    }

    /// Waits until the main process has ended.
    async fn exited(&self) {
        // An error says that the runtime is shutting down: whoever waits here is about to be dropped.
        let Ok(readable) = self.child.readable().await else {
            return future::pending().await;
        };
        drop(readable);
    }
}

fn end(child: &Child) -> io::Result<(ExitStatus, Usage)> {
    child.end().ok_or_else(|| io::ErrorKind::WouldBlock.into())
}

async fn wait_until(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => future::pending().await,
    }
}
