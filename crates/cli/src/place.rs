//! A place in a text, drawn for a terminal: the line, and a caret under the column.
//!
//! Of a long line (a batch may be one line) only the part around the column is drawn.

use std::fmt;

/// Most characters of a line that are drawn.
const DRAWN_CHARS_MAX: usize = 100;

/// A place in a text. Line and column count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    file: Option<String>,
    line: usize,
    column: usize,
    text: String,
    /// How many characters of `text` stand before the caret; none when `text` is not known to begin with its line.
    before_caret: Option<usize>,
}

impl Place {
    /// A place in a file whose text is at hand.
    pub(crate) fn in_file(file: &str, text: &str, line: usize, column: usize) -> Self {
        let full = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let before = column.saturating_sub(1);
        let length = full.chars().count();
        let first = match length {
            0..=DRAWN_CHARS_MAX => 0,
            _ => before
                .saturating_sub(DRAWN_CHARS_MAX / 2)
                .min(length - DRAWN_CHARS_MAX),
        };
        Self {
            file: Some(file.to_owned()),
            line,
            column,
            text: full
                .chars()
                .skip(first)
                .take(DRAWN_CHARS_MAX)
                .map(drawn)
                .collect(),
            before_caret: Some(before.saturating_sub(first)),
        }
    }

    /// A place that somebody else names, with an excerpt of the line.
    pub(crate) fn elsewhere(line: usize, column: usize, excerpt: &str) -> Self {
        Self {
            file: None,
            line,
            column,
            text: excerpt.chars().map(drawn).collect(),
            before_caret: None,
        }
    }
}

/// Tabs stay, so that the caret stands right however wide they are drawn; what could steer a terminal does not.
fn drawn(c: char) -> char {
    match c {
        '\t' => '\t',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line, column, text, ..
        } = self;
        let margin = " ".repeat(line.to_string().len());
        let file = self
            .file
            .as_ref()
            .map(|file| format!("{file}, "))
            .unwrap_or_default();
        writeln!(f, " {margin}--> {file}line {line}, column {column}")?;
        writeln!(f, " {line} | {text}")?;
        let Some(before) = self.before_caret else {
            return Ok(());
        };
        let blank = text.chars().map(|c| if c == '\t' { '\t' } else { ' ' });
        let blank: String = blank.chain(std::iter::repeat(' ')).take(before).collect();
        writeln!(f, " {margin} | {blank}^")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_column() {
        let place = Place::in_file("job.toml", "a\n\tcolour = 1\u{1b}[2J\n", 2, 2);
        assert_eq!(
            place.to_string(),
            "  --> job.toml, line 2, column 2\n 2 | \tcolour = 1\u{fffd}[2J\n   | \t^\n"
        );
        let place = Place::in_file("job.toml", "short", 1, 9);
        assert!(place.to_string().ends_with("   |         ^\n"), "{place}");
    }

    #[test]
    fn of_a_long_line_the_part_around_the_column_is_drawn() {
        let line = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let drawing = Place::in_file("jobs", &line, 1, 501).to_string();
        let lines: Vec<&str> = drawing.lines().collect();
        assert_eq!(lines[1].chars().count(), 5 + DRAWN_CHARS_MAX);
        assert_eq!(lines[1].find('X'), lines[2].find('^'));
    }
}
