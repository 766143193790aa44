//! A command made ready for the kernel, before the clone.
//!
//! The child may not allocate, so everything that it passes to a system call is laid out here: C strings, the
//! candidates of a `PATH` search, the limits by number. What cannot be expressed is refused here as well.

use std::ffi::{CString, OsStr, c_int};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::launch::{Launch, Limits};
use crate::spawn::Step;
use crate::spawner::SpawnError;

/// Searched when the environment of a job has no `PATH`, as `execvp` does.
const PATH_DEFAULT: &str = "/bin:/usr/bin";
/// The first descriptor that is not one of standard input, output and error.
const FIRST_FREE_FD: i32 = 3;

/// What is to be spawned, and where its output goes.
#[derive(Debug)]
pub struct Command {
    /// Program, environment, directory and limits.
    pub launch: Launch,
    /// Becomes descriptor 1 of the program.
    pub stdout: OwnedFd,
    /// Becomes descriptor 2 of the program.
    pub stderr: OwnedFd,
}

/// A [`Command`] of which nothing is left to compute.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) program: String,
    pub(crate) argv: Vec<CString>,
    pub(crate) env: Vec<CString>,
    pub(crate) candidates: Vec<CString>,
    pub(crate) workdir: CString,
    pub(crate) limits: Vec<(c_int, u64)>,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

impl Prepared {
    pub(crate) fn new(command: Command) -> Result<Self, SpawnError> {
        let Command {
            launch,
            stdout,
            stderr,
        } = command;
        let Launch {
            argv,
            env,
            workdir,
            limits,
        } = launch;
        let program = match argv.first() {
            Some(program) if !program.is_empty() => program.clone(),
            _ => {
                return Err(SpawnError::NotFound {
                    program: String::new(),
                });
            }
        };
        let path = env
            .iter()
            .rev()
            .find(|(name, _)| name == "PATH")
            .map(|(_, value)| value.as_str());
        Ok(Self {
            candidates: candidates(&program, path.unwrap_or(PATH_DEFAULT))?,
            program,
            argv: argv
                .into_iter()
                .map(|argument| c_string("argument", argument))
                .collect::<Result<_, _>>()?,
            env: env
                .into_iter()
                .map(|(name, value)| variable(&name, &value))
                .collect::<Result<_, _>>()?,
            workdir: c_string("work directory", workdir.as_os_str().as_bytes())?,
            limits: resource_limits(&limits),
            stdout: above_stdio(stdout).map_err(limit)?,
            stderr: above_stdio(stderr).map_err(limit)?,
        })
    }

    /// Whether a candidate exists, although executing it said that it, or its interpreter, does not.
    pub(crate) fn program_exists(&self) -> bool {
        let workdir = self.workdir();
        self.candidates
            .iter()
            .any(|path| workdir.join(os_path(path)).exists())
    }

    pub(crate) fn workdir(&self) -> PathBuf {
        os_path(&self.workdir).to_path_buf()
    }
}

fn os_path(path: &CString) -> &Path {
    Path::new(OsStr::from_bytes(path.as_bytes()))
}

/// The paths to try, in order. As in POSIX, an empty element of `PATH` is the work directory.
fn candidates(program: &str, path: &str) -> Result<Vec<CString>, SpawnError> {
    if program.contains('/') {
        return Ok(vec![c_string("program", program)?]);
    }
    path.split(':')
        .map(|dir| match dir {
            "" => c_string("program", format!("./{program}")),
            _ => c_string("program", format!("{dir}/{program}")),
        })
        .collect()
}

fn variable(name: &str, value: &str) -> Result<CString, SpawnError> {
    if name.is_empty() || name.contains('=') {
        return Err(SpawnError::Unrepresentable {
            what: "name of an environment variable",
        });
    }
    c_string("environment variable", format!("{name}={value}"))
}

fn c_string(what: &'static str, bytes: impl Into<Vec<u8>>) -> Result<CString, SpawnError> {
    CString::new(bytes).map_err(|_| SpawnError::Unrepresentable { what })
}

/// The limits that the kernel can hold a single process to.
///
/// Memory is `RLIMIT_DATA`, which counts what a process may write to, and not `RLIMIT_AS`, which also counts
/// the address space that runtimes reserve without using it. `RLIMIT_NPROC` is absent on purpose: it counts
/// all processes of the *user*, so it would refuse the first fork on a busy desktop and nothing to root.
fn resource_limits(limits: &Limits) -> Vec<(c_int, u64)> {
    let wanted = [
        (libc::RLIMIT_CORE, Some(0)),
        (libc::RLIMIT_DATA, limits.memory),
        (libc::RLIMIT_NOFILE, limits.open_files),
        (libc::RLIMIT_FSIZE, limits.file_size),
    ];
    wanted
        .into_iter()
        .filter_map(|(resource, value)| Some((resource as c_int, value?)))
        .collect()
}

/// Moves a descriptor out of the way of the three that the child is about to overwrite.
pub(crate) fn above_stdio(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() >= FIRST_FREE_FD {
        return Ok(fd);
    }
    Ok(rustix::io::fcntl_dupfd_cloexec(&fd, FIRST_FREE_FD)?)
}

fn limit(source: io::Error) -> SpawnError {
    SpawnError::Limit {
        step: Step::Stdio,
        source,
    }
}
