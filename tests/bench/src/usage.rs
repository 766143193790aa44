//! What a process has used, as `/proc` tells it.
//!
//! Processor times there are counted in ticks of 10 ms: exact in the long run, useless for a single job.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;

/// Linux shows processor times to programs in hundredths of a second, whatever the kernel counts in.
const TICK: Duration = Duration::from_millis(10);
/// The first of utime, stime, cutime and cstime among the fields behind the program's name.
const UTIME: usize = 11;

/// Processor time, user and system together.
#[derive(Clone, Copy)]
pub(crate) struct Cpu {
    /// Of the process itself, all its threads.
    pub(crate) own: Duration,
    /// Of its children that have ended and were waited for, with theirs.
    pub(crate) children: Duration,
}

impl Cpu {
    /// What a process has used since its start.
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        Self::read(&format!("/proc/{pid}/stat"))
    }

    pub(crate) fn of_this_process() -> anyhow::Result<Self> {
        Self::read("/proc/self/stat")
    }

    fn read(path: &str) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.to_owned())?;
        // The name may contain anything, so the last parenthesis ends it.
        let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks = fields
            .skip(UTIME)
            .take(4)
            .map(str::parse)
            .collect::<Result<Vec<u32>, _>>()?;
        let &[utime, stime, cutime, cstime] = ticks.as_slice() else {
            anyhow::bail!("{path} ends early");
        };
        Ok(Self {
            own: TICK * (utime + stime),
            children: TICK * (cutime + cstime),
        })
    }

    /// What was used after `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            own: self.own - before.own,
            children: self.children - before.children,
        }
    }
}

/// Bytes of a process that are in memory now.
pub(crate) fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line
        .and_then(|line| line.split_whitespace().next())
        .context("no VmRSS")?;
    Ok(kib.parse::<u64>()? * 1024)
}
