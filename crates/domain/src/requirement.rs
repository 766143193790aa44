//! Label constraints: what a job requires of an agent, one condition each.
//!
//! The grammar is five forms: `os = linux`, `os != linux`, `gpu >= 1` (also `>`, `<=`, `<`), `arch in (x86_64, aarch64)`
//! and `gpu exists`. A constraint prints in one normal form, so equal requirements give equal lanes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest label key or value, in bytes.
pub const LABEL_BYTES_MAX: usize = 63;
/// Most values of one `in (..)`.
pub const IN_VALUES_MAX: usize = 32;

/// An agent's labels.
pub type Labels = BTreeMap<String, String>;

/// One condition on an agent's labels.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Constraint {
    /// The label that is looked at.
    pub key: String,
    /// What must hold of it.
    pub condition: Condition,
}

/// What must hold of one label. A label that is absent meets only `NotEquals`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Condition {
    /// `key = value`
    Equals(String),
    /// `key != value`
    NotEquals(String),
    /// `key >= number` and its kin; the label must be a whole number.
    Number(Comparison, i64),
    /// `key in (a, b)`
    In(BTreeSet<String>),
    /// `key exists`
    Exists,
}

/// How a number label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Comparison {
    /// `>=`
    AtLeast,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `<`
    Below,
}

impl Comparison {
    /// In the order in which a parser must try them: the longer signs first.
    const ALL: [(Self, &'static str); 4] = [
        (Self::AtLeast, ">="),
        (Self::AtMost, "<="),
        (Self::Above, ">"),
        (Self::Below, "<"),
    ];

    fn sign(self) -> &'static str {
        match self {
            Self::AtLeast => ">=",
            Self::AtMost => "<=",
            Self::Above => ">",
            Self::Below => "<",
        }
    }

    const fn holds(self, found: i64, wanted: i64) -> bool {
        match self {
            Self::AtLeast => found >= wanted,
            Self::AtMost => found <= wanted,
            Self::Above => found > wanted,
            Self::Below => found < wanted,
        }
    }
}

impl Constraint {
    /// `key exists`.
    pub fn exists(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            condition: Condition::Exists,
        }
    }

    /// Says whether an agent with these labels meets the constraint.
    pub fn met_by(&self, labels: &Labels) -> bool {
        let found = labels.get(&self.key);
        match &self.condition {
            Condition::Equals(value) => found == Some(value),
            Condition::NotEquals(value) => found != Some(value),
            Condition::Number(comparison, wanted) => found
                .and_then(|text| text.parse().ok())
                .is_some_and(|n| comparison.holds(n, *wanted)),
            Condition::In(values) => found.is_some_and(|value| values.contains(value)),
            Condition::Exists => found.is_some(),
        }
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match &self.condition {
            Condition::Equals(value) => write!(f, "{key} = {value}"),
            Condition::NotEquals(value) => write!(f, "{key} != {value}"),
            Condition::Number(comparison, n) => write!(f, "{key} {} {n}", comparison.sign()),
            Condition::In(values) => {
                write!(
                    f,
                    "{key} in ({})",
                    values.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
                )
            }
            Condition::Exists => write!(f, "{key} exists"),
        }
    }
}

/// A requirement that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "requirement `{text}` cannot be read: {why} (write it like `os = linux`, `gpu >= 1`, `arch in (x86_64, aarch64)` or `gpu exists`)"
)]
pub struct BadConstraint {
    /// The text as given.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl FromStr for Constraint {
    type Err = BadConstraint;

    fn from_str(text: &str) -> Result<Self, BadConstraint> {
        let bad = |why| BadConstraint {
            text: text.to_owned(),
            why,
        };
        let trimmed = text.trim();
        let end = trimmed
            .find(|c: char| c.is_whitespace() || "=!<>".contains(c))
            .unwrap_or(trimmed.len());
        let (key, rest) = trimmed.split_at(end);
        if !is_label_key(key) {
            return Err(bad(
                "it must begin with a label: letters, digits, dots, underscores, hyphens or slashes",
            ));
        }
        let condition = condition(rest.trim()).map_err(bad)?;
        Ok(Self {
            key: key.to_owned(),
            condition,
        })
    }
}

fn condition(text: &str) -> Result<Condition, &'static str> {
    if text == "exists" {
        return Ok(Condition::Exists);
    }
    if let Some(list) = text
        .strip_prefix("in")
        .map(str::trim_start)
        .filter(|list| list.starts_with('('))
    {
        return in_values(list);
    }
    if let Some(value) = text.strip_prefix("!=") {
        return Ok(Condition::NotEquals(label_value(value)?));
    }
    for (comparison, sign) in Comparison::ALL {
        if let Some(number) = text.strip_prefix(sign) {
            let number = number
                .trim()
                .parse()
                .map_err(|_| "a comparison needs a whole number")?;
            return Ok(Condition::Number(comparison, number));
        }
    }
    let value = text
        .strip_prefix('=')
        .ok_or("an operator is missing: =, !=, >=, <=, >, <, in (..) or exists")?;
    Ok(Condition::Equals(label_value(value)?))
}

fn in_values(list: &str) -> Result<Condition, &'static str> {
    let inner = list
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
        .ok_or("`in (` needs a closing `)`")?;
    let values = inner
        .split(',')
        .map(label_value)
        .collect::<Result<BTreeSet<_>, _>>()?;
    if values.len() > IN_VALUES_MAX {
        Err("`in (..)` takes at most 32 values")
    } else {
        Ok(Condition::In(values))
    }
}

fn label_value(text: &str) -> Result<String, &'static str> {
    let value = text.trim();
    if is_label_value(value) {
        Ok(value.to_owned())
    } else {
        Err("a value is 1 to 63 letters, digits or `._:/+-`, without quotes or spaces")
    }
}

/// Says whether `text` may be a label's key.
pub fn is_label_key(text: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b))
}

/// Says whether `text` may be a label's value.
pub fn is_label_value(text: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._:/+-".contains(&b))
}

impl Serialize for Constraint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Constraint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_string(Text)
    }
}

/// Reads the text while the reader of a spec still knows where it stands, so that an error points at it.
struct Text;

impl Visitor<'_> for Text {
    type Value = Constraint;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a requirement such as `os = linux`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Constraint, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn each_form_is_met_by_what_it_says() {
        let agent = labels(&[("os", "linux"), ("gpu", "2"), ("arch", "x86_64")]);
        for (text, met) in [
            ("os = linux", true),
            ("os=macos", false),
            ("os != macos", true),
            ("disk != ssd", true),
            ("gpu >= 2", true),
            ("gpu>2", false),
            ("gpu <= 2", true),
            ("gpu < 2", false),
            ("os >= 1", false),
            ("arch in (aarch64, x86_64)", true),
            ("arch in (aarch64)", false),
            ("gpu exists", true),
            ("fpga exists", false),
        ] {
            assert_eq!(text.parse::<Constraint>().unwrap().met_by(&agent), met, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_quoted_with_the_reason() {
        for (text, why) in [
            ("", "it must begin with a label"),
            ("= linux", "it must begin with a label"),
            ("os", "an operator is missing"),
            ("os is linux", "an operator is missing"),
            ("gpu >= many", "a comparison needs a whole number"),
            ("arch in (x86_64", "needs a closing"),
            ("arch in ()", "a value is 1 to 63"),
            ("os = two words", "a value is 1 to 63"),
        ] {
            let refused = text.parse::<Constraint>().unwrap_err();
            assert!(refused.why.contains(why), "{text}: {}", refused.why);
            assert_eq!(refused.text, text);
        }
    }

    proptest! {
        #[test]
        fn a_constraint_reads_back_what_it_prints(key in "[a-z][a-z0-9.]{0,9}", value in "[a-zA-Z0-9._:/+-]{1,9}", n: i64, form in 0..8) {
            let text = match form {
                0 => format!("{key} = {value}"),
                1 => format!("{key} != {value}"),
                2 => format!("{key} >= {n}"),
                3 => format!("{key} <= {n}"),
                4 => format!("{key} > {n}"),
                5 => format!("{key} < {n}"),
                6 => format!("{key} in ({value}, b, a)"),
                _ => format!("{key} exists"),
            };
            let constraint: Constraint = text.parse().unwrap();
            prop_assert_eq!(constraint.to_string().parse(), Ok(constraint));
        }

        #[test]
        fn no_text_panics_the_reader(text in "\\PC{0,40}") {
            drop(text.parse::<Constraint>());
        }
    }
}
