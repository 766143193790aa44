//! The reads, as functions over a connection. Each runs within one SQLite transaction, so it sees one moment.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _, Params, Result, Row, params};

use super::apply::record;
use super::sets::score;
use crate::limits::READ_BYTES_MAX;
use crate::{
    Ascending, Counter, Descending, Dump, Entry, Key, LogDump, Member, Record, SCORE_MAX, Score, Set, Space,
    Span, Version,
};

const SET_ID: &str = "SELECT sets.id FROM sets JOIN spaces ON spaces.id = sets.space WHERE spaces.name = ?1 AND sets.name = ?2";
const LOG_ID: &str = "SELECT logs.id FROM logs JOIN spaces ON spaces.id = logs.space WHERE spaces.name = ?1 AND logs.name = ?2";

pub(super) fn fetch(connection: &Connection, space: &Space, keys: &[Key]) -> Result<Vec<Option<Record>>> {
    match space_id(connection, space)? {
        Some(id) => keys.iter().map(|key| record(connection, id, key)).collect(),
        None => Ok(vec![None; keys.len()]),
    }
}

pub(super) fn range(
    connection: &Connection,
    space: &Space,
    (set, page): (&str, &Ascending),
) -> Result<Vec<(Score, Member)>> {
    let Some(id) = find_id(connection, SET_ID, (space, set))? else {
        return Ok(Vec::new());
    };
    // No member is empty, so the place (0, "") lies before all.
    let (after, member) = page
        .after
        .as_ref()
        .map_or((Score::ZERO, ""), |(score, member)| (*score, member));
    let mut find = connection.prepare_cached(
        "SELECT score, member FROM members WHERE set_id = ?1 AND (score, member) > (?2, ?3)
         ORDER BY score, member LIMIT ?4",
    )?;
    let mut places = all(find.query_map(
        params![id, after.get().cast_signed(), member, limit(page.n)],
        place,
    )?)?;
    places.truncate(places.partition_point(|(score, _)| page.up_to.is_none_or(|up_to| *score <= up_to)));
    Ok(places)
}

pub(super) fn range_back(
    connection: &Connection,
    space: &Space,
    (set, page): (&str, &Descending),
) -> Result<Vec<(Score, Member)>> {
    let Some(id) = find_id(connection, SET_ID, (space, set))? else {
        return Ok(Vec::new());
    };
    let (before, member) = match &page.before {
        Some((score, member)) => (score.get(), member.as_str()),
        None => (SCORE_MAX + 1, ""),
    };
    let mut find = connection.prepare_cached(
        "SELECT score, member FROM members WHERE set_id = ?1 AND (score, member) < (?2, ?3)
         ORDER BY score DESC, member DESC LIMIT ?4",
    )?;
    let mut places = all(find.query_map(params![id, before.cast_signed(), member, limit(page.n)], place)?)?;
    places
        .truncate(places.partition_point(|(score, _)| page.down_to.is_none_or(|down_to| *score >= down_to)));
    Ok(places)
}

pub(super) fn scores(
    connection: &Connection,
    space: &Space,
    (set, members): (&str, &[Member]),
) -> Result<Vec<Option<Score>>> {
    let Some(id) = find_id(connection, SET_ID, (space, set))? else {
        return Ok(vec![None; members.len()]);
    };
    let mut find =
        connection.prepare_cached("SELECT score FROM members WHERE set_id = ?1 AND member = ?2")?;
    members
        .iter()
        .map(|member| {
            find.query_row(params![id, member], |row| Ok(score(row.get(0)?)))
                .optional()
        })
        .collect()
}

pub(super) fn size(connection: &Connection, space: &Space, set: &str) -> Result<u64> {
    let sql = "SELECT size FROM sets JOIN spaces ON spaces.id = sets.space WHERE spaces.name = ?1 AND sets.name = ?2";
    Ok(find_id(connection, sql, (space, set))?
        .unwrap_or(0)
        .cast_unsigned())
}

pub(super) fn counters(connection: &Connection, space: &Space, names: &[Counter]) -> Result<Vec<i64>> {
    let sql = "SELECT value FROM counters JOIN spaces ON spaces.id = counters.space WHERE spaces.name = ?1 AND counters.name = ?2";
    names
        .iter()
        .map(|name| Ok(find_id(connection, sql, (space, name))?.unwrap_or(0)))
        .collect()
}

pub(super) fn read_log(
    connection: &Connection,
    space: &Space,
    (log, span): (&str, Span),
) -> Result<Vec<Entry>> {
    let Some(id) = find_id(connection, LOG_ID, (space, log))? else {
        return Ok(Vec::new());
    };
    let sql = "SELECT position, thread, bytes FROM entries WHERE log_id = ?1 AND position >= ?2 ORDER BY position LIMIT ?3";
    page(
        connection,
        sql,
        params![id, span.from.min(SCORE_MAX).cast_signed(), limit(span.n)],
    )
}

pub(super) fn read_thread(
    connection: &Connection,
    space: &Space,
    (log, thread, span): (&str, &str, Span),
) -> Result<Vec<Entry>> {
    let Some(id) = find_id(connection, LOG_ID, (space, log))? else {
        return Ok(Vec::new());
    };
    let sql = "SELECT position, thread, bytes FROM entries WHERE log_id = ?1 AND thread = ?4 AND position >= ?2 ORDER BY position LIMIT ?3";
    page(
        connection,
        sql,
        params![id, span.from.min(SCORE_MAX).cast_signed(), limit(span.n), thread],
    )
}

pub(super) fn log_len(connection: &Connection, space: &Space, log: &str) -> Result<u64> {
    let sql = "SELECT len FROM logs JOIN spaces ON spaces.id = logs.space WHERE spaces.name = ?1 AND logs.name = ?2";
    Ok(find_id(connection, sql, (space, log))?
        .unwrap_or(0)
        .cast_unsigned())
}

pub(super) fn heads(
    connection: &Connection,
    space: &Space,
    (family, n): (&str, usize),
) -> Result<Vec<(Set, Score)>> {
    let Some(id) = space_id(connection, space)? else {
        return Ok(Vec::new());
    };
    let mut find = connection.prepare_cached(
        "SELECT name, head FROM sets WHERE space = ?1 AND family = ?2 AND family IS NOT NULL
         ORDER BY head, name LIMIT ?3",
    )?;
    all(find.query_map(params![id, family, limit(n)], |row| {
        Ok((row.get(0)?, score(row.get(1)?)))
    })?)
}

pub(super) fn dump(connection: &Connection, space: &Space) -> Result<Dump> {
    let mut dump = Dump::default();
    let Some(id) = space_id(connection, space)? else {
        return Ok(dump);
    };
    let mut find = connection.prepare("SELECT key, version, bytes FROM records WHERE space = ?1")?;
    let record = |row: &Row<'_>| {
        let version = Version(row.get::<_, i64>(1)?.cast_unsigned());
        Ok((
            row.get(0)?,
            Record {
                version,
                bytes: row.get(2)?,
            },
        ))
    };
    dump.records = find.query_map([id], record)?.collect::<Result<_>>()?;
    let mut find = connection.prepare("SELECT id, name FROM sets WHERE space = ?1")?;
    for named in find.query_map([id], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))? {
        let (id, name) = named?;
        let mut members = connection.prepare_cached("SELECT score, member FROM members WHERE set_id = ?1")?;
        let places = members.query_map([id], place)?.collect::<Result<BTreeSet<_>>>()?;
        dump.sets.insert(name, places);
    }
    let mut find = connection.prepare("SELECT id, name, len FROM logs WHERE space = ?1")?;
    for named in find.query_map([id], |row| {
        Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get::<_, i64>(2)?))
    })? {
        let (id, name, len) = named?;
        let sql = "SELECT position, thread, bytes FROM entries WHERE log_id = ?1 ORDER BY position";
        let mut entries = connection.prepare_cached(sql)?;
        let entries = all(entries.query_map([id], entry)?)?;
        dump.logs.insert(
            name,
            LogDump {
                len: len.cast_unsigned(),
                entries,
            },
        );
    }
    let mut find = connection.prepare("SELECT name, value FROM counters WHERE space = ?1")?;
    dump.counters = find
        .query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_>>()?;
    Ok(dump)
}

fn space_id(connection: &Connection, space: &Space) -> Result<Option<i64>> {
    let mut find = connection.prepare_cached("SELECT id FROM spaces WHERE name = ?1")?;
    find.query_row([space.as_str()], |row| row.get(0)).optional()
}

/// The integer that a query by (space, name) answers.
fn find_id(connection: &Connection, sql: &str, (space, name): (&Space, &str)) -> Result<Option<i64>> {
    connection
        .prepare_cached(sql)?
        .query_row([space.as_str(), name], |row| row.get(0))
        .optional()
}

/// Entries until their bytes exceed [`READ_BYTES_MAX`].
fn page(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<Entry>> {
    let mut find = connection.prepare_cached(sql)?;
    let mut rows = find.query(params)?;
    let (mut bytes, mut entries) = (0, Vec::new());
    while bytes <= READ_BYTES_MAX
        && let Some(row) = rows.next()?
    {
        let entry = entry(row)?;
        bytes += entry.bytes.len();
        entries.push(entry);
    }
    Ok(entries)
}

fn entry(row: &Row<'_>) -> Result<Entry> {
    Ok(Entry {
        position: row.get::<_, i64>(0)?.cast_unsigned(),
        thread: row.get(1)?,
        bytes: row.get(2)?,
    })
}

fn place(row: &Row<'_>) -> Result<(Score, Member)> {
    Ok((score(row.get(0)?), row.get(1)?))
}

fn all<T>(rows: impl Iterator<Item = Result<T>>) -> Result<Vec<T>> {
    rows.collect()
}

fn limit(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
