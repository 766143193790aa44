//! The identity of an execution: what a later process of the agent needs to recognise it after a crash.
//!
//! A pid alone names nothing, for it is used again. A pid with its start time names one process until the next
//! boot, and the boot id says whether that boot is still the present one. Identities are stored, so their form
//! is a promise; [`crate::clean_up`] is their reader.

use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::{fs, io};

use rustix::fs::{CWD, Mode, OFlags, RawDir};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

/// `/proc/PID/stat` is one line of about 50 numbers and a name of at most 64 bytes.
const STAT_BYTES_MAX: usize = 1280;
const DIRECTORY_BUFFER_BYTES: usize = 8 * 1024;

/// How to find one execution again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// A process of this machine that leads its own session.
    Process(ProcessIdentity),
}

/// The leader of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Its pid, which is also the id of its process group and of its session.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
    /// The boot in which both of these mean something.
    pub boot_id: String,
    /// The directory that belongs to this execution and no other.
    pub workdir: PathBuf,
}

/// What the kernel tells of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its pid.
    pub pid: i32,
    /// The pid of the leader of its process group.
    pub group: i32,
    /// The pid of the leader of its session.
    pub session: i32,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
    /// Ended, and only waiting to be reaped.
    pub zombie: bool,
}

impl Process {
    /// Looks up a process, zombies included; `None` when there is none.
    pub fn find(pid: Pid) -> Option<Self> {
        let pid = pid.as_raw_nonzero().get();
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let stat = rustix::fs::open(format!("/proc/{pid}/stat"), flags, Mode::empty()).ok()?;
        let mut buffer = [MaybeUninit::uninit(); STAT_BYTES_MAX];
        let (line, _) = rustix::io::read(stat, &mut buffer).ok()?;
        Self::parse(pid, line)
    }

    /// Every process of this machine that the agent can see.
    pub fn all() -> io::Result<Vec<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc = rustix::fs::openat(CWD, "/proc", flags, Mode::empty())?;
        let mut buffer = Vec::with_capacity(DIRECTORY_BUFFER_BYTES);
        let mut entries = RawDir::new(proc.as_fd(), buffer.spare_capacity_mut());
        let mut processes = Vec::new();
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let pid = entry.file_name().to_str().ok().and_then(|name| name.parse().ok());
            processes.extend(pid.and_then(Pid::from_raw).and_then(Self::find));
        }
        Ok(processes)
    }

    /// The name in the second field may contain anything, so the fields are counted from its closing bracket.
    fn parse(pid: i32, line: &[u8]) -> Option<Self> {
        let after_name = line.iter().rposition(|&byte| byte == b')')?;
        let mut fields = str::from_utf8(line.get(after_name + 1..)?)
            .ok()?
            .split_ascii_whitespace();
        let state = fields.next()?;
        let group = fields.nth(1)?.parse().ok()?;
        let session = fields.next()?.parse().ok()?;
        let start_time = fields.nth(15)?.parse().ok()?;
        Some(Self {
            pid,
            group,
            session,
            start_time,
            zombie: matches!(state, "Z" | "X"),
        })
    }
}

/// The random id of the present boot.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim_end()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_full_of_brackets_confuses_nobody() {
        let line = b"7 (a) R 1 2) S 1 70 71 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2\n";
        let expected = Process {
            pid: 7,
            group: 70,
            session: 71,
            start_time: 987_654,
            zombie: false,
        };
        assert_eq!(Process::parse(7, line), Some(expected));
    }

    #[test]
    fn a_process_finds_itself_among_all() {
        let own = Process::find(rustix::process::getpid()).unwrap();
        assert!(own.start_time > 0);
        assert!(Process::all().unwrap().contains(&own));
    }

    #[test]
    fn the_stored_form_of_an_identity_stays() {
        let identity = Identity::Process(ProcessIdentity {
            pid: 4711,
            start_time: 123_456,
            boot_id: "5f0c".to_owned(),
            workdir: "/jobs/job.1".into(),
        });
        let stored =
            r#"{"process":{"pid":4711,"start_time":123456,"boot_id":"5f0c","workdir":"/jobs/job.1"}}"#;
        assert_eq!(serde_json::to_string(&identity).unwrap(), stored);
        assert_eq!(serde_json::from_str::<Identity>(stored).unwrap(), identity);
    }
}
