//! The columns of the matrix: the ways in which an actor is hurt.

use std::fmt;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// It is killed, and its successor panics while it starts.
    PanicInStart,
    /// It panics over a message.
    PanicAtMessage,
    /// It returns an error over a message.
    Error,
    /// It is killed.
    Kill,
    /// A message keeps it waiting for ever.
    Hang,
    /// A message blocks its thread.
    Block,
    /// It does not stop when it is told to.
    SlowStop,
    /// What it asked for is done, and it never hears of it.
    LostReply,
    /// What it asked for is done again; a request to the coordinator also when it has long been answered.
    Duplicate,
}

impl Column {
    /// All of them, as they are printed.
    pub const ALL: [Self; 9] = [
        Self::PanicInStart,
        Self::PanicAtMessage,
        Self::Error,
        Self::Kill,
        Self::Hang,
        Self::Block,
        Self::SlowStop,
        Self::LostReply,
        Self::Duplicate,
    ];

    /// Whether the actor is another one afterwards. A block ends by itself, and what it asks for may go wrong unnoticed.
    pub const fn replaces(self) -> bool {
        match self {
            Self::PanicInStart
            | Self::PanicAtMessage
            | Self::Error
            | Self::Kill
            | Self::Hang
            | Self::SlowStop => true,
            Self::Block | Self::LostReply | Self::Duplicate => false,
        }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::PanicInStart => "panic-in-start",
            Self::PanicAtMessage => "panic",
            Self::Error => "error",
            Self::Kill => "kill",
            Self::Hang => "hang",
            Self::Block => "block",
            Self::SlowStop => "slow-stop",
            Self::LostReply => "lost-reply",
            Self::Duplicate => "duplicate",
        })
    }
}
