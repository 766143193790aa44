//! Replies of Redis as plain values. What has another shape than agreed is [`Unexpected`]: the store is not ours.

use redis::Value;

use crate::{Record, Score, Version};

/// Bytes of the version that stands before the bytes of a record.
pub(super) const VERSION_BYTES: usize = 8;

/// A reply of another shape than the scripts give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unexpected;

/// A text, if it is one.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    }
}

/// The texts of a list; what is none is left out.
pub(super) fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().filter_map(text).collect(),
        _ => Vec::new(),
    }
}

pub(super) fn list(value: Value) -> Result<Vec<Value>, Unexpected> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(Unexpected),
    }
}

/// A number, as such or as text. Absence is `None`.
pub(super) fn number<T: std::str::FromStr + TryFrom<i64>>(value: &Value) -> Result<Option<T>, Unexpected> {
    match value {
        Value::Nil => Ok(None),
        Value::Int(n) => T::try_from(*n).map(Some).map_err(|_| Unexpected),
        Value::BulkString(bytes) => {
            let text = std::str::from_utf8(bytes).map_err(|_| Unexpected)?;
            text.parse().map(Some).map_err(|_| Unexpected)
        }
        _ => Err(Unexpected),
    }
}

/// A score. Redis writes them as doubles, but ours are integers that a double has exactly.
pub(super) fn score(value: &Value) -> Result<Option<Score>, Unexpected> {
    let Some(value) = number::<u64>(value)? else {
        return Ok(None);
    };
    Score::new(value).map(Some).map_err(|_| Unexpected)
}

/// A name that we stored.
pub(super) fn name(value: Value) -> Result<String, Unexpected> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).map_err(|_| Unexpected),
        _ => Err(Unexpected),
    }
}

/// A record: its version, then its bytes.
pub(super) fn record(value: Value) -> Result<Option<Record>, Unexpected> {
    match value {
        Value::Nil => Ok(None),
        Value::BulkString(mut stored) => {
            let bytes = stored.split_off(VERSION_BYTES.min(stored.len()));
            let version = stored.try_into().map_err(|_| Unexpected)?;
            Ok(Some(Record {
                version: Version(u64::from_be_bytes(version)),
                bytes,
            }))
        }
        _ => Err(Unexpected),
    }
}

/// Members and scores, one after the other.
pub(super) fn places(value: Value) -> Result<Vec<(Score, String)>, Unexpected> {
    let mut items = list(value)?.into_iter();
    let mut places = Vec::with_capacity(items.len() / 2);
    while let Some(member) = items.next() {
        let score = items
            .next()
            .as_ref()
            .map(score)
            .transpose()?
            .flatten()
            .ok_or(Unexpected)?;
        places.push((score, name(member)?));
    }
    Ok(places)
}
