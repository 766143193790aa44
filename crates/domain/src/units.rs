//! Quantities with units, as people write them: `90s`, `512MiB`, `1.5` cpus.
//!
//! A bare number is refused wherever a unit could be guessed wrongly. Every type prints the shortest text that reads
//! back to the same value, so a spec survives a round trip unchanged.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time with millisecond resolution: `1h30m`, `90s`, `250ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span(u64);

/// A number of bytes: `64KiB`, `512MiB`, `2GiB`, `100MB`, `17B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// A text that is no quantity of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind}: write it like {like}")]
pub struct BadQuantity {
    /// The text as given.
    pub text: String,
    /// What was expected, e.g. `duration`.
    pub kind: &'static str,
    /// Examples of right ones.
    pub like: &'static str,
}

const SPAN_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];
const BYTE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

impl Span {
    /// A span of `millis` milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// A span of `secs` seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1_000)
    }

    /// The same span as the standard library has it.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut left = self.0;
        for (unit, millis) in SPAN_UNITS {
            if left >= millis {
                write!(f, "{}{unit}", left / millis)?;
                left %= millis;
            }
        }
        Ok(())
    }
}

impl FromStr for Span {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        let bad = || BadQuantity {
            text: text.to_owned(),
            kind: "duration",
            like: "90s, 250ms or 1h30m",
        };
        let mut rest = text.trim();
        let mut total: u64 = 0;
        if rest.is_empty() {
            return Err(bad());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
            let (number, tail) = rest.split_at(digits);
            let letters = tail
                .find(|c: char| !c.is_ascii_alphabetic())
                .unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            let millis = SPAN_UNITS
                .iter()
                .find(|(name, _)| *name == unit)
                .ok_or_else(bad)?
                .1;
            let amount = number.parse::<u64>().map_err(|_| bad())?;
            total = amount
                .checked_mul(millis)
                .and_then(|ms| total.checked_add(ms))
                .ok_or_else(bad)?;
            rest = tail;
        }
        Ok(Self(total))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, bytes) = BYTE_UNITS
            .into_iter()
            .find(|(_, bytes)| self.0 != 0 && self.0.is_multiple_of(*bytes))
            .unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / bytes)
    }
}

impl FromStr for ByteSize {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        let bad = || BadQuantity {
            text: text.to_owned(),
            kind: "size",
            like: "64KiB, 512MiB or 2GiB",
        };
        let trimmed = text.trim();
        let digits = trimmed.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let (number, unit) = trimmed.split_at(digits);
        let bytes = BYTE_UNITS
            .iter()
            .find(|(name, _)| *name == unit.trim())
            .ok_or_else(bad)?
            .1;
        number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(bytes))
            .map(Self)
            .ok_or_else(bad)
    }
}

macro_rules! written_as_text {
    ($type:ident, $expected:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_u64(self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                if deserializer.is_human_readable() {
                    deserializer.deserialize_str(Text)
                } else {
                    u64::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}
written_as_text!(Span, "a duration with its unit, such as \"90s\"");
written_as_text!(ByteSize, "a size with its unit, such as \"512MiB\"");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bare_number_is_refused_because_its_unit_would_be_a_guess() {
        let refused = "90".parse::<Span>().unwrap_err().to_string();
        assert_eq!(
            refused,
            "`90` is not a duration: write it like 90s, 250ms or 1h30m"
        );
        assert!("512".parse::<ByteSize>().is_err());
    }

    #[test]
    fn spans_add_their_parts() {
        assert_eq!("1h30m".parse(), Ok(Span::from_secs(5400)));
        assert_eq!("2m5s250ms".parse(), Ok(Span::from_millis(125_250)));
        assert!("1x".parse::<Span>().is_err());
        assert!("".parse::<Span>().is_err());
        assert!("99999999999999999999d".parse::<Span>().is_err());
    }

    proptest! {
        #[test]
        fn a_span_reads_back_what_it_prints(ms in 0u64..1 << 50) {
            prop_assert_eq!(Span(ms).to_string().parse(), Ok(Span(ms)));
        }

        #[test]
        fn a_size_reads_back_what_it_prints(bytes in 0u64..1 << 60) {
            prop_assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
        }
    }
}
