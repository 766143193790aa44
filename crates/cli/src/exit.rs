//! Exit codes: how a job's end and our own failures are told to the caller.
//!
//! A job's own code is mirrored. Our own failures are 64 and above, after sysexits.h, so that they are not taken for a
//! job's usual codes. [`TABLE`] is what `hiveforge help exit-codes` prints and what `docs/cli.md` repeats.

use domain::Cause;
use domain::job::StateName;
use protocol::jobs::JobView;

/// The command ended well, but what it promised to leave is not there.
pub(crate) const ARTIFACT: u8 = 1;
/// The command line cannot be understood.
pub(crate) const COMMAND_LINE: u8 = 2;
/// The request makes no sense here.
pub(crate) const USAGE: u8 = 64;
/// A spec or a blob is not as it should be.
pub(crate) const BAD_DATA: u8 = 65;
/// No coordinator, or it cannot serve now.
pub(crate) const UNAVAILABLE: u8 = 69;
/// A local file cannot be read or written.
pub(crate) const LOCAL_FILE: u8 = 74;
/// Gave up waiting.
pub(crate) const GAVE_UP: u8 = 75;
/// The job failed through no fault of its program.
pub(crate) const INFRASTRUCTURE: u8 = 76;
/// Not allowed.
pub(crate) const NOT_ALLOWED: u8 = 77;
/// Bad configuration.
pub(crate) const BAD_CONFIG: u8 = 78;
/// The job ran into its timeout, as timeout(1) says it.
pub(crate) const TIMEOUT: u8 = 124;
/// The command could not be started, as a shell says it.
pub(crate) const CANNOT_START: u8 = 127;
/// A signal's number is added to this, as a shell does.
pub(crate) const SIGNAL_BASE: i32 = 128;
/// Out of memory: what SIGKILL gives.
pub(crate) const OUT_OF_MEMORY: u8 = 137;
/// Cancelled or interrupted: what SIGINT gives.
pub(crate) const INTERRUPTED: u8 = 130;

/// Every code with its meaning.
pub(crate) const TABLE: &[(&str, &str)] = &[
    ("0", "done; for `run`: the job succeeded"),
    ("1-255", "for `run`: the exit code of the job's command, as it is"),
    ("128+n", "for `run`: the job's command was killed by signal n"),
    ("124", "for `run`: the job ran into its timeout"),
    ("137", "for `run`: the job ran out of memory"),
    ("127", "for `run`: the job's command could not be started"),
    (
        "1",
        "for `run`: the command ended well, but an artifact is missing or was refused",
    ),
    ("2", "the command line cannot be understood"),
    (
        "64",
        "the request makes no sense here: no such job, a bad option value, a conflict",
    ),
    ("65", "the spec, or a blob's content, is not as it should be"),
    ("69", "no coordinator found, or it cannot serve now"),
    ("74", "a local file or directory cannot be read or written"),
    ("75", "gave up waiting; the job goes on"),
    (
        "76",
        "the job failed through no fault of its program: agent lost, disk full, input missing, no agent could place it; or a reply cannot be understood",
    ),
    ("77", "not allowed: token missing, wrong, or without the right"),
    ("78", "bad configuration"),
    ("130", "the job was cancelled, or `run` was interrupted"),
];

/// The table as a help text.
pub(crate) fn help() -> String {
    let rows: Vec<String> = TABLE
        .iter()
        .map(|(code, meaning)| format!("  {code:>5}  {meaning}"))
        .collect();
    format!(
        "The exit codes. `run` exits with the code of its job; codes of HiveForge's own failures are 64 and above.\n\n{}",
        rows.join("\n")
    )
}

/// The code that tells how a job ended; none while it has not.
pub(crate) fn of_job(view: &JobView) -> Option<u8> {
    match view.state {
        StateName::Queued | StateName::Running => None,
        StateName::Succeeded => Some(0),
        StateName::Failed => Some(view.cause.as_ref().map_or(INFRASTRUCTURE, of_cause)),
        StateName::Cancelled => Some(INTERRUPTED),
    }
}

fn of_cause(cause: &Cause) -> u8 {
    match cause {
        Cause::Exit { code } => mirrored(*code),
        Cause::Signal { signal } => mirrored(SIGNAL_BASE.saturating_add(*signal)),
        Cause::Timeout => TIMEOUT,
        Cause::OutOfMemory => OUT_OF_MEMORY,
        Cause::ArtifactMissing { .. } | Cause::ArtifactRefused { .. } => ARTIFACT,
        Cause::CannotStart { .. } => CANNOT_START,
        Cause::InputMissing { .. }
        | Cause::Unplaceable
        | Cause::LeaseLost
        | Cause::AgentDied
        | Cause::Disk
        | Cause::AgentFault { .. }
        | Cause::Preempted => INFRASTRUCTURE,
    }
}

/// A failure must never read as success, whatever number came with it.
fn mirrored(code: i32) -> u8 {
    u8::try_from(code)
        .ok()
        .filter(|code| *code != 0)
        .unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cause: Cause, expected: u8) {
        assert_eq!(of_cause(&cause), expected, "{cause:?}");
    }

    #[test]
    fn every_cause_has_its_exit_code() {
        check(Cause::Exit { code: 1 }, 1);
        check(Cause::Exit { code: 3 }, 3);
        check(Cause::Exit { code: 255 }, 255);
        check(Cause::Signal { signal: 9 }, 137);
        check(Cause::Signal { signal: 15 }, 143);
        check(Cause::Timeout, 124);
        check(Cause::OutOfMemory, 137);
        check(Cause::ArtifactMissing { glob: "x".into() }, 1);
        check(Cause::ArtifactRefused { why: "x".into() }, 1);
        check(Cause::CannotStart { why: "x".into() }, 127);
        check(Cause::InputMissing { path: "x".into() }, 76);
        check(Cause::Unplaceable, 76);
        check(Cause::LeaseLost, 76);
        check(Cause::AgentDied, 76);
        check(Cause::Disk, 76);
        check(Cause::AgentFault { why: "x".into() }, 76);
        check(Cause::Preempted, 76);
    }

    #[test]
    fn a_number_that_no_process_can_exit_with_is_still_a_failure() {
        check(Cause::Exit { code: 0 }, 255);
        check(Cause::Exit { code: 256 }, 255);
        check(Cause::Signal { signal: i32::MAX }, 255);
    }

    #[test]
    fn the_documentation_has_the_same_table() {
        let documented: Vec<&str> = include_str!("../../../docs/cli.md")
            .lines()
            .skip_while(|line| *line != "| code | meaning |")
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .collect();
        let coded: Vec<String> = TABLE
            .iter()
            .map(|(code, meaning)| format!("| {code} | {meaning} |"))
            .collect();
        assert_eq!(documented, coded);
    }
}
