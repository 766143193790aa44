//! The one path by which state changes: load, decide (`domain`), commit (`nexus`).
//!
//! The half that matters is pure: [`transaction`] maps a domain step to a nexus transaction, [`plan`] turns what was
//! read into the transactions of a claim, a renewal or a reaping. [`Ledger`] reads, calls those, commits, and does it
//! again when somebody else was faster. The model checker drives the pure half over the in-memory store.
//!
//! Nobody else touches the nexus. No actor, no clock of its own and no HTTP lives here.

mod acts;
mod agents;
mod chain;
mod claim;
mod duty;
mod error;
pub mod fail_points;
mod finish;
mod follow_up;
pub mod fsck;
pub mod keys;
mod ledger;
mod log;
pub mod plan;
mod quarantine;
mod query;
pub mod record;
mod renew;
mod submit;
pub mod system;
mod told;
pub mod transaction;

pub use self::acts::{ACTS_KEPT_MAX, Act, ActEntry};
pub use self::chain::{JournalEntry, verify_chain};
pub use self::claim::{Claimant, Claimed, Claims, Granted, Unwanted};
pub use self::duty::{HOLD, PASS_MAX, Reaped, TAKEN_MAX};
pub use self::error::{ApplyError, LedgerError};
pub use self::finish::{FinishItem, FinishRefused};
pub use self::ledger::{Applied, Ledger, TxIds};
pub use self::log::{LogChunk, LogPiece, LogRefused, LogStatus, Rolled, TAIL_BYTES_MAX};
pub use self::quarantine::{QUARANTINED_MAX, Quarantined};
pub use self::query::{JobDetail, JobPage};
pub use self::renew::{Readopted, RenewItem, Renewed};
pub use self::submit::{Accepted, Idempotency, Submission, SubmitError};
pub use self::system::{Agreed, Disagreement, NotAgreed, Terms};
pub use nexus::{Hint, Hints, Room, Standing};
