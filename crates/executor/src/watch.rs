//! The watching of a descriptor by the runtime.
//!
//! The one caller of a registration that trusts its argument: the descriptor must belong to the value and never
//! change. Both are true of the two types that are watched here, an `OwnedFd` and a [`crate::Child`].

use std::io;
use std::os::fd::AsRawFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches an open descriptor for being readable. To be called within a runtime.
#[expect(
    deprecated,
    reason = "its successor asks in an unsafe block for what this module promises in words"
)]
pub(crate) fn watch<T: AsRawFd>(descriptor: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}
