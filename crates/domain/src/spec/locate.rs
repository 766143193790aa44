//! Where something stands in the text of a spec: byte offsets, so that an error points at its cause.
//!
//! A rule that is broken names its field, as `timeout`, `limits.pids` or `inputs.data/big.bin`: a name, or a table and
//! one of its keys. The text was read before, so it is known to be well-formed. What a JSON reader cannot make sense
//! of has a place already, but that is where the reader noticed it, behind the cause.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;
use toml::de::{DeTable, DeValue};

/// Finds the key of a field in TOML, in whichever way its table is written.
pub(super) fn field_in_toml(text: &str, field: &str) -> Option<usize> {
    let (outer, inner) = keys(field);
    let table = DeTable::parse(text).ok()?;
    let (start, value) = toml_entry(table.get_ref(), outer)?;
    let within = inner.and_then(|inner| toml_entry(value.as_table()?, inner));
    Some(within.map_or(start, |(start, _)| start))
}

/// Finds the key of a field in JSON.
pub(super) fn field_in_json(text: &str, field: &str) -> Option<usize> {
    let (outer, inner) = keys(field);
    let (key, value) = json_member(text, outer)?;
    let within = inner.and_then(|inner| json_member(value, inner));
    let found = within.map_or(key, |(key, _)| key);
    // Both are parts of one allocation, and the found one lies behind the start of the text.
    Some(found.as_ptr().addr() - text.as_ptr().addr())
}

/// Finds the cause of an error in JSON.
pub(super) fn fault_in_json(text: &str, error: &serde_json::Error) -> usize {
    let line_start = text
        .split_inclusive('\n')
        .take(error.line().saturating_sub(1))
        .map(str::len)
        .sum::<usize>();
    // The reader's column counts bytes, up to and including the last one that it has seen.
    let seen = line_start + error.column();
    match error.classify() {
        // The value was read to its end, and a little more, before it was judged.
        Category::Data => last_token(text.get(..seen).unwrap_or(text)),
        Category::Syntax | Category::Eof | Category::Io => char_start(text, seen.saturating_sub(1)),
    }
}

/// A field's own key and, for a key of a table, the table's before it. Only the first dot divides: paths have dots.
fn keys(field: &str) -> (&str, Option<&str>) {
    field
        .split_once('.')
        .map_or((field, None), |(outer, inner)| (outer, Some(inner)))
}

fn toml_entry<'t>(table: &'t DeTable<'_>, key: &str) -> Option<(usize, &'t DeValue<'t>)> {
    let (key, value) = table.iter().find(|(name, _)| name.get_ref() == key)?;
    Some((key.span().start, value.get_ref()))
}

/// One member of a JSON object: its key and its value, as they are written.
fn json_member<'t>(object: &'t str, key: &str) -> Option<(&'t str, &'t str)> {
    let members: Members<'t> = serde_json::from_str(object).ok()?;
    let named = |raw: &RawValue| serde_json::from_str::<String>(raw.get()).is_ok_and(|name| name == key);
    let (key, value) = members.0.into_iter().find(|(raw, _)| named(raw))?;
    Some((key.get(), value.get()))
}

/// The start of the last string, number or word; punctuation and space behind it are passed over.
fn last_token(seen: &str) -> usize {
    let text = seen.trim_end_matches(|c: char| c.is_whitespace() || ",:]}".contains(c));
    let Some(inside) = text.strip_suffix('"') else {
        let word = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        return text.trim_end_matches(word).len();
    };
    let opens = |&(at, _): &(usize, &str)| {
        let before = inside.get(..at).unwrap_or_default();
        (before.len() - before.trim_end_matches('\\').len()).is_multiple_of(2)
    };
    inside.rmatch_indices('"').find(opens).map_or(0, |(at, _)| at)
}

/// The start of the character that this byte belongs to.
fn char_start(text: &str, mut byte: usize) -> usize {
    while !text.is_char_boundary(byte.min(text.len())) {
        byte -= 1;
    }
    byte.min(text.len())
}

/// The members of an object, unread.
struct Members<'t>(Vec<(&'t RawValue, &'t RawValue)>);

impl<'t> Deserialize<'t> for Members<'t> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'t> Visitor<'t> for Collect {
            type Value = Members<'t>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Members<'t>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
