//! The end of what an earlier process of the agent has left running.
//!
//! The kernel killed the main process of every execution together with the agent; what may be left are other
//! members of its session. A session keeps its number while it has members, but if all of them had ended, the
//! number may have gone to strangers. So members without their leader are killed only if their environment
//! names the work directory of the execution, which belongs to one attempt. Whatever cannot be recognised
//! beyond doubt is left alone.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::time::timeout;

use crate::identity::{Process, ProcessIdentity};
use crate::watch::watch;

/// A round kills what the one before it has forked in the meantime.
const ROUNDS_MAX: u32 = 20;
/// How long a killed process may take to end.
const DEATH_LIMIT: Duration = Duration::from_secs(5);

/// What was left of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanedUp {
    /// Processes that were killed.
    pub killed: usize,
}

/// Why what is left of an execution could not be ended. Trying again is safe.
#[derive(Debug, thiserror::Error)]
pub enum CleanUpError {
    /// The processes of this machine cannot be listed.
    #[error("list the processes")]
    List(#[source] io::Error),
    /// A process of the execution cannot be killed.
    #[error("kill process {pid}")]
    Kill {
        /// Its pid.
        pid: i32,
        /// What the kernel said.
        source: io::Error,
    },
    /// New processes appeared as fast as they were killed, or one did not die.
    #[error("end all processes of session {session}")]
    StillAlive {
        /// The session of the execution.
        session: i32,
    },
}

/// Kills what is left of the session of `identity`, and waits until it is dead.
pub(crate) async fn clean_up(identity: &ProcessIdentity, boot_id: &str) -> Result<CleanedUp, CleanUpError> {
    let mut killed = 0;
    if identity.boot_id != boot_id {
        return Ok(CleanedUp { killed });
    }
    for _ in 0..ROUNDS_MAX {
        let left = members(
            &Process::all().map_err(CleanUpError::List)?,
            identity,
            names_workdir,
        );
        if left.is_empty() {
            return Ok(CleanedUp { killed });
        }
        for process in left {
            if kill(process).await? {
                killed += 1;
            }
        }
    }
    Err(CleanUpError::StillAlive {
        session: identity.pid,
    })
}

/// The living processes that certainly belong to `identity`.
fn members(
    all: &[Process],
    identity: &ProcessIdentity,
    names_workdir: impl Fn(&Process, &Path) -> bool,
) -> Vec<Process> {
    let leader = all.iter().find(|process| process.pid == identity.pid);
    if leader.is_some_and(|leader| leader.start_time != identity.start_time) {
        return Vec::new();
    }
    let in_session = |process: &&Process| {
        process.session == identity.pid && process.start_time >= identity.start_time && !process.zombie
    };
    let certain = |process: &&Process| leader.is_some() || names_workdir(process, &identity.workdir);
    all.iter().filter(in_session).filter(certain).copied().collect()
}

/// Whether the environment that a process was started with has a variable that is exactly this directory.
fn names_workdir(process: &Process, workdir: &Path) -> bool {
    let Ok(environment) = std::fs::read(format!("/proc/{}/environ", process.pid)) else {
        return false;
    };
    environment.split(|&byte| byte == 0).any(|variable| {
        let value = variable.splitn(2, |&byte| byte == b'=').nth(1);
        value == Some(workdir.as_os_str().as_bytes())
    })
}

/// Kills one process and waits for its death; `false` if it was gone already.
async fn kill(process: Process) -> Result<bool, CleanUpError> {
    let pid = Pid::from_raw(process.pid).expect("a listed process has a pid");
    let failed = |source| CleanUpError::Kill {
        pid: process.pid,
        source,
    };
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else {
        return Ok(false);
    };
    // The descriptor names one process for good. Only now is it certain which one that is.
    if Process::find(pid).is_none_or(|found| found.start_time != process.start_time) {
        return Ok(false);
    }
    match pidfd_send_signal(&pidfd, Signal::KILL) {
        Ok(()) => {}
        Err(rustix::io::Errno::SRCH) => return Ok(false),
        Err(errno) => return Err(failed(errno.into())),
    }
    let dead = watch(pidfd).map_err(failed)?;
    match timeout(DEATH_LIMIT, dead.readable()).await {
        Ok(_) => Ok(true),
        Err(_) => Err(CleanUpError::StillAlive {
            session: process.session,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: i32 = 100;

    fn identity() -> ProcessIdentity {
        ProcessIdentity {
            pid: ID,
            start_time: 50,
            boot_id: "b".to_owned(),
            workdir: "/jobs/j.1".into(),
        }
    }

    fn process(pid: i32, session: i32, start_time: u64) -> Process {
        Process {
            pid,
            group: session,
            session,
            start_time,
            zombie: false,
        }
    }

    fn pids(all: &[Process], names_workdir: bool) -> Vec<i32> {
        members(all, &identity(), |_, _| names_workdir)
            .iter()
            .map(|process| process.pid)
            .collect()
    }

    #[test]
    fn a_leader_with_the_right_start_time_vouches_for_its_session() {
        let all = [process(ID, ID, 50), process(101, ID, 60), process(102, 7, 60)];
        assert_eq!(pids(&all, false), [ID, 101]);
    }

    #[test]
    fn a_leader_with_another_start_time_protects_its_session() {
        let all = [process(ID, ID, 51), process(101, ID, 60)];
        assert_eq!(pids(&all, true), [0; 0]);
    }

    #[test]
    fn members_without_their_leader_must_name_the_work_directory() {
        let all = [process(101, ID, 60)];
        assert_eq!(pids(&all, false), [0; 0]);
        assert_eq!(pids(&all, true), [101]);
    }

    #[test]
    fn an_environment_names_a_directory_only_as_a_whole_value() {
        let own = Process::find(rustix::process::getpid()).unwrap();
        let value = std::env::var("PATH").unwrap();
        assert!(names_workdir(&own, Path::new(&value)));
        assert!(!names_workdir(&own, Path::new(&value[..value.len() - 1])));
        assert!(!names_workdir(&own, Path::new(&format!("PATH={value}"))));
    }

    #[test]
    fn the_dead_and_those_older_than_the_leader_are_left_alone() {
        let dead = Process {
            zombie: true,
            ..process(101, ID, 60)
        };
        assert_eq!(pids(&[dead, process(102, ID, 49)], true), [0; 0]);
    }
}
