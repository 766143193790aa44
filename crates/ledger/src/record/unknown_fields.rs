//! Fields that a newer minor version wrote and this one does not know, carried over when a record is written anew.
//!
//! A field is unknown when it is in the bytes that were read, but not in what this version would have written for what it
//! understood of them. Maps are compared key by key and lists entry by entry, at every depth; what this version writes
//! always wins. Almost every record was written by this very version, which shows at once, and costs no parsing.

use ciborium::Value;

use crate::record::RECORD_VERSION;

/// The `next` bytes with the fields of `read` that are missing in `understood`.
pub(super) fn carried_over(read: &[u8], understood: &[u8], next: Vec<u8>) -> Vec<u8> {
    if read.is_empty() || read == understood {
        return next;
    }
    let (Some(read), Some(understood), Some(mut value)) = (parsed(read), parsed(understood), parsed(&next))
    else {
        return next;
    };
    carry(read, &understood, &mut value);
    let mut bytes = vec![RECORD_VERSION];
    match ciborium::into_writer(&value, &mut bytes) {
        Ok(()) => bytes,
        Err(_) => next,
    }
}

fn parsed(record: &[u8]) -> Option<Value> {
    let (_, content) = record.split_first()?;
    ciborium::from_reader(content).ok()
}

fn carry(read: Value, understood: &Value, next: &mut Value) {
    match (read, understood, next) {
        (Value::Map(read), Value::Map(understood), Value::Map(next)) => {
            for (key, value) in read {
                let known = understood.iter().find(|(other, _)| *other == key);
                let written = next.iter_mut().find(|(other, _)| *other == key);
                match (known, written) {
                    (None, None) => next.push((key, value)),
                    (Some((_, known)), Some((_, written))) => carry(value, known, written),
                    // Known and taken away, or unknown in what was read and written on purpose now.
                    (Some(_), None) | (None, Some(_)) => {}
                }
            }
        }
        (Value::Array(read), Value::Array(understood), Value::Array(next)) => {
            for ((read, understood), next) in read.into_iter().zip(understood).zip(next) {
                carry(read, understood, next);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(json: &[(&str, Value)]) -> Vec<u8> {
        let map = json
            .iter()
            .map(|(key, value)| (Value::from(*key), value.clone()))
            .collect();
        let mut bytes = vec![RECORD_VERSION];
        ciborium::into_writer(&Value::Map(map), &mut bytes).unwrap();
        bytes
    }

    fn map(key: &str, value: u8) -> Value {
        Value::Map(vec![(key.into(), value.into())])
    }

    #[test]
    fn unknown_fields_stay_at_every_depth_and_known_ones_are_written_anew() {
        let mut nested = map("n", 1);
        nested.as_map_mut().unwrap().push(("new".into(), 7.into()));
        let read = record(&[("a", 1.into()), ("b", nested), ("new", 9.into())]);
        let understood = record(&[("a", 1.into()), ("b", map("n", 1))]);
        let next = record(&[("a", 2.into()), ("b", map("n", 2))]);
        let mut kept = map("n", 2);
        kept.as_map_mut().unwrap().push(("new".into(), 7.into()));
        let expected = record(&[("a", 2.into()), ("b", kept), ("new", 9.into())]);
        assert_eq!(carried_over(&read, &understood, next), expected);
    }

    #[test]
    fn what_was_known_and_is_taken_away_does_not_come_back() {
        let read = record(&[("state", map("running", 1)), ("new", 9.into())]);
        let understood = record(&[("state", map("running", 1))]);
        let next = record(&[("state", map("ended", 1))]);
        let expected = record(&[("state", map("ended", 1)), ("new", 9.into())]);
        assert_eq!(carried_over(&read, &understood, next), expected);
    }

    #[test]
    fn a_record_of_this_version_is_written_as_it_is() {
        let (read, next) = (record(&[("a", 1.into())]), record(&[("b", 2.into())]));
        assert_eq!(carried_over(&read, &read, next.clone()), next);
        assert_eq!(carried_over(&[], &read, next.clone()), next);
    }
}
