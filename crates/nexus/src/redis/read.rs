//! Reads: plain commands where Redis has one, scripts that write nothing where it takes several.

use redis::{Cmd, Value, cmd};

use super::keys::Keys;
use super::reply::{Unexpected, list, number};
use super::script::{LOG, PAGE};
use crate::limits::READ_BYTES_MAX;
use crate::{Entry, Member, Score, Span};

pub(super) fn fetch(keys: &Keys, records: &[String]) -> Cmd {
    let mut command = cmd("MGET");
    command.arg(records.iter().map(|key| keys.record(key)).collect::<Vec<_>>());
    command
}

/// A page of a set: forwards or backwards from a place to a score.
pub(super) fn page(
    keys: &Keys,
    set: &str,
    direction: &str,
    n: usize,
    (place, bound): (Option<&(Score, Member)>, Option<Score>),
) -> Cmd {
    let mut call = PAGE.call(&[keys.set(set)]);
    call.arg(direction)
        .arg(n)
        .arg(bound.map_or_else(String::new, |bound| bound.to_string()));
    if let Some((score, member)) = place {
        call.arg(score.get()).arg(member);
    }
    call
}

/// A stretch of a log; of a thread if one is named.
pub(super) fn log(keys: &Keys, log: &str, thread: &str, span: Span) -> Cmd {
    let mut call = LOG.call(&[keys.lengths(), keys.bases(), keys.threads(log)]);
    call.arg(log)
        .arg(keys.segments(log))
        // Beyond what a double has exactly there are no entries.
        .arg(span.from.min(crate::SCORE_MAX))
        .arg(span.n)
        .arg(READ_BYTES_MAX)
        .arg(thread);
    call
}

/// Positions and entries, one after the other.
pub(super) fn entries(reply: Value) -> Result<Vec<Entry>, Unexpected> {
    let mut items = list(reply)?.into_iter();
    let mut entries = Vec::with_capacity(items.len() / 2);
    while let Some(position) = items.next() {
        let position = number(&position)?.ok_or(Unexpected)?;
        entries.push(entry(position, items.next().ok_or(Unexpected)?)?);
    }
    Ok(entries)
}

/// An entry as `commit.lua` stores it: length of the thread, thread, bytes.
pub(super) fn entry(position: u64, stored: Value) -> Result<Entry, Unexpected> {
    let Value::BulkString(mut stored) = stored else {
        return Err(Unexpected);
    };
    let length = *stored.first_chunk::<2>().ok_or(Unexpected)?;
    let begin = 2 + usize::from(u16::from_be_bytes(length));
    if stored.len() < begin {
        return Err(Unexpected);
    }
    let bytes = stored.split_off(begin);
    let thread = String::from_utf8(stored.split_off(2)).map_err(|_| Unexpected)?;
    Ok(Entry {
        position,
        thread: (!thread.is_empty()).then_some(thread),
        bytes,
    })
}

/// One answer for each, absent ones included.
pub(super) fn each<T>(
    reply: Value,
    read: impl Fn(Value) -> Result<T, Unexpected>,
) -> Result<Vec<T>, Unexpected> {
    list(reply)?.into_iter().map(read).collect()
}
