//! A child and its end.
//!
//! The end of a job is the end of its main process: what is left of its group is killed while the unreaped
//! zombie still keeps the number of the group from being given to others, and only then is the zombie reaped.
//! Nothing here waits by itself; the pidfd tells when to look ([`crate::process`]).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group};

use crate::identity::Process;
use crate::spawn;
use crate::spawner::Keeper;

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

/// What a process used, together with those of its children that it waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time in the program.
    pub user: Duration,
    /// Processor time in the kernel.
    pub system: Duration,
    /// The largest resident set of any one of them, if it was larger than that of the agent. The kernel counts
    /// the memory that a process had before its exec, which was the agent's.
    pub max_rss_bytes: Option<u64>,
}

/// A process of ours that leads its own session and group.
///
/// Its descriptor becomes readable when it has ended. Dropping it before [`Child::end`] kills its whole group.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pidfd: OwnedFd,
    start_time: u64,
    /// From then on the pid may belong to another process. Whoever signals holds this lock, for two system
    /// calls at most: an actor in between would only add a way to be late.
    reaped: Mutex<bool>,
    keeper: Arc<Keeper>,
}

impl Child {
    pub(crate) fn new(pid: Pid, pidfd: OwnedFd, keeper: Arc<Keeper>) -> Self {
        let start_time = Process::find(pid).map_or(0, |process| process.start_time);
        Self {
            pid,
            pidfd,
            start_time,
            reaped: Mutex::new(false),
            keeper,
        }
    }

    /// Returns its pid, which is also the id of the process group and the session that it leads.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Returns when it started, in clock ticks since boot; 0 if `/proc` does not tell.
    pub fn start_time(&self) -> u64 {
        self.start_time
    }

    /// Sends a signal to the whole group, unless the end was already seen.
    pub fn signal(&self, signal: Signal) {
        let reaped = self.lock();
        if !*reaped {
            self.signal_group(signal);
        }
    }

    /// If the process has ended: kills the rest of its group, reaps it and returns how it ended, once.
    ///
    /// Returns `None` while it runs, and after the end was returned.
    pub fn end(&self) -> Option<(ExitStatus, Usage)> {
        let mut reaped = self.lock();
        if *reaped {
            return None;
        }
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), look)
            .expect("a child stays until it is reaped here")?;
        self.signal_group(Signal::KILL);
        *reaped = true;
        let (status, usage) = spawn::reap(self.pid)
            .expect("nobody else in this process reaps")
            .expect("its end was seen");
        Some((exit_status(status), Usage::from(usage)))
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.reaped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal_group(&self, signal: Signal) {
        // The only possible failure: every process of the group has changed to a user that we may not signal.
        let _ = kill_process_group(self.pid, signal);
    }
}

impl AsRawFd for Child {
    fn as_raw_fd(&self) -> RawFd {
        self.pidfd.as_raw_fd()
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if *self.lock() {
            return;
        }
        self.signal_group(Signal::KILL);
        self.keeper.abandon(self.pid);
    }
}

fn exit_status(status: i32) -> ExitStatus {
    if libc::WIFSIGNALED(status) {
        ExitStatus::Signaled(libc::WTERMSIG(status))
    } else {
        ExitStatus::Exited(libc::WEXITSTATUS(status))
    }
}

impl From<libc::rusage> for Usage {
    fn from(usage: libc::rusage) -> Self {
        let max_rss_kib = Some(usage.ru_maxrss).filter(|&kib| kib > spawn::own_max_rss_kib());
        Self {
            user: duration(usage.ru_utime),
            system: duration(usage.ru_stime),
            max_rss_bytes: max_rss_kib
                .and_then(|kib| u64::try_from(kib).ok())
                .map(|kib| kib * 1024),
        }
    }
}

fn duration(time: libc::timeval) -> Duration {
    let part = |value| u64::try_from(value).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec)) + Duration::from_micros(part(time.tv_usec))
}
