//! The history of runs: one log line for each start, freeze, thaw and end of a command, for people and for programs.
//!
//! All lines have the target `hiveforge::runs` and the same fields, so that whoever has the logs of several agents of one
//! machine can tell what ran when: `boot_ns` is `CLOCK_BOOTTIME`, which all processes of a machine share. It is read when
//! the event is over: a command ran from before its `started` to before its `ended`, and did not run between `frozen` and
//! the next line of its attempt but for the moment in which a thaw was under way. Starts and ends are many, so they are
//! written at level `debug` only.

use domain::AgentId;
use protocol::leases::Held;

use crate::clock::BootTime;

/// The target of every line.
pub const TARGET: &str = "hiveforge::runs";

/// What happened to the command of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// Its process is there.
    Started,
    /// It stands still.
    Frozen,
    /// It goes on.
    Thawed,
    /// Its processes are gone.
    Ended,
}

/// Writes the line.
pub(crate) fn note(agent: &AgentId, held: &Held, event: Event) {
    macro_rules! line {
        ($level:ident, $event:literal, $words:literal) => {
            tracing::$level!(
                target: TARGET,
                event = %$event,
                job.id = %held.job,
                attempt = held.attempt,
                boot_ns = u64::try_from(BootTime::now().0.as_nanos()).unwrap_or(u64::MAX),
                agent = %agent,
                $words
            )
        };
    }
    match event {
        Event::Started => line!(debug, "started", "the command runs"),
        Event::Frozen => line!(
            warn,
            "frozen",
            "no renewal for most of the lease's life: the run is frozen"
        ),
        Event::Thawed => line!(info, "thawed", "the run goes on"),
        Event::Ended => line!(debug, "ended", "the command has ended"),
    }
}
