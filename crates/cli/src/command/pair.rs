//! `K=V` on the command line.

use std::str::FromStr;

/// A key and a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    /// What stands before the first `=`.
    pub(crate) key: String,
    /// What stands after it; may be empty.
    pub(crate) value: String,
}

/// A text that is no pair.
#[derive(Debug, thiserror::Error)]
#[error("write it like KEY=VALUE")]
pub(crate) struct NotAPair;

impl FromStr for Pair {
    type Err = NotAPair;

    fn from_str(text: &str) -> Result<Self, NotAPair> {
        let (key, value) = text
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or(NotAPair)?;
        Ok(Self {
            key: key.to_owned(),
            value: value.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_splits_at_its_first_equals_sign() {
        let pair: Pair = "A=b=c".parse().unwrap();
        assert_eq!((pair.key.as_str(), pair.value.as_str()), ("A", "b=c"));
        assert!("A".parse::<Pair>().is_err() && "=b".parse::<Pair>().is_err());
    }
}
