//! Faults on purpose, for drills: `/v1/chaos`. Only in builds with feature `faults`, which no release is.
//!
//! A fault is put at a place in a tree and happens once, at one of the moments of the actor there. Every injection is on
//! record with who asked for it.

use std::fmt;

use domain::{Principal, Timestamp};
use serde::{Deserialize, Serialize};

/// Longest that a fault may block or delay an actor, in milliseconds.
pub const FAULT_MS_MAX: u64 = 600_000;

/// Longest path of an actor that an injection may name, in bytes.
pub const FAULT_PATH_BYTES_MAX: usize = 512;

/// What is to go wrong. `POST /v1/chaos`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Injection {
    /// The place of the actor, such as `coordinator/dispatch`, at most [`FAULT_PATH_BYTES_MAX`] long. It must be up,
    /// except for a fault of its next start.
    pub path: String,
    /// At which of its moments; absent: at its next message. A kill is at once and has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// What happens.
    pub what: What,
    /// In which coordinator of the mesh; absent: in the one that is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinator: Option<String>,
}

/// A moment in an actor's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// At its next start, before it does anything.
    Start,
    /// Instead of handling the n-th message from now on, from 1.
    Message(u32),
    /// At its next orderly stop, before it cleans up.
    Stop,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It panics.
    Panic,
    /// It returns an error.
    Error,
    /// It waits for ever, at an await point.
    Hang,
    /// It blocks its thread for so many milliseconds, at most [`FAULT_MS_MAX`], and goes on.
    BlockMs(u64),
    /// It waits for so many milliseconds, at most [`FAULT_MS_MAX`], and goes on.
    DelayMs(u64),
    /// It is killed, now.
    Kill,
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("start"),
            Self::Message(n) => write!(f, "message {n}"),
            Self::Stop => f.write_str("stop"),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic => f.write_str("panic"),
            Self::Error => f.write_str("error"),
            Self::Hang => f.write_str("hang"),
            Self::BlockMs(ms) => write!(f, "block for {ms}ms"),
            Self::DelayMs(ms) => write!(f, "delay for {ms}ms"),
            Self::Kill => f.write_str("kill"),
        }
    }
}

/// `GET /v1/chaos`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChaosView {
    /// Faults that have not happened yet, tree by tree.
    pub waiting: Vec<Injection>,
    /// What was done, oldest first.
    pub acts: Vec<ActView>,
}

/// One act on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActView {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: Principal,
    /// What: `fault_injected` or `faults_cleared`.
    pub act: String,
    /// The actor, if it was about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// More about it, in words.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn injections_look_like_this() {
        let all = [
            (None, What::Panic),
            (Some(When::Start), What::Error),
            (Some(When::Message(3)), What::BlockMs(2_000)),
            (Some(When::Stop), What::DelayMs(1_000)),
            (None, What::Hang),
            (None, What::Kill),
        ];
        let lines = all.map(|(when, what)| {
            let path = "coordinator/dispatch".to_owned();
            let injection = Injection {
                path,
                when,
                what,
                coordinator: None,
            };
            let json = serde_json::to_string(&injection).unwrap();
            format!("{json}\n")
        });
        insta::assert_snapshot!(lines.concat(), @r#"
        {"path":"coordinator/dispatch","what":"panic"}
        {"path":"coordinator/dispatch","when":"start","what":"error"}
        {"path":"coordinator/dispatch","when":{"message":3},"what":{"block_ms":2000}}
        {"path":"coordinator/dispatch","when":"stop","what":{"delay_ms":1000}}
        {"path":"coordinator/dispatch","what":"hang"}
        {"path":"coordinator/dispatch","what":"kill"}
        "#);
    }
}
