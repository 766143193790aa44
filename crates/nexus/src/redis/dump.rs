//! The dump of a space: every key under its tag, read by type. Other than everything else here it scans, and it is no
//! picture of one moment if somebody writes meanwhile: it is for tests and for checks of a store at rest.

use std::collections::BTreeMap;

use redis::{Value, cmd};

use super::call::command;
use super::directory::Directory;
use super::keys::Keys;
use super::read::entry;
use super::reply::{Unexpected, list, name, number, places, record};
use crate::{Dump, Entry, LogDump, NexusError};

/// Keys looked at by one step of the scan.
const SCAN_STEP: usize = 1_000;

/// Reads everything that the space holds.
pub(super) async fn dump(directory: &Directory, keys: &Keys) -> Result<Dump, NexusError> {
    let mut dump = Dump::default();
    let lengths = hash(directory, keys, keys.lengths()).await?;
    let bases = hash(directory, keys, keys.bases()).await?;
    for (counter, value) in hash(directory, keys, keys.counters()).await? {
        dump.counters.insert(counter, value);
    }
    for key in scan(directory, keys).await? {
        let ask = |of: &str| {
            let mut command = cmd(of);
            command.arg(&key);
            command
        };
        let Some((kind, rest)) = key[keys.tag().len()..].split_first_chunk::<2>() else {
            continue;
        };
        let named = || String::from_utf8_lossy(rest).into_owned();
        match kind {
            b"r:" => {
                let found = command(directory, keys, ask("GET")).await?.read(record)?;
                dump.records.extend(found.map(|record| (named(), record)));
            }
            b"s:" => {
                let mut all = ask("ZRANGE");
                all.arg(0).arg(-1).arg("WITHSCORES");
                let found = command(directory, keys, all).await?.read(places)?;
                dump.sets.insert(named(), found.into_iter().collect());
            }
            _ => {}
        }
    }
    for (log, length) in lengths {
        let len = length.unsigned_abs();
        let base = |name: &str| bases.get(name).map(|base| base.unsigned_abs());
        let from = base(&log).unwrap_or(0);
        let physical = base(&format!("{log}\0")).unwrap_or(from);
        let mut entries = Vec::new();
        for segment in from / SEGMENT..len.div_ceil(SEGMENT) {
            let mut all = cmd("LRANGE");
            all.arg([keys.segments(&log), segment.to_string().into_bytes()].concat())
                .arg(0)
                .arg(-1);
            let first = physical.max(segment * SEGMENT);
            entries.extend(
                command(directory, keys, all)
                    .await?
                    .read(|reply| numbered(first, reply))?,
            );
        }
        entries.retain(|entry| entry.position >= from);
        dump.logs.insert(log, LogDump { len, entries });
    }
    Ok(dump)
}

/// Entries of a log in one list, as in `commit.lua`.
const SEGMENT: u64 = 128;

fn numbered(first: u64, reply: Value) -> Result<Vec<Entry>, Unexpected> {
    (first..)
        .zip(list(reply)?)
        .map(|(position, stored)| entry(position, stored))
        .collect()
}

async fn hash(directory: &Directory, keys: &Keys, key: Vec<u8>) -> Result<BTreeMap<String, i64>, NexusError> {
    let mut all = cmd("HGETALL");
    all.arg(key);
    command(directory, keys, all).await?.read(|reply| {
        let mut items = list(reply)?.into_iter();
        let mut hash = BTreeMap::new();
        while let Some(field) = items.next() {
            let value = items
                .next()
                .as_ref()
                .map(number)
                .transpose()?
                .flatten()
                .ok_or(Unexpected)?;
            hash.insert(name(field)?, value);
        }
        Ok(hash)
    })
}

async fn scan(directory: &Directory, keys: &Keys) -> Result<Vec<Vec<u8>>, NexusError> {
    let (mut cursor, mut found) = (0_u64, Vec::new());
    loop {
        let mut step = cmd("SCAN");
        step.arg(cursor)
            .arg("MATCH")
            .arg(format!("{}*", keys.tag()))
            .arg("COUNT")
            .arg(SCAN_STEP);
        let (next, page) = command(directory, keys, step).await?.read(|reply| {
            let [next, page] = list(reply)?.try_into().map_err(|_| Unexpected)?;
            Ok((number(&next)?.ok_or(Unexpected)?, list(page)?))
        })?;
        for key in page {
            if let Value::BulkString(key) = key {
                found.push(key);
            }
        }
        cursor = next;
        if cursor == 0 {
            // A scan may come across a key twice.
            found.sort_unstable();
            found.dedup();
            return Ok(found);
        }
    }
}
