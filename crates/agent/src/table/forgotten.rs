//! A memory of the leases that were forgotten a short while ago.
//!
//! A claim that was sent before a lease was granted and is answered after it was finished may name the lease once more,
//! because the agent did not list it. Running it again would be wrong, so such a late reply must be known for what it is.
//! What is older than any request can be is dropped.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use protocol::leases::Held;

/// Leases that are remembered. At a thousand jobs per second this is longer than any request lasts.
const FORGOTTEN_MAX: usize = 1 << 16;

/// Leases by hash: a false hit would give back a lease that could have been run, which is harmless and never happens.
#[derive(Default)]
pub(super) struct Forgotten {
    hasher: RandomState,
    set: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Forgotten {
    pub(super) fn insert(&mut self, held: &Held) {
        let hash = self.hasher.hash_one(held);
        if self.set.insert(hash) {
            self.order.push_back(hash);
        }
        if self.order.len() > FORGOTTEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
    }

    pub(super) fn contains(&self, held: &Held) -> bool {
        self.set.contains(&self.hasher.hash_one(held))
    }
}
