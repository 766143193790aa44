//! One space at one moment, as a reader sees it.
//!
//! These are the reads of the nexus. Each goes by an index, never by a scan; a test asks SQLite for the plan of every
//! statement. The reads that a transaction needs for its guards are the writer's own, in `apply`.

use rusqlite::{Connection, OptionalExtension as _, Params, Result, Row, params};

use super::apply::record;
use super::sets::score;
use crate::limits::READ_BYTES_MAX;
use crate::{Ascending, Counter, Descending, Entry, Key, Member, Record, SCORE_MAX, Score, Set, Space, Span};

const SPACE: &str = "SELECT id FROM spaces WHERE name = ?1";
const SET: &str = "SELECT id FROM sets WHERE space = ?1 AND name = ?2";
const SET_SIZE: &str = "SELECT size FROM sets WHERE space = ?1 AND name = ?2";
const LOG: &str = "SELECT id FROM logs WHERE space = ?1 AND name = ?2";
const LOG_LEN: &str = "SELECT len FROM logs WHERE space = ?1 AND name = ?2";
const COUNTER: &str = "SELECT value FROM counters WHERE space = ?1 AND name = ?2";
const SCORE: &str = "SELECT score FROM members WHERE set_id = ?1 AND member = ?2";
const ASCENDING: &str = "SELECT score, member FROM members
    WHERE set_id = ?1 AND (score, member) > (?2, ?3) ORDER BY score, member LIMIT ?4";
const DESCENDING: &str = "SELECT score, member FROM members
    WHERE set_id = ?1 AND (score, member) < (?2, ?3) ORDER BY score DESC, member DESC LIMIT ?4";
const ENTRIES: &str = "SELECT position, thread, bytes FROM entries
    WHERE log_id = ?1 AND position >= ?2 ORDER BY position LIMIT ?3";
const ENTRIES_OF_THREAD: &str = "SELECT position, thread, bytes FROM entries
    WHERE log_id = ?1 AND thread = ?4 AND position >= ?2 ORDER BY position LIMIT ?3";
const HEADS: &str = "SELECT name, head FROM sets
    WHERE space = ?1 AND family = ?2 AND family IS NOT NULL ORDER BY head, name LIMIT ?3";

/// No space has this number, and nothing lies in it.
const NO_SPACE: i64 = 0;

pub(super) struct Snapshot<'a> {
    pub(super) connection: &'a Connection,
    pub(super) space: i64,
}

impl<'a> Snapshot<'a> {
    /// To be used within one SQLite transaction.
    pub(super) fn new(connection: &'a Connection, space: &Space) -> Result<Self> {
        let mut find = connection.prepare_cached(SPACE)?;
        let found = find.query_row([space.as_str()], |row| row.get(0)).optional()?;
        Ok(Self {
            connection,
            space: found.unwrap_or(NO_SPACE),
        })
    }

    pub(super) fn fetch(&self, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        keys.iter()
            .map(|key| record(self.connection, self.space, key))
            .collect()
    }

    pub(super) fn range(&self, set: &str, page: &Ascending) -> Result<Vec<(Score, Member)>> {
        let Some(id) = self.find(SET, set)? else {
            return Ok(Vec::new());
        };
        // No member is empty, so the place (0, "") lies before all.
        let (after, member) = page
            .after
            .as_ref()
            .map_or((0, ""), |(score, member)| (score.get(), member));
        let mut places = self.places(ASCENDING, params![id, after.cast_signed(), member, limit(page.n)])?;
        places.truncate(places.partition_point(|(score, _)| page.up_to.is_none_or(|up_to| *score <= up_to)));
        Ok(places)
    }

    pub(super) fn range_back(&self, set: &str, page: &Descending) -> Result<Vec<(Score, Member)>> {
        let Some(id) = self.find(SET, set)? else {
            return Ok(Vec::new());
        };
        let last = (SCORE_MAX + 1, "");
        let (before, member) = page
            .before
            .as_ref()
            .map_or(last, |(score, member)| (score.get(), member));
        let mut places = self.places(
            DESCENDING,
            params![id, before.cast_signed(), member, limit(page.n)],
        )?;
        places.truncate(
            places.partition_point(|(score, _)| page.down_to.is_none_or(|down_to| *score >= down_to)),
        );
        Ok(places)
    }

    pub(super) fn scores(&self, set: &str, members: &[Member]) -> Result<Vec<Option<Score>>> {
        let Some(id) = self.find(SET, set)? else {
            return Ok(vec![None; members.len()]);
        };
        let mut find = self.connection.prepare_cached(SCORE)?;
        let mut find = |member| {
            find.query_row(params![id, member], |row| Ok(score(row.get(0)?)))
                .optional()
        };
        members.iter().map(|member: &Member| find(member)).collect()
    }

    pub(super) fn size(&self, set: &str) -> Result<u64> {
        Ok(self.find(SET_SIZE, set)?.unwrap_or(0).cast_unsigned())
    }

    pub(super) fn counters(&self, names: &[Counter]) -> Result<Vec<i64>> {
        names
            .iter()
            .map(|name| Ok(self.find(COUNTER, name)?.unwrap_or(0)))
            .collect()
    }

    pub(super) fn read_log(&self, log: &str, span: Span) -> Result<Vec<Entry>> {
        let Some(id) = self.find(LOG, log)? else {
            return Ok(Vec::new());
        };
        self.entries(ENTRIES, params![id, from(span), limit(span.n)])
    }

    pub(super) fn read_thread(&self, log: &str, thread: &str, span: Span) -> Result<Vec<Entry>> {
        let Some(id) = self.find(LOG, log)? else {
            return Ok(Vec::new());
        };
        self.entries(ENTRIES_OF_THREAD, params![id, from(span), limit(span.n), thread])
    }

    pub(super) fn log_len(&self, log: &str) -> Result<u64> {
        Ok(self.find(LOG_LEN, log)?.unwrap_or(0).cast_unsigned())
    }

    pub(super) fn heads(&self, family: &str, n: usize) -> Result<Vec<(Set, Score)>> {
        let mut find = self.connection.prepare_cached(HEADS)?;
        let head = |row: &Row<'_>| Ok((row.get(0)?, score(row.get(1)?)));
        find.query_map(params![self.space, family, limit(n)], head)?
            .collect()
    }

    /// The integer that a query by (space, name) answers.
    fn find(&self, sql: &str, name: &str) -> Result<Option<i64>> {
        self.connection
            .prepare_cached(sql)?
            .query_row(params![self.space, name], |row| row.get(0))
            .optional()
    }

    fn places(&self, sql: &str, params: impl Params) -> Result<Vec<(Score, Member)>> {
        let mut find = self.connection.prepare_cached(sql)?;
        find.query_map(params, |row| Ok((score(row.get(0)?), row.get(1)?)))?
            .collect()
    }

    /// Entries until their bytes exceed [`READ_BYTES_MAX`].
    fn entries(&self, sql: &str, params: impl Params) -> Result<Vec<Entry>> {
        let mut find = self.connection.prepare_cached(sql)?;
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
}

/// An entry from the columns (position, thread, bytes).
pub(super) fn entry(row: &Row<'_>) -> Result<Entry> {
    Ok(Entry {
        position: row.get::<_, i64>(0)?.cast_unsigned(),
        thread: row.get(1)?,
        bytes: row.get(2)?,
    })
}

fn from(span: Span) -> i64 {
    i64::try_from(span.from).unwrap_or(i64::MAX)
}

fn limit(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::sqlite::schema;
    use crate::sqlite::sets::FIRST_SCORE;
    use crate::sqlite::take::FIRST_MEMBERS;

    #[test]
    fn every_read_goes_by_an_index_and_sorts_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::prepare(&mut connection, Path::new("x.db")).unwrap();
        let names = [SPACE, SET, SET_SIZE, LOG, LOG_LEN, COUNTER, SCORE];
        let pages = [
            ASCENDING,
            DESCENDING,
            ENTRIES,
            ENTRIES_OF_THREAD,
            HEADS,
            FIRST_SCORE,
            FIRST_MEMBERS,
        ];
        for sql in names.into_iter().chain(pages) {
            let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let plan = explain
                .raw_query()
                .mapped(|row| row.get::<_, String>(3))
                .collect::<Result<Vec<_>>>()
                .unwrap();
            assert!(
                plan.len() == 1 && plan[0].starts_with("SEARCH"),
                "{sql}: {plan:?}"
            );
        }
    }
}
