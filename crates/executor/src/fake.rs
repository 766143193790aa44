//! The `fake` executor: executions that follow a script in tokio's time, for the tests of those who watch them.
//!
//! It keeps the promises of [`crate::Execution`] without a process: output waits until it is drained, the end
//! comes after the last of it, a frozen script stands still. Under a paused clock everything happens at once,
//! in order. What was asked of it is on record.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::clean_up::{CleanUpError, CleanedUp};
use crate::execution::{Drained, End, Execution, Executor, OutputEnd, Ready, Sink, Stream};
use crate::identity::{Identity, ProcessIdentity};
use crate::launch::{Launch, LaunchError, Limit};
use crate::wait::{ExitStatus, Usage};

/// What one execution does, step by step. It runs for ever if no step is its exit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    /// Its steps, in order.
    pub steps: Vec<Step>,
    /// Whether it goes on after [`Execution::terminate`].
    pub ignores_terminate: bool,
}

/// One step of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Writes this.
    Write(Stream, Vec<u8>),
    /// Does nothing for so long.
    Wait(Duration),
    /// Ends.
    Exit(ExitStatus),
}

/// One thing that was asked of the executor or of one of its executions, by pid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// [`Executor::start`]
    Start(i32, Launch),
    /// [`Execution::terminate`]
    Terminate(i32),
    /// [`Execution::kill`]
    Kill(i32),
    /// [`Execution::freeze`]
    Freeze(i32),
    /// [`Execution::thaw`]
    Thaw(i32),
    /// [`Executor::clean_up`]
    CleanUp(Identity),
}

/// Decides by the launch what the execution will do, or why there is none.
pub type Director = dyn Fn(&Launch) -> Result<Script, LaunchError> + Send + Sync;

/// Pretends to run commands. Clones share their record.
#[derive(Clone)]
pub struct FakeExecutor {
    director: Arc<Director>,
    record: Arc<Mutex<Vec<Asked>>>,
}

impl FakeExecutor {
    /// Returns an executor whose executions do what `director` says.
    pub fn new(director: impl Fn(&Launch) -> Result<Script, LaunchError> + Send + Sync + 'static) -> Self {
        Self {
            director: Arc::new(director),
            record: Arc::default(),
        }
    }

    /// Returns all that was asked so far, in order.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.record).clone()
    }
}

#[async_trait]
impl Executor for FakeExecutor {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn enforces(&self) -> &'static [Limit] {
        &[]
    }

    async fn start(&self, launch: Launch) -> Result<Arc<dyn Execution>, LaunchError> {
        let script = (self.director)(&launch)?;
        let workdir = launch.workdir.clone();
        let pid = {
            let mut record = lock(&self.record);
            let pid = 1 + i32::try_from(record.len()).expect("a test asks less");
            record.push(Asked::Start(pid, launch));
            pid
        };
        let state = State {
            steps: script.steps.into(),
            due_at: Instant::now(),
            frozen_at: None,
            output: VecDeque::new(),
            status: None,
        };
        Ok(Arc::new(FakeExecution {
            pid,
            workdir,
            ignores_terminate: script.ignores_terminate,
            state: Mutex::new(state),
            changed: Notify::new(),
            record: Arc::clone(&self.record),
        }))
    }

    async fn clean_up(&self, identity: &Identity) -> Result<CleanedUp, CleanUpError> {
        lock(&self.record).push(Asked::CleanUp(identity.clone()));
        Ok(CleanedUp { killed: 0 })
    }
}

struct FakeExecution {
    pid: i32,
    workdir: PathBuf,
    ignores_terminate: bool,
    state: Mutex<State>,
    changed: Notify,
    record: Arc<Mutex<Vec<Asked>>>,
}

struct State {
    steps: VecDeque<Step>,
    /// When the first of the steps is due.
    due_at: Instant,
    frozen_at: Option<Instant>,
    output: VecDeque<(Stream, Vec<u8>)>,
    status: Option<ExitStatus>,
}

impl State {
    /// Takes every step that is due.
    fn advance(&mut self, now: Instant) {
        while self.frozen_at.is_none() && self.status.is_none() && self.due_at <= now {
            match self.steps.pop_front() {
                Some(Step::Write(stream, bytes)) => self.output.push_back((stream, bytes)),
                Some(Step::Wait(duration)) => self.due_at += duration,
                Some(Step::Exit(status)) => self.status = Some(status),
                None => return,
            }
        }
    }

    fn ended(&self) -> Option<ExitStatus> {
        self.status.filter(|_| self.output.is_empty())
    }

    fn thaw(&mut self, now: Instant) {
        if let Some(frozen_at) = self.frozen_at.take() {
            self.due_at += now - frozen_at;
        }
    }

    fn signal(&mut self, signal: i32) {
        self.status.get_or_insert(ExitStatus::Signaled(signal));
    }
}

#[async_trait]
impl Execution for FakeExecution {
    fn identity(&self) -> Identity {
        Identity::Process(ProcessIdentity {
            pid: self.pid,
            start_time: 1,
            boot_id: "fake".to_owned(),
            workdir: self.workdir.clone(),
        })
    }

    async fn ready(&self) -> Ready {
        loop {
            // Registered before the look, so that no change in between is missed.
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let due_at = {
                let state = self.advanced();
                if !state.output.is_empty() {
                    return Ready::Output;
                }
                if state.status.is_some() {
                    return Ready::Ended;
                }
                let stands = state.frozen_at.is_some() || state.steps.is_empty();
                (!stands).then_some(state.due_at)
            };
            match due_at {
                Some(due_at) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(due_at) => {}
                },
                None => changed.await,
            }
        }
    }

    fn drain(&self, sink: &mut Sink<'_>, bytes_max: usize) -> io::Result<Drained> {
        let mut state = self.advanced();
        let mut bytes = 0;
        while let Some((stream, piece)) = state.output.front_mut() {
            let room = bytes_max - bytes;
            if room == 0 {
                return Ok(Drained { bytes, more: true });
            }
            let len = piece.len().min(room);
            sink(*stream, &piece[..len])?;
            bytes += len;
            piece.drain(..len);
            if piece.is_empty() {
                state.output.pop_front();
            }
        }
        Ok(Drained { bytes, more: false })
    }

    fn end(&self) -> Option<End> {
        let status = lock(&self.state).ended()?;
        Some(End {
            status,
            usage: Usage::default(),
            output: OutputEnd::Complete,
        })
    }

    fn terminate(&self) {
        let ignores = self.ignores_terminate;
        self.ask(Asked::Terminate(self.pid), |state, now| {
            state.thaw(now);
            if !ignores {
                state.signal(libc::SIGTERM);
            }
        });
    }

    fn kill(&self) {
        self.ask(Asked::Kill(self.pid), |state, _| state.signal(libc::SIGKILL));
    }

    fn freeze(&self) {
        self.ask(Asked::Freeze(self.pid), |state, now| {
            state.frozen_at.get_or_insert(now);
        });
    }

    fn thaw(&self) {
        self.ask(Asked::Thaw(self.pid), State::thaw);
    }
}

impl FakeExecution {
    fn advanced(&self) -> MutexGuard<'_, State> {
        let mut state = lock(&self.state);
        state.advance(Instant::now());
        state
    }

    fn ask(&self, asked: Asked, change: impl FnOnce(&mut State, Instant)) {
        lock(&self.record).push(asked);
        change(&mut self.advanced(), Instant::now());
        self.changed.notify_waiters();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
