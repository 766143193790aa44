//! The making and the reaping of a process: the one file with unsafe code.
//!
//! `clone(CLONE_VM | CLONE_VFORK | CLONE_PIDFD)` starts the child on a stack of its own inside the memory of
//! the agent, so that its cost does not grow with the agent; the calling thread stands still until the child
//! has become the program or has given up. Until then the child makes raw system calls only: everything that
//! needs memory was prepared before ([`crate::command`]). What goes wrong in it is left in [`Plan::failure`].
//!
//! Which thread calls this matters, and is decided in [`crate::spawner`].
#![expect(unsafe_code, reason = "clone, wait4 and signal masks have no safe interface")]

use std::convert::Infallible;
use std::ffi::{CString, c_char, c_int, c_long, c_void};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::{io, mem, ptr};

use rustix::process::Pid;

use crate::command::Prepared;

/// The child needs less than a page for its few frames; the rest is headroom for unoptimized builds.
const STACK_BYTES: usize = 64 * 1024;
/// Large enough as a guard on every supported architecture.
const GUARD_BYTES: usize = 64 * 1024;
/// The standard signals, and the next ones, which C libraries keep to themselves and cannot be asked to reset.
/// Above are the real-time signals, which [`claim_signals`] has set to their default once and for all.
const LAST_RESET_SIGNAL: c_int = 34;
/// The kernel's signal set is 64 bits wide.
const SIGNAL_SET_BYTES: usize = 8;
/// Files that a job makes are readable by everybody who can reach its work directory (0700), as on a login.
const UMASK: libc::mode_t = 0o022;

/// The step between the clone and the program at which the child gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The clone itself; no child was made.
    Clone,
    /// A session of its own, so that it leads its own process group.
    Session,
    /// The request to be killed when the agent dies.
    DeathSignal,
    /// Entering the work directory.
    WorkDir,
    /// Setting a resource limit.
    Limit,
    /// Giving up the right to gain privileges by exec.
    NoNewPrivileges,
    /// Placing standard input, output and error.
    Stdio,
    /// Closing every other file descriptor.
    CloseFiles,
    /// Unblocking signals.
    Signals,
    /// Executing the program.
    Exec,
}

/// What the child left in memory before it gave up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure {
    pub(crate) step: Step,
    pub(crate) errno: c_int,
}

impl Failure {
    fn last(step: Step) -> Self {
        // SAFETY: the pointer to the calling thread's errno is always valid. The child shares the thread-local
        // storage of the thread that made it, which stands still.
        let errno = unsafe { *libc::__errno_location() };
        Self { step, errno }
    }
}

/// Everything that the child reads, laid out before the clone.
struct Plan<'a> {
    agent: libc::pid_t,
    workdir: *const c_char,
    limits: &'a [(c_int, u64)],
    stdio: [c_int; 3],
    candidates: &'a [*const c_char],
    argv: *const *const c_char,
    env: *const *const c_char,
    failure: Option<Failure>,
}

/// Starts the prepared command as a child of the calling thread and returns its pid and pidfd.
///
/// The child gets SIGKILL when the calling *thread* ends. All signals must be blocked in that thread.
pub(crate) fn spawn(
    command: &Prepared,
    stdin: BorrowedFd<'_>,
    stack: &Stack,
) -> Result<(Pid, OwnedFd), Failure> {
    let (argv, env) = (pointers(&command.argv), pointers(&command.env));
    let candidates: Vec<_> = command.candidates.iter().map(|path| path.as_ptr()).collect();
    let mut plan = Plan {
        agent: rustix::process::getpid().as_raw_nonzero().get(),
        workdir: command.workdir.as_ptr(),
        limits: &command.limits,
        stdio: [
            stdin.as_raw_fd(),
            command.stdout.as_raw_fd(),
            command.stderr.as_raw_fd(),
        ],
        candidates: &candidates,
        argv: argv.as_ptr(),
        env: env.as_ptr(),
        failure: None,
    };
    let mut pidfd: c_int = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: `child` takes a pointer to a `Plan`; the plan, all that it points to and the stack outlive the
    // call, since CLONE_VFORK returns only after the child has left this memory; nobody else uses the stack.
    let pid = unsafe { libc::clone(child, stack.top(), flags, (&raw mut plan).cast(), &raw mut pidfd) };
    let Some(pid) = (pid > 0).then(|| Pid::from_raw(pid)).flatten() else {
        return Err(Failure::last(Step::Clone));
    };
    // SAFETY: the kernel has just put a new descriptor there, which nobody else knows.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    match plan.failure {
        None => Ok((pid, pidfd)),
        Some(failure) => {
            reap_blocking(pid);
            Err(failure)
        }
    }
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings
        .iter()
        .map(|string| string.as_ptr())
        .chain([ptr::null()])
        .collect()
}

/// The life of the child until it is the program. Runs in the memory of the agent: no allocation, no lock, no
/// panic.
extern "C" fn child(plan: *mut c_void) -> c_int {
    // SAFETY: `spawn` passes a plan that it does not touch while this function runs.
    let plan = unsafe { &mut *plan.cast::<Plan<'_>>() };
    let Err(failure) = become_program(plan);
    plan.failure = Some(failure);
    // SAFETY: ends this process only, without running anything of the agent.
    unsafe { libc::_exit(127) }
}

fn become_program(plan: &Plan<'_>) -> Result<Infallible, Failure> {
    // SAFETY: raw system calls on values of the plan. Signal handlers, working directory, file descriptors,
    // umask and limits belong to the child alone, for none of CLONE_SIGHAND, CLONE_FS and CLONE_FILES was given.
    unsafe {
        default_signal_actions();
        check(Step::Session, libc::setsid())?;
        check(
            Step::DeathSignal,
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0),
        )?;
        if libc::getppid() != plan.agent {
            libc::_exit(127); // The agent died before the line above could take effect.
        }
        check(Step::WorkDir, libc::chdir(plan.workdir))?;
        libc::umask(UMASK);
        for &(resource, value) in plan.limits {
            lower_limit(resource, value)?;
        }
        check(
            Step::NoNewPrivileges,
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        )?;
        for (&source, target) in plan.stdio.iter().zip(0..) {
            check(Step::Stdio, libc::dup2(source, target))?;
        }
        check(
            Step::CloseFiles,
            raw(libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0)),
        )?;
        let none: u64 = 0;
        let set = libc::SIG_SETMASK;
        let mask = ptr::null_mut::<u64>();
        check(
            Step::Signals,
            raw(libc::syscall(
                libc::SYS_rt_sigprocmask,
                set,
                &raw const none,
                mask,
                SIGNAL_SET_BYTES,
            )),
        )?;
        Err(exec(plan))
    }
}

/// Resets signals, also those that the agent ignores: an ignored SIGPIPE would outlive the exec.
///
/// SAFETY: to be called in the child only.
unsafe fn default_signal_actions() {
    /// All zeroes are `SIG_DFL` without flags in the kernel's layout, whatever its order of fields.
    const DEFAULT: [u64; 4] = [0; 4];
    for signal in 1..=LAST_RESET_SIGNAL {
        // SAFETY: reads four words; KILL and STOP are refused, which is as good.
        unsafe {
            let previous = ptr::null_mut::<u64>();
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                DEFAULT.as_ptr(),
                previous,
                SIGNAL_SET_BYTES,
            );
        }
    }
}

/// Sets both the soft and the hard limit, to at most what the agent itself has.
///
/// SAFETY: to be called in the child only.
unsafe fn lower_limit(resource: c_int, value: u64) -> Result<(), Failure> {
    // SAFETY: both structures live on this stack; pid 0 is the caller.
    unsafe {
        let mut now: libc::rlimit64 = mem::zeroed();
        let none = ptr::null::<libc::rlimit64>();
        check(
            Step::Limit,
            raw(libc::syscall(
                libc::SYS_prlimit64,
                0,
                resource,
                none,
                &raw mut now,
            )),
        )?;
        let value = value.min(now.rlim_max);
        let lower = libc::rlimit64 {
            rlim_cur: value,
            rlim_max: value,
        };
        let none = ptr::null_mut::<libc::rlimit64>();
        check(
            Step::Limit,
            raw(libc::syscall(
                libc::SYS_prlimit64,
                0,
                resource,
                &raw const lower,
                none,
            )),
        )
    }
}

/// Tries the candidates in order, as `execvp` does, and returns why none of them became the program.
///
/// SAFETY: to be called in the child only.
unsafe fn exec(plan: &Plan<'_>) -> Failure {
    let mut denied = None;
    for &path in plan.candidates {
        // SAFETY: null-terminated arrays of C strings that live until the agent's thread continues.
        unsafe { libc::execve(path, plan.argv, plan.env) };
        let failure = Failure::last(Step::Exec);
        match failure.errno {
            libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG | libc::ELOOP => {}
            libc::EACCES => denied = Some(failure),
            _ => return failure,
        }
    }
    denied.unwrap_or(Failure {
        step: Step::Exec,
        errno: libc::ENOENT,
    })
}

fn raw(result: c_long) -> c_int {
    if result == -1 { -1 } else { 0 }
}

fn check(step: Step, result: c_int) -> Result<(), Failure> {
    if result == -1 {
        Err(Failure::last(step))
    } else {
        Ok(())
    }
}

/// The stack of the children of one thread, one after the other, below it a guard that faults.
pub(crate) struct Stack {
    base: *mut c_void,
}

// SAFETY: the mapping belongs to this value, and not to the thread that made it.
unsafe impl Send for Stack {}

impl Stack {
    pub(crate) fn new() -> io::Result<Self> {
        let len = GUARD_BYTES + STACK_BYTES;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        // SAFETY: a fresh mapping, of which only the part above the guard is made accessible.
        unsafe {
            let base = libc::mmap(ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0);
            if base == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            let stack = Self { base };
            let usable = base.byte_add(GUARD_BYTES);
            match libc::mprotect(usable, STACK_BYTES, libc::PROT_READ | libc::PROT_WRITE) {
                0 => Ok(stack),
                _ => Err(io::Error::last_os_error()),
            }
        }
    }

    fn top(&self) -> *mut c_void {
        // SAFETY: one past the end of the mapping; page-aligned, so also aligned as a stack must be.
        unsafe { self.base.byte_add(GUARD_BYTES + STACK_BYTES) }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: made by `new`; no child uses it, since `spawn` has returned.
        unsafe { libc::munmap(self.base, GUARD_BYTES + STACK_BYTES) };
    }
}

/// Blocks all signals in the calling thread for good, so that no handler of the agent ever runs in a child.
pub(crate) fn block_signals() {
    // SAFETY: initializes the set before it is read; changes the calling thread only.
    unsafe {
        let mut all: libc::sigset_t = mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, ptr::null_mut());
    }
}

/// Undoes what the agent may have inherited from a parent that ignored signals: without SIGCHLD the kernel
/// would reap children unseen, and ignored real-time signals would be passed on to every job.
pub(crate) fn claim_signals() {
    for signal in [libc::SIGCHLD]
        .into_iter()
        .chain(libc::SIGRTMIN()..=libc::SIGRTMAX())
    {
        // SAFETY: reads and writes the disposition of one signal through initialized structures.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            libc::sigaction(signal, ptr::null(), &raw mut action);
            if action.sa_sigaction == libc::SIG_IGN || action.sa_flags & libc::SA_NOCLDWAIT != 0 {
                let default: libc::sigaction = mem::zeroed();
                libc::sigaction(signal, &raw const default, ptr::null_mut());
            }
        }
    }
}

/// Takes the exit status and the resource usage of a child, or `None` while it runs. Its pid is free afterwards.
pub(crate) fn reap(pid: Pid) -> io::Result<Option<(c_int, libc::rusage)>> {
    wait4(pid, libc::WNOHANG)
}

/// For a child that is about to end by itself.
fn reap_blocking(pid: Pid) {
    let reaped = wait4(pid, 0);
    debug_assert!(reaped.is_ok(), "a child that gave up was reaped by somebody else");
}

fn wait4(pid: Pid, options: c_int) -> io::Result<Option<(c_int, libc::rusage)>> {
    loop {
        let mut status = 0;
        // SAFETY: `rusage` is plain numbers, for which zero is valid.
        let mut usage: libc::rusage = unsafe { mem::zeroed() };
        // SAFETY: both pointers are to locals of the right type.
        let found = unsafe {
            libc::wait4(
                pid.as_raw_nonzero().get(),
                &raw mut status,
                options,
                &raw mut usage,
            )
        };
        match found {
            0 => return Ok(None),
            -1 => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
            _ => return Ok(Some((status, usage))),
        }
    }
}

/// The largest resident set of the agent so far.
pub(crate) fn own_max_rss_kib() -> c_long {
    // SAFETY: `rusage` is plain numbers, for which zero is valid.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: fills the local structure.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    usage.ru_maxrss
}
