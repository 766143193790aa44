//! Resource vectors: how much of a machine a job asks for and an agent has.
//!
//! A job that states nothing takes one slot of an agent and no more. What is stated is reserved: an agent never runs
//! jobs whose stated resources add up to more than its capacity.

use serde::{Deserialize, Serialize};

use crate::units::ByteSize;

/// Cpus in thousandths and memory in bytes. Zero means "not stated" for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Resources {
    /// Thousandths of a cpu.
    pub cpu_millis: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
}

/// Cpus are rounded up to this many thousandths, so that lanes stay few.
const CPU_STEP_MILLIS: u32 = 100;
/// Memory is rounded up to one of this many steps between two powers of two.
const MEMORY_STEPS_PER_DOUBLING: u64 = 4;

impl Resources {
    /// Rounds up to the coarse steps in which lanes are told apart.
    pub fn rounded(self) -> Self {
        let step = (self.memory_bytes.next_power_of_two() / 2 / MEMORY_STEPS_PER_DOUBLING).max(1);
        Self {
            cpu_millis: self.cpu_millis.next_multiple_of(CPU_STEP_MILLIS),
            memory_bytes: self
                .memory_bytes
                .checked_next_multiple_of(step)
                .unwrap_or(self.memory_bytes),
        }
    }

    /// Says whether `self` fits into `room`, in every dimension.
    pub const fn fits_in(self, room: Self) -> bool {
        self.cpu_millis <= room.cpu_millis && self.memory_bytes <= room.memory_bytes
    }

    /// What is left of `self` after `used`; never below zero.
    pub const fn minus(self, used: Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.saturating_sub(used.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_sub(used.memory_bytes),
        }
    }

    /// The sum of both.
    pub const fn plus(self, more: Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.saturating_add(more.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_add(more.memory_bytes),
        }
    }

    /// The memory as a size with a unit.
    pub const fn memory(self) -> ByteSize {
        ByteSize(self.memory_bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rounding_never_asks_for_less_nor_for_a_quarter_more(cpu in 0u32..100_000, memory in 0u64..1 << 42) {
            let exact = Resources { cpu_millis: cpu, memory_bytes: memory };
            let rounded = exact.rounded();
            prop_assert!(exact.fits_in(rounded));
            prop_assert!(rounded.memory_bytes <= memory + memory / 4 + 1);
            prop_assert_eq!(rounded.rounded(), rounded);
        }
    }

    #[test]
    fn an_unstated_resource_stays_unstated() {
        assert_eq!(Resources::default().rounded(), Resources::default());
    }
}
