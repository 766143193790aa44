//! A memory of the leases that were forgotten a short while ago.
//!
//! A claim that was sent before a lease was granted and is answered after it was finished may name the lease once more,
//! because the agent did not list it. Running it again would be wrong, so such a late reply must be known for what it is.
//! The reply to a request that was sent when the lease was forgotten already is none: then the nexus thinks that it runs
//! here, for it has forgotten that this attempt is used up. What is older than any request can be is dropped.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use protocol::leases::Held;

use crate::clock::BootTime;

/// Leases that are remembered. At a thousand jobs per second this is longer than any request lasts.
const FORGOTTEN_MAX: usize = 1 << 16;

/// What it means that a reply names a lease that is not held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// It was granted just now.
    New,
    /// The reply is late.
    Echo,
    /// The nexus has forgotten what became of it.
    Again,
}

/// Leases by hash: a false hit would give back a lease that could have been run, which is harmless and never happens.
#[derive(Default)]
pub(super) struct Forgotten {
    hasher: RandomState,
    /// Until when a request that names it may have been sent without knowing.
    until: HashMap<u64, BootTime>,
    order: VecDeque<u64>,
}

impl Forgotten {
    /// Replies to requests that are sent until then are echoes.
    pub(super) fn insert(&mut self, held: &Held, until: BootTime) {
        let hash = self.hasher.hash_one(held);
        if self.until.insert(hash, until).is_none() {
            self.order.push_back(hash);
        }
        if self.order.len() > FORGOTTEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.until.remove(&oldest);
        }
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.until.clear();
        self.order.clear();
    }

    /// What it means that the reply to a request that was sent at `sent_at` names this lease.
    pub(super) fn named(&self, held: &Held, sent_at: BootTime) -> Named {
        match self.until.get(&self.hasher.hash_one(held)) {
            None => Named::New,
            Some(until) if sent_at <= *until => Named::Echo,
            Some(_) => Named::Again,
        }
    }
}
