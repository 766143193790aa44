//! OTP supervision over `ractor`: trees as data, a pure policy, a thin shell, handles that survive restarts.
//!
//! The one idea: *what restarts what* is a value ([`TreeSpec`]), *what that means* is a pure function (`policy`), and
//! only *doing it* touches the runtime (`supervisor`). Users write an [`Actor`], reach it through a [`Handle`], put it
//! into a [`ChildSpec`], and start the whole as a [`Tree`]; they never name `ractor`.
//!
//! This crate knows no job. Crashes are for bugs: an actor whose database is away stays up and says so.
//!
//! ```
//! use std::time::Duration;
//! use supervision::{Actor, ChildSpec, Ctx, Failure, Handle, Intensity, Reply, Strategy, Tree, TreeSpec};
//!
//! struct Counter;
//!
//! enum Msg {
//!     Add(u64),
//!     Sum(Reply<u64>),
//! }
//!
//! impl Actor for Counter {
//!     type Msg = Msg;
//!     type State = u64;
//!
//!     async fn start(&self, _: &Ctx<Msg>) -> Result<u64, Failure> {
//!         Ok(0)
//!     }
//!
//!     async fn handle(&self, _: &Ctx<Msg>, msg: Msg, sum: &mut u64) -> Result<(), Failure> {
//!         match msg {
//!             Msg::Add(n) => *sum += n,
//!             Msg::Sum(reply) => drop(reply.send(*sum)),
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let limit = Duration::from_secs(5);
//! let counter = Handle::new("counter", 16);
//! let spec = TreeSpec::new(Strategy::OneForOne, Intensity { max: 3, within: limit })
//!     .child(ChildSpec::worker("counter", &counter, || Counter));
//! let tree = Tree::start("example", spec).await.expect("nothing in it can fail");
//! counter.try_tell(Msg::Add(2)).expect("it is up and its mailbox is empty");
//! assert_eq!(counter.ask(Msg::Sum, limit).await, Ok(2));
//! assert!(tree.stop(limit).await.is_empty());
//! # }
//! ```

#[cfg(all(feature = "faults", not(debug_assertions)))]
compile_error!("the feature `faults` is for tests and drills: it does not belong into a release build");

mod actor;
mod child;
mod children;
mod ctx;
mod directory;
mod draw;
mod dynamic;
mod events;
mod exit;
#[cfg(feature = "faults")]
pub mod faults;
mod handle;
mod latency;
mod life;
mod mailbox;
mod path;
mod places;
mod policy;
mod spec;
mod supervisor;
mod tree;
mod watch;

pub use actor::{Actor, Failure};
pub use children::{ChildCounts, ChildError, ChildInfo, ChildStatus};
pub use ctx::{Ctx, TASKS_MAX, TooManyTasks};
pub use directory::{ActorInfo, ActorState, Directory, KILL_GRACE, Kind, WindowInfo};
pub use draw::draw;
pub use dynamic::{ChildRef, Dynamic, StartChildError};
pub use events::{EVENTS_MAX, Happening, Totals, TreeEvent};
pub use exit::Exit;
pub use handle::{AskError, Handle, Refused, Reply};
pub use latency::{Histogram, LATENCY_BUCKETS};
pub use mailbox::MailboxInfo;
pub use path::TreePath;
pub use places::{Place, places};
pub use spec::{
    AutoShutdown, Backoff, ChildSpec, DynamicSpec, Intensity, Restart, Shutdown, SpecError, Strategy,
    TreeSpec, WORKER_HANDLE, WORKER_SHUTDOWN, WORKER_START,
};
pub use tree::{StartError, Tree};
