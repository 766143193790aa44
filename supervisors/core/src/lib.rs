//! OTP supervision over `ractor`: trees as data, a pure policy, a thin shell, handles that survive restarts.
//!
//! The one idea: *what restarts what* is a value ([`TreeSpec`]), *what that means* is a pure function (`policy`), and
//! only *doing it* touches the runtime (`supervisor`). Users write an [`Actor`], reach it through a [`Handle`], put it
//! into a [`ChildSpec`], and start the whole as a [`Tree`]; they never name `ractor`.
//!
//! This crate knows no job. Crashes are for bugs: an actor whose database is away stays up and says so.

mod actor;
mod child;
mod ctx;
mod directory;
mod draw;
mod dynamic;
mod exit;
mod handle;
mod mailbox;
mod path;
mod policy;
mod spec;
mod supervisor;
mod tree;

pub use actor::{Actor, Failure};
pub use ctx::{Ctx, TASKS_MAX, TooManyTasks};
pub use directory::{ActorInfo, ActorState, Directory, KILL_GRACE, Kind};
pub use draw::draw;
pub use dynamic::{ChildRef, Dynamic, StartChildError};
pub use exit::Exit;
pub use handle::{AskError, Handle, Refused, Reply};
pub use mailbox::MailboxInfo;
pub use path::TreePath;
pub use spec::{
    AutoShutdown, ChildSpec, DynamicSpec, Intensity, Restart, Shutdown, SpecError, Strategy, TreeSpec,
    WORKER_SHUTDOWN, WORKER_START,
};
pub use supervisor::{ChildInfo, ChildStatus};
pub use tree::{StartError, Tree};
