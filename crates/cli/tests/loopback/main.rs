//! The `hiveforge` program against a coordinator that follows a script: real process, real bytes, real exit codes.
//!
//! The coordinator of the script says exactly what a test tells it to, broken connections included, which no real one
//! does on demand. That the real one speaks the same language is shown by the end-to-end suite.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod artifacts;
mod blobs;
mod discovery;
mod interrupt;
mod observer;
mod program;
mod run;
mod script;
mod several;
mod submit;
