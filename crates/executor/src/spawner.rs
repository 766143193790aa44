//! The threads that make processes.
//!
//! A process asks the kernel to be killed when the *thread* that made it dies. So the makers are a few threads
//! of their own, which live as long as the last [`Child`] does, and never a thread of the async runtime, which
//! may come and go. They also stand still while a child becomes its program, so that the runtime need not.
//!
//! [`crate::spawn`] has the system calls; [`crate::wait`] is about what follows when a child ends.

use std::collections::VecDeque;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, thread};

use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;
use tokio::sync::oneshot;

use crate::command::{Command, Prepared, above_stdio};
use crate::spawn::{self, Failure, Stack, Step};
use crate::wait::Child;

/// Commands that may wait for a spawner thread; beyond it, spawning fails at once.
const QUEUE_MAX: usize = 1024;
/// A program that was written a moment ago may still be open for writing in a child of another thread, which
/// is about to close it.
const TEXT_BUSY_TRIES_MAX: u32 = 50;
const TEXT_BUSY_PAUSE: Duration = Duration::from_millis(1);

/// A fixed set of threads that spawn commands.
#[derive(Debug, Clone)]
pub struct Spawner {
    keeper: Arc<Keeper>,
}

/// Why a command could not be spawned. No process is left behind.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// Neither the path nor any directory of `PATH` has the program.
    #[error("find the program `{program}`")]
    NotFound {
        /// The first word of the command.
        program: String,
    },
    /// The program exists, but is no executable file of this machine, or its interpreter is missing.
    #[error("execute the program `{program}`")]
    NotExecutable {
        /// The first word of the command.
        program: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The work directory cannot be entered.
    #[error("enter the work directory {}", path.display())]
    BadWorkDir {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A value contains a NUL, or the name of a variable is empty or contains `=`.
    #[error("pass on a malformed {what}")]
    Unrepresentable {
        /// Which value.
        what: &'static str,
    },
    /// Arguments and environment together, or one of them, are larger than the kernel accepts.
    #[error("pass on arguments and environment of this length")]
    TooLong,
    /// The machine is out of processes, memory or file descriptors.
    #[error("get the resources for a process ({step:?})")]
    Limit {
        /// Where it was noticed.
        step: Step,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused a step.
    #[error("prepare the process ({step:?})")]
    Other {
        /// The step.
        step: Step,
        /// What the kernel said.
        source: io::Error,
    },
    /// Too many commands wait for a spawner thread.
    #[error("queue the command: {QUEUE_MAX} are waiting")]
    QueueFull,
    /// No spawner thread is left.
    #[error("reach a spawner thread")]
    Stopped,
}

#[derive(Debug)]
struct Request {
    command: Prepared,
    reply: oneshot::Sender<Result<Child, SpawnError>>,
    keeper: Arc<Keeper>,
}

/// Held by every [`Spawner`] and every [`Child`]: the threads end when the last one is gone.
#[derive(Debug)]
pub(crate) struct Keeper {
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    /// Shared with threads of the runtime, which hold it for a few instructions; no actor could serve threads.
    queue: Mutex<Queue>,
    wake: Condvar,
    /// What every child reads as its standard input.
    null: OwnedFd,
}

#[derive(Debug, Default)]
struct Queue {
    requests: VecDeque<Request>,
    /// Killed children that nobody waits for any more.
    abandoned: Vec<Pid>,
    closed: bool,
}

impl Spawner {
    /// Starts `threads` threads named `spawner-N`, at least one.
    pub fn new(threads: usize) -> io::Result<Self> {
        spawn::claim_signals();
        let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let null = above_stdio(null)?;
        let pool = Arc::new(Pool {
            queue: Mutex::default(),
            wake: Condvar::new(),
            null,
        });
        let keeper = Arc::new(Keeper {
            pool: Arc::clone(&pool),
        });
        for number in 0..threads.max(1) {
            let stack = Stack::new()?;
            let pool = Arc::clone(&pool);
            thread::Builder::new()
                .name(format!("spawner-{number}"))
                .spawn(move || pool.serve(&stack))?;
        }
        Ok(Self { keeper })
    }

    /// Spawns a command. Cancel-safe: a child that nobody receives is killed.
    pub async fn spawn(&self, command: Command) -> Result<Child, SpawnError> {
        self.request(command)?.await.map_err(|_| SpawnError::Stopped)?
    }

    /// Spawns a command from a thread outside of the async runtime.
    pub fn spawn_blocking(&self, command: Command) -> Result<Child, SpawnError> {
        self.request(command)?
            .blocking_recv()
            .map_err(|_| SpawnError::Stopped)?
    }

    fn request(&self, command: Command) -> Result<oneshot::Receiver<Result<Child, SpawnError>>, SpawnError> {
        let (reply, receiver) = oneshot::channel();
        let request = Request {
            command: Prepared::new(command)?,
            reply,
            keeper: Arc::clone(&self.keeper),
        };
        let pool = &self.keeper.pool;
        let mut queue = pool.lock();
        if queue.requests.len() >= QUEUE_MAX {
            return Err(SpawnError::QueueFull);
        }
        queue.requests.push_back(request);
        drop(queue);
        pool.wake.notify_one();
        Ok(receiver)
    }
}

impl Keeper {
    /// Leaves a killed child to be reaped by the spawner threads, at the latest at the next spawn.
    pub(crate) fn abandon(&self, pid: Pid) {
        self.pool.lock().abandoned.push(pid);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.pool.lock().closed = true;
        self.pool.wake.notify_all();
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of one spawner thread.
    fn serve(&self, stack: &Stack) {
        spawn::block_signals();
        while let Some(Request {
            command,
            reply,
            keeper,
        }) = self.next()
        {
            if reply.is_closed() {
                continue;
            }
            let child = self.make(&command, stack, keeper);
            // Whoever asked may be gone; then the child is dropped here, which kills it.
            drop(reply.send(child));
        }
    }

    fn next(&self) -> Option<Request> {
        let mut queue = self.lock();
        loop {
            // Before a request is taken, and not only before waiting for one: the next spawn finds it done.
            queue
                .abandoned
                .retain(|&pid| matches!(spawn::reap(pid), Ok(None)));
            match queue.requests.pop_front() {
                Some(request) => return Some(request),
                None if queue.closed => return None,
                None => queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn make(&self, command: &Prepared, stack: &Stack, keeper: Arc<Keeper>) -> Result<Child, SpawnError> {
        let mut tries = 0;
        loop {
            match spawn::spawn(command, self.null.as_fd(), stack) {
                Ok((pid, pidfd)) => return Ok(Child::new(pid, pidfd, keeper)),
                Err(failure) if failure.errno == libc::ETXTBSY && tries < TEXT_BUSY_TRIES_MAX => {
                    tries += 1;
                    thread::park_timeout(TEXT_BUSY_PAUSE);
                }
                Err(failure) => return Err(explain(failure, command)),
            }
        }
    }
}

fn explain(failure: Failure, command: &Prepared) -> SpawnError {
    let Failure { step, errno } = failure;
    let source = io::Error::from_raw_os_error(errno);
    let program = || command.program.clone();
    match (step, errno) {
        (_, libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE) => SpawnError::Limit { step, source },
        (Step::WorkDir, _) => SpawnError::BadWorkDir {
            path: command.workdir(),
            source,
        },
        (Step::Exec, libc::ENOENT) if !command.program_exists() => {
            SpawnError::NotFound { program: program() }
        }
        (Step::Exec, libc::E2BIG) => SpawnError::TooLong,
        (
            Step::Exec,
            libc::ENOENT
            | libc::EACCES
            | libc::ENOEXEC
            | libc::EISDIR
            | libc::EINVAL
            | libc::ELIBBAD
            | libc::EPERM,
        ) => SpawnError::NotExecutable {
            program: program(),
            source,
        },
        _ => SpawnError::Other { step, source },
    }
}
