//! The toll of a cell: how often its victim failed, and that nobody else did.
//!
//! The one idea: the trees themselves write down every end and every start, so a victim that fails more often than it was
//! made to, and a failure anywhere else, show even if all work ends well. [`EXCEPTIONS`] says who may lawfully do what others
//! may not, and why.

use anyhow::{Result, ensure};
use supervision::{Directory, Exit, Happening, Totals, TreeEvent};

use crate::cell::Cell;
use crate::column::Column;

/// Nothing went wrong.
const CALM: Totals = Totals {
    starts: 0,
    restarts: 0,
    failed_starts: 0,
    crashes: 0,
    kills: 0,
    gave_up: 0,
    stuck: 0,
    abandoned: 0,
};
const CRASHED: Totals = Totals {
    crashes: 1,
    restarts: 1,
    ..CALM
};
const KILLED: Totals = Totals {
    kills: 1,
    restarts: 1,
    ..CALM
};
const KILLED_FOR_GOOD: Totals = Totals { kills: 1, ..CALM };
const STUCK: Totals = Totals { stuck: 1, ..CALM };

/// Cells with a toll of their own.
struct Exception {
    /// Absent for all.
    actor: Option<&'static str>,
    column: Column,
    lawful: &'static [Totals],
    reason: &'static str,
}

const EXCEPTIONS: [Exception; 4] = [
    Exception {
        actor: None,
        column: Column::Block,
        lawful: &[STUCK, Totals { stuck: 1, ..CRASHED }],
        reason: "a handler that waits for something after the block is beyond its deadline, and ended for it",
    },
    Exception {
        actor: Some("coordinator"),
        column: Column::Kill,
        lawful: &[KILLED_FOR_GOOD],
        reason: "nobody restarts a root but whoever restarts its process",
    },
    Exception {
        actor: Some("agent"),
        column: Column::Kill,
        lawful: &[KILLED_FOR_GOOD],
        reason: "nobody restarts a root but whoever restarts its process",
    },
    Exception {
        actor: Some("agent/runs/slot-0"),
        column: Column::Kill,
        lawful: &[KILLED_FOR_GOOD],
        reason: "a slot is temporary: the marshal staffs it anew, which is a first start",
    },
];

/// Fails unless in the tree of the victim just that went wrong which had to, and to nobody else. Whoever is below the victim
/// ends with it, which is not counted.
///
/// # Errors
/// See above.
pub fn of_victim(directory: &Directory, cell: &Cell) -> Result<()> {
    let events = directory.events();
    ensure!(
        events.first().is_none_or(|first| first.number == 1),
        "so much has happened that its beginning is forgotten"
    );
    let is_victim = |event: &&TreeEvent| event.path.as_str() == cell.row.actor;
    let toll = count(events.iter().filter(is_victim));
    let (lawful, reason) = lawful(cell);
    ensure!(
        lawful.contains(&toll),
        "the victim's toll is {toll:?}, and not one of {lawful:?} ({reason}): {}",
        tell(&events)
    );
    let others = events.iter().filter(|event| !cell.concerns(event.path.as_str()));
    let toll = count(others);
    ensure!(toll == CALM, "others have a toll of {toll:?}: {}", tell(&events));
    Ok(())
}

/// Fails if anything went wrong in a tree.
///
/// # Errors
/// See above.
pub fn of_nobody(directory: &Directory) -> Result<()> {
    let toll = Totals {
        starts: 0,
        ..directory.totals()
    };
    ensure!(
        toll == CALM,
        "the other tree has a toll of {toll:?}: {}",
        tell(&directory.events())
    );
    Ok(())
}

/// What may become of the victim of a cell, and why.
fn lawful(cell: &Cell) -> (&'static [Totals], &'static str) {
    let exception = EXCEPTIONS.iter().find(|exception| {
        exception.column == cell.column && exception.actor.is_none_or(|actor| actor == cell.row.actor)
    });
    if let Some(exception) = exception {
        return (exception.lawful, exception.reason);
    }
    match cell.column {
        Column::PanicInStart => {
            const KILLED_AND_NOT_STARTED_ONCE: Totals = Totals {
                failed_starts: 1,
                ..KILLED
            };
            (
                &[KILLED_AND_NOT_STARTED_ONCE],
                "killed, and its first start after that fails",
            )
        }
        Column::PanicAtMessage | Column::Error | Column::Hang => (&[CRASHED], "one message is bad"),
        Column::Kill => (&[KILLED], "killed once"),
        Column::SlowStop => (&[KILLED], "killed since it does not stop, and started again"),
        Column::Block => (&[STUCK], "stuck once"),
        Column::LostReply | Column::Duplicate => (&[CALM], "what befalls a call is not its caller's fault"),
    }
}

/// Starts are not counted: slots come and go with the work.
fn count<'a>(events: impl Iterator<Item = &'a TreeEvent>) -> Totals {
    let mut toll = CALM;
    for event in events {
        let number = match &event.what {
            Happening::Started if event.incarnation > 1 => &mut toll.restarts,
            Happening::StartFailed(_) => &mut toll.failed_starts,
            Happening::Ended(Exit::Crashed(_)) => &mut toll.crashes,
            Happening::Ended(Exit::Killed) => &mut toll.kills,
            Happening::Ended(Exit::GaveUp(_)) => &mut toll.gave_up,
            Happening::Stuck => &mut toll.stuck,
            Happening::Abandoned => &mut toll.abandoned,
            Happening::Started
            | Happening::Ended(Exit::Normal | Exit::Shutdown)
            | Happening::Unstuck
            | Happening::Injected(_) => continue,
        };
        *number += 1;
    }
    toll
}

/// What went wrong, in words.
fn tell(events: &[TreeEvent]) -> String {
    let wrong = events
        .iter()
        .filter(|event| count(std::iter::once(*event)) != CALM)
        .map(|event| format!("{}#{} {}", event.path, event.incarnation, event.what));
    wrong.collect::<Vec<_>>().join("; ")
}
