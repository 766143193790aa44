//! How an actor ended.
//!
//! The one idea: `ractor` reports a kill as an ordinary termination with a reason string, so the meaning of its
//! events is decided here and nowhere else. Only this crate writes reason strings; they never reach a user.
//! What follows from an exit is the business of `policy`.

use std::fmt;

use ractor::{ActorCell, SupervisionEvent};

/// How an actor ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It had nothing left to do and said so.
    Normal,
    /// It was asked to stop by its supervisor, and did.
    Shutdown,
    /// A supervisor that met more failures than its intensity allows, or could not wait for a significant child.
    /// Counts as an orderly end for the restart rules, as in OTP. The line says which child, how often and why.
    GaveUp(String),
    /// It was killed, or its task was cancelled.
    Killed,
    /// It panicked or returned a [`Failure`](crate::Failure); the text says why.
    Crashed(String),
}

impl Exit {
    /// Returns true if a transient child is restarted after this exit.
    pub fn is_abnormal(&self) -> bool {
        match self {
            Self::Normal | Self::Shutdown | Self::GaveUp(_) => false,
            Self::Killed | Self::Crashed(_) => true,
        }
    }

    pub(crate) fn to_reason(&self) -> String {
        self.to_string()
    }

    /// Returns who ended and how, or nothing for events that are not an end.
    pub(crate) fn of(event: SupervisionEvent) -> Option<(ActorCell, Self)> {
        match event {
            SupervisionEvent::ActorFailed(who, why) => Some((who, Self::Crashed(brief(why.to_string())))),
            SupervisionEvent::ActorTerminated(who, _, reason) => Some((who, Self::of_reason(reason))),
            SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ProcessGroupChanged(_)
            | SupervisionEvent::PidLifecycleEvent(_) => None,
        }
    }

    fn of_reason(reason: Option<String>) -> Self {
        match reason.as_deref() {
            Some("killed" | "actor_task_cancelled") => Self::Killed,
            Some("shutdown") => Self::Shutdown,
            Some(text) => match text.strip_prefix(GAVE_UP) {
                Some(line) => Self::GaveUp(line.to_owned()),
                None => Self::Normal,
            },
            None => Self::Normal,
        }
    }
}

const GAVE_UP: &str = "gave up: ";

/// How much of an actor's last words is kept, in bytes. They are repeated in the line of every supervisor above.
pub(crate) const LAST_WORDS_BYTES_MAX: usize = 1024;

/// Makes a text one line and cuts it to [`LAST_WORDS_BYTES_MAX`]: logs are read by line, and most failed assertions have
/// several.
pub(crate) fn brief(text: String) -> String {
    let mut line = text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    line.truncate(line.floor_char_boundary(LAST_WORDS_BYTES_MAX));
    line
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("normal"),
            Self::Shutdown => f.write_str("shutdown"),
            Self::GaveUp(line) => write!(f, "{GAVE_UP}{line}"),
            Self::Killed => f.write_str("killed"),
            Self::Crashed(why) => write!(f, "crashed: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_reason_is_read_back_as_the_exit_that_wrote_it() {
        for exit in [
            Exit::Normal,
            Exit::Shutdown,
            Exit::GaveUp("child a".into()),
            Exit::Killed,
        ] {
            assert_eq!(Exit::of_reason(Some(exit.to_reason())), exit);
        }
    }

    #[test]
    fn last_words_are_cut_between_two_characters() {
        let words = format!("x{}", "ü".repeat(LAST_WORDS_BYTES_MAX));
        assert_eq!(brief(words).len(), LAST_WORDS_BYTES_MAX - 1);
        assert_eq!(brief("short".to_owned()), "short");
    }

    #[test]
    fn last_words_are_one_line() {
        let failed = "assertion `left == right` failed\n  left: 1\r\n right: 2";
        assert_eq!(
            brief(failed.to_owned()),
            "assertion `left == right` failed left: 1 right: 2"
        );
    }

    #[test]
    fn a_kill_and_a_cancelled_task_are_abnormal_exits() {
        for reason in ["killed", "actor_task_cancelled"] {
            assert!(Exit::of_reason(Some(reason.into())).is_abnormal());
        }
    }
}
