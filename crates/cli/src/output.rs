//! What a command prints: tables for people, the API's own JSON for programs, notes on stderr.
//!
//! JSON is passed on as it came, so it has every field that a newer coordinator knows. Escapes for colour are always
//! written here and taken out on the way to anything that is no terminal.

use std::io::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use clap::{Args, ValueEnum};
use comfy_table::{Table, presets};
use domain::Timestamp;
use domain::job::StateName;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::failure::Failure;

/// The header of the column that is coloured. Columns before it hold ASCII only.
pub(crate) const STATE_COLUMN: &str = "STATE";

/// The form of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    Table,
    /// The reply of the API, unchanged
    Json,
    /// One JSON object a line
    Jsonl,
}

/// The option that chooses the form.
#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// Form of the output
    #[arg(short = 'o', long = "output", value_enum, default_value_t = Format::Table, value_name = "FORM")]
    pub(crate) format: Format,
}

/// A reply that is a list.
#[derive(Deserialize)]
struct Items<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

/// Reads a reply.
///
/// # Errors
/// It is not what the protocol says.
pub(crate) fn read<'a, T: Deserialize<'a>>(reply: &'a RawValue) -> Result<T, Failure> {
    serde_json::from_str(reply.get())
        .map_err(|error| Failure::Client(protocol::client::ClientError::BadReply(error.to_string())))
}

/// Prints one object: `table` says how for people.
///
/// # Errors
/// The reply cannot be read or the output not be written.
pub(crate) fn print_object<'a, T: Deserialize<'a>>(
    format: Format,
    reply: &'a RawValue,
    table: impl FnOnce(T) -> String,
) -> Result<(), Failure> {
    match format {
        Format::Table => print(&table(read(reply)?)),
        Format::Json | Format::Jsonl => print(&one_line(reply)),
    }
}

/// Prints a reply with `items`: `table` says how for people.
///
/// # Errors
/// The reply cannot be read or the output not be written.
pub(crate) fn print_list<'a, T: Deserialize<'a>>(
    format: Format,
    reply: &'a RawValue,
    table: impl FnOnce(T) -> String,
) -> Result<(), Failure> {
    match format {
        Format::Table => print(&table(read(reply)?)),
        Format::Json => print(&one_line(reply)),
        Format::Jsonl => print(
            &read::<Items<'_>>(reply)?
                .items
                .into_iter()
                .map(one_line)
                .collect::<String>(),
        ),
    }
}

/// JSON on one line: a line break in JSON text is white space, never content.
fn one_line(json: &RawValue) -> String {
    let mut line = json.get().replace(['\n', '\r'], " ");
    line.push('\n');
    line
}

/// Writes to stdout.
///
/// # Errors
/// The output cannot be written.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(Failure::output)
}

/// Writes a line of our own to stderr, next to a job's output.
pub(crate) fn note(text: &str) {
    whisper(&format!("hiveforge: {text}\n"));
}

/// Writes a warning to stderr.
pub(crate) fn warn(text: &str) {
    let yellow = AnsiColor::Yellow.on_default().bold();
    whisper(&format!("{yellow}warning:{yellow:#} {text}\n"));
}

/// Writes a failure to stderr; one that is none stays unsaid.
pub(crate) fn complain(failure: &Failure) {
    if !matches!(failure, Failure::ReaderGone) {
        whisper(&failure.render());
    }
}

/// Writes to stderr as it is. A stderr that cannot be written leaves nobody to tell.
pub(crate) fn whisper(text: &str) {
    match anstream::stderr().write_all(text.as_bytes()) {
        Ok(()) | Err(_) => {}
    }
}

/// Aligned columns without borders. The column [`STATE_COLUMN`] is coloured.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec());
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)).collect::<Vec<_>>());
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut lines = table.lines().map(|line| line.trim_end().to_owned());
    let head = lines.next().unwrap_or_default();
    let state_at = head.find(STATE_COLUMN);
    let mut text = format!("{head}\n");
    for line in lines {
        text.push_str(&painted(&line, state_at));
        text.push('\n');
    }
    text
}

/// `name: value` lines; those without a value are left out.
pub(crate) fn fields<const N: usize>(fields: [(&str, Option<String>); N]) -> String {
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .map(|(name, value)| format!("{:<13}{}\n", format!("{name}:"), printable(&value)))
        .collect()
}

fn painted(line: &str, state_at: Option<usize>) -> String {
    let Some((before, rest)) = state_at.and_then(|at| line.split_at_checked(at)) else {
        return line.to_owned();
    };
    let word = rest.split(' ').next().unwrap_or_default();
    let style = style_of(word);
    format!(
        "{before}{style}{word}{style:#}{}",
        rest.get(word.len()..).unwrap_or_default()
    )
}

/// The colour of a state of a job or of an agent.
fn style_of(state: &str) -> Style {
    let color = match state {
        "queued" | "draining" => AnsiColor::Yellow,
        "running" | "busy" => AnsiColor::Blue,
        "succeeded" | "idle" => AnsiColor::Green,
        "failed" | "lost" => AnsiColor::Red,
        "cancelled" => AnsiColor::Magenta,
        _ => return Style::new(),
    };
    color.on_default()
}

/// A job's state in its colour.
pub(crate) fn state(state: StateName) -> String {
    let style = style_of(state.as_str());
    format!("{style}{state}{style:#}")
}

/// Text without anything that could steer a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// How long ago, in the largest unit: `12s ago`.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    format!("{} ago", rounded(now.since(at)))
}

/// A length of time in its largest unit: `340ms`, `12s`, `5m`, `3h`, `9d`.
pub(crate) fn rounded(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0 => format!("{}ms", length.as_millis()),
        1..=99 => format!("{seconds}s"),
        100..=5_999 => format!("{}m", seconds / 60),
        6_000..=172_799 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A number of bytes for people, with at most one decimal: `17B`, `1.5MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ];
    let Some((unit, factor)) = UNITS.into_iter().find(|(_, factor)| bytes >= *factor) else {
        return format!("{bytes}B");
    };
    let tenths = u128::from(bytes) * 10 / u128::from(factor);
    match tenths % 10 {
        0 => format!("{}{unit}", tenths / 10),
        decimal => format!("{}.{decimal}{unit}", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_only_its_state_is_coloured() {
        let rows = [["a", "running", "x y"], ["bcd", "odd", "\u{1b}[31mz"]];
        let text = table(
            &["ID", "STATE", "NAME"],
            rows.map(|row| row.map(str::to_owned).to_vec()),
        );
        assert_eq!(
            text,
            "ID   STATE    NAME\na    \u{1b}[34mrunning\u{1b}[0m  x y\nbcd  odd      \u{fffd}[31mz\n"
        );
    }

    #[test]
    fn json_lines_are_the_items_as_they_came() {
        let reply: Box<RawValue> =
            serde_json::from_str("{\"items\":[{\"b\":1,\"a\":\n2},{}],\"next\":\"c\"}").unwrap();
        let lines: Vec<String> = read::<Items<'_>>(&reply)
            .unwrap()
            .items
            .into_iter()
            .map(one_line)
            .collect();
        assert_eq!(lines, ["{\"b\":1,\"a\": 2}\n", "{}\n"]);
    }

    #[test]
    fn sizes_are_rounded_down_to_one_decimal() {
        for (bytes, expected) in [
            (17, "17B"),
            (1 << 30, "1GiB"),
            (1_610_612_736, "1.5GiB"),
            (2_097_151, "1.9MiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn times_are_told_in_their_largest_unit() {
        for (seconds, expected) in [
            (0, "0ms"),
            (99, "99s"),
            (100, "1m"),
            (7_200, "2h"),
            (200_000, "2d"),
        ] {
            assert_eq!(rounded(Duration::from_secs(seconds)), expected);
        }
    }
}
