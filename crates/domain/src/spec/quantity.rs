//! A number of cpus, as a spec writes it: `2` or `0.5`.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most cpus that a job may ask for.
const CPUS_MAX: f64 = 4096.0;

/// Cpus in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cpus(u32);

impl Cpus {
    /// Thousandths of a cpu.
    pub const fn millis(self) -> u32 {
        self.0
    }

    fn from_number<E: de::Error>(cpus: f64) -> Result<Self, E> {
        if !(0.001..=CPUS_MAX).contains(&cpus) {
            return Err(E::custom(format!(
                "`{cpus}` cpus cannot be reserved: write a number from 0.001 to 4096"
            )));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range was checked"
        )]
        let millis = (cpus * 1000.0).round() as u32;
        Ok(Self(millis))
    }
}

impl Serialize for Cpus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_f64(f64::from(self.0) / 1000.0)
        } else {
            serializer.serialize_u32(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Cpus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        #[expect(
            clippy::cast_precision_loss,
            reason = "the range check refuses what is not exact"
        )]
        impl Visitor<'_> for Number {
            type Value = Cpus;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of cpus such as 2 or 0.5")
            }
            fn visit_f64<E: de::Error>(self, cpus: f64) -> Result<Cpus, E> {
                Cpus::from_number(cpus)
            }
            fn visit_i64<E: de::Error>(self, cpus: i64) -> Result<Cpus, E> {
                Cpus::from_number(cpus as f64)
            }
            fn visit_u64<E: de::Error>(self, cpus: u64) -> Result<Cpus, E> {
                Cpus::from_number(cpus as f64)
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Number)
        } else {
            u32::deserialize(deserializer).map(Self)
        }
    }
}
