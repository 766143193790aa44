//! The `Range` of a request: one range of bytes, in the three ways to write it.
//!
//! What is written in another way, several ranges included, is ignored as RFC 9110 wants it: the whole is sent then.

use std::ops::Range;

use axum::http::HeaderValue;

/// A wanted part of a text whose length is not known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// `bytes=5-`: from there to the end.
    From(u64),
    /// `bytes=5-9`: both included.
    Between(u64, u64),
    /// `bytes=-5`: so many at the end.
    Last(u64),
}

impl Wanted {
    /// Reads a header; none when it asks for nothing that is known here.
    pub(super) fn read(header: &HeaderValue) -> Option<Self> {
        let (first, last) = header.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
        match (first.is_empty(), last.is_empty()) {
            (true, _) => Some(Self::Last(last.parse().ok()?)),
            (false, true) => Some(Self::From(first.parse().ok()?)),
            (false, false) => {
                let (first, last) = (first.parse().ok()?, last.parse().ok()?);
                (first <= last).then_some(Self::Between(first, last))
            }
        }
    }

    /// The part of a text of `length` bytes; none when there is no byte in it.
    pub(super) fn of(self, length: u64) -> Option<Range<u64>> {
        let part = match self {
            Self::From(first) => first..length,
            Self::Between(first, last) => first..last.saturating_add(1).min(length),
            Self::Last(n) => length.saturating_sub(n)..length,
        };
        Some(part).filter(|part| part.start < part.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(header: &'static str, length: u64) -> Option<Option<Range<u64>>> {
        Wanted::read(&HeaderValue::from_static(header)).map(|wanted| wanted.of(length))
    }

    #[test]
    fn a_range_is_cut_at_the_end_of_the_text() {
        assert_eq!(part("bytes=2-", 10), Some(Some(2..10)));
        assert_eq!(part("bytes=2-4", 10), Some(Some(2..5)));
        assert_eq!(part("bytes=2-99", 10), Some(Some(2..10)));
        assert_eq!(part("bytes=-3", 10), Some(Some(7..10)));
        assert_eq!(part("bytes=-30", 10), Some(Some(0..10)));
    }

    #[test]
    fn a_range_without_a_byte_is_told_from_one_that_is_not_understood() {
        for header in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            assert_eq!(part(header, 10), Some(None), "{header}");
        }
        for header in ["lines=1-2", "bytes=a-", "bytes=4-2", "bytes=1-2,4-5", "bytes=-"] {
            assert_eq!(part(header, 10), None, "{header}");
        }
    }
}
