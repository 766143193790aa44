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
    /// The text of that line.
    pub text: String,
}

impl SpecError {
    /// An error about one field of a spec that has no text.
    pub(super) fn of_field(field: &str, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            field: Some(field.to_owned()),
            at: None,
        }
    }

    /// An error at a byte offset of a text.
    pub(super) fn at_offset(text: &str, offset: usize, message: impl Into<String>) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Self::at_line(text, before.matches('\n').count() + 1, column, message)
    }

    /// An error at a line and column of a text.
    pub(super) fn at_line(text: &str, line: usize, column: usize, message: impl Into<String>) -> Self {
        let content = text
            .lines()
            .nth(line.saturating_sub(1))
            .unwrap_or_default()
            .to_owned();
        Self {
            message: message.into(),
            field: None,
            at: Some(Location {
                line,
                column,
                text: content,
            }),
        }
    }

    /// Looks the field up in the text that the spec was read from, so that a rule's error has a place too.
    pub(super) fn located_in(mut self, text: &str) -> Self {
        let Some(key) = self
            .field
            .as_deref()
            .map(|field| field.split(['.', '[']).next().unwrap_or(field))
        else {
            return self;
        };
        let starts = |line: &str| {
            line.trim_start_matches(['[', '{', '"', ' ', '\t'])
                .starts_with(key)
        };
        if let Some((index, content)) = text.lines().enumerate().find(|(_, line)| starts(line)) {
            let column = content
                .find(key)
                .map_or(1, |byte| content.chars().count().min(byte) + 1);
            self.at = Some(Location {
                line: index + 1,
                column,
                text: content.to_owned(),
            });
        }
        self
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.message)?;
        match &self.at {
            Some(at) => write!(
                f,
                " (line {}, column {}: `{}`)",
                at.line,
                at.column,
                at.text.trim()
            ),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SpecError {}
