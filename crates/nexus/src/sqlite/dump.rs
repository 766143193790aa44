//! The dump of a space: everything in it, read within one SQLite transaction.
//!
//! Maps make it canonical: whatever the order of the rows, equal spaces have equal dumps. It reads tables from end to end,
//! which nothing else here does.

use std::collections::BTreeMap;

use rusqlite::{Result, Row};

use super::sets::score;
use super::snapshot::{Snapshot, entry};
use crate::{Dump, LogDump, Record, Version};

/// Reads everything that the space holds.
pub(super) fn dump(snapshot: &Snapshot<'_>) -> Result<Dump> {
    let mut dump = Dump {
        records: all(
            snapshot,
            "SELECT key, version, bytes FROM records WHERE space = ?1",
            |row| {
                let version = Version(row.get::<_, i64>(1)?.cast_unsigned());
                Ok((
                    row.get(0)?,
                    Record {
                        version,
                        bytes: row.get(2)?,
                    },
                ))
            },
        )?,
        counters: all(
            snapshot,
            "SELECT name, value FROM counters WHERE space = ?1",
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?,
        ..Dump::default()
    };
    let sets: BTreeMap<String, i64> = all(snapshot, "SELECT name, id FROM sets WHERE space = ?1", |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    for (set, id) in sets {
        let mut members = snapshot
            .connection
            .prepare_cached("SELECT score, member FROM members WHERE set_id = ?1")?;
        let places = members
            .query_map([id], |row| Ok((score(row.get(0)?), row.get(1)?)))?
            .collect::<Result<_>>()?;
        dump.sets.insert(set, places);
    }
    let logs: BTreeMap<String, (i64, i64)> = all(
        snapshot,
        "SELECT name, id, len FROM logs WHERE space = ?1",
        |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))),
    )?;
    for (log, (id, len)) in logs {
        let sql = "SELECT position, thread, bytes FROM entries WHERE log_id = ?1 ORDER BY position";
        let mut entries = snapshot.connection.prepare_cached(sql)?;
        let entries = entries.query_map([id], entry)?.collect::<Result<_>>()?;
        dump.logs.insert(
            log,
            LogDump {
                len: len.cast_unsigned(),
                entries,
            },
        );
    }
    Ok(dump)
}

fn all<T>(
    snapshot: &Snapshot<'_>,
    sql: &str,
    named: impl Fn(&Row<'_>) -> Result<(String, T)>,
) -> Result<BTreeMap<String, T>> {
    snapshot
        .connection
        .prepare_cached(sql)?
        .query_map([snapshot.space], named)?
        .collect()
}
