//! What is wrong with a spec, and where: field, line, column and the text of the line.

use std::fmt;

/// A spec that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecError {
    /// What is wrong, with the offending value and the way out.
    pub message: String,
    /// The field at fault, if it is one field's.
    pub field: Option<String>,
    /// Where in the text, if there is a text.
    pub at: Option<Location>,
}

/// A place in a text. Line and column count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
    /// The text of that line, or of a long line the part around the column.
    pub text: String,
}

/// What readers say that is not a user's word, at the end of a message, and what to say instead.
const PLAIN_WORDS: [(&str, &str); 4] = [
    (
        "expected a sequence",
        "expected a list such as [\"make\", \"test\"]",
    ),
    ("expected a map", "expected a table of keys and values"),
    ("expected i8", "expected a whole number from -100 to 100"),
    ("expected u32", "expected a whole number"),
];
/// Longest text of a location, in characters, without the signs that something was left out.
const EXCERPT_CHARS_MAX: usize = 120;

impl SpecError {
    /// An error about one field of a spec that has no text.
    pub(super) fn of_field(field: &str, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            field: Some(field.to_owned()),
            at: None,
        }
    }

    /// What a reader says of the byte at this offset of a text.
    pub(super) fn at_offset(text: &str, offset: usize, message: &str) -> Self {
        Self {
            message: in_plain_words(message),
            field: None,
            at: Some(Location::of_offset(text, offset)),
        }
    }

    /// Adds where the field stands in the text that the spec was read from, so that a rule's error has a place too.
    pub(super) fn located(self, text: &str, find: fn(&str, &str) -> Option<usize>) -> Self {
        let offset = self.field.as_deref().and_then(|field| find(text, field));
        let at = offset.map(|offset| Location::of_offset(text, offset));
        Self { at, ..self }
    }
}

impl Location {
    fn of_offset(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = text.get(line_start..).and_then(|rest| rest.lines().next());
        let column = before.get(line_start..).unwrap_or_default().chars().count();
        Self {
            line: before.matches('\n').count() + 1,
            column: column + 1,
            text: excerpt(line.unwrap_or_default(), column),
        }
    }
}

fn in_plain_words(message: &str) -> String {
    PLAIN_WORDS
        .iter()
        .find_map(|(theirs, plain)| Some(format!("{}{plain}", message.strip_suffix(theirs)?)))
        .unwrap_or_else(|| message.to_owned())
}

/// The part of a line around a column: a spec in one long line would fill the screen otherwise.
fn excerpt(line: &str, column: usize) -> String {
    let length = line.chars().count();
    if length <= EXCERPT_CHARS_MAX {
        return line.trim().to_owned();
    }
    let first = column
        .saturating_sub(EXCERPT_CHARS_MAX / 2)
        .min(length - EXCERPT_CHARS_MAX);
    let part: String = line.chars().skip(first).take(EXCERPT_CHARS_MAX).collect();
    let sign = |left_out: bool| if left_out { "…" } else { "" };
    format!(
        "{}{part}{}",
        sign(first > 0),
        sign(first + EXCERPT_CHARS_MAX < length)
    )
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.message)?;
        match &self.at {
            Some(at) => write!(f, " (line {}, column {}: `{}`)", at.line, at.column, at.text),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SpecError {}
