//! `--lease-ttl`: how long agents may be silent, an option of everything that has a coordinator in it.
//!
//! The bounds are those within which the parts of the system that count on it were made to work: agents look twice a
//! second whether a renewal is due, which is so after a third of it.

use std::ops::RangeInclusive;

use domain::Span;

/// What is taken.
const ALLOWED: RangeInclusive<Span> = Span::from_secs(2)..=Span::from_secs(600);

/// A time that no lease can live.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadLeaseTtl {
    /// It is no time.
    #[error(transparent)]
    NoSpan(#[from] domain::units::BadQuantity),
    /// It is too short or too long.
    #[error("a lease lives for {} to {}", ALLOWED.start(), ALLOWED.end())]
    OutOfRange,
}

/// Reads the option's value.
///
/// # Errors
/// It is no time, or one that no lease can live.
pub(crate) fn parse(text: &str) -> Result<Span, BadLeaseTtl> {
    let span = text.parse()?;
    if ALLOWED.contains(&span) {
        Ok(span)
    } else {
        Err(BadLeaseTtl::OutOfRange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_lives_for_two_seconds_to_ten_minutes() {
        assert_eq!(parse("30s").unwrap(), Span::from_secs(30));
        for (text, words) in [
            ("0s", "a lease lives for 2s to 10m"),
            ("11m", "a lease lives for 2s to 10m"),
            ("30", "`30` is not a duration: write it like 90s, 250ms or 1h30m"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), words);
        }
    }
}
