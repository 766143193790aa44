//! The logs: entries in the database, the length known by heart.
//!
//! A log keeps its length when its entries are trimmed away, so no position is ever used twice; only dropping the log
//! forgets it. The row of a log is written once per group, however many entries were appended.

use rusqlite::{Connection, OptionalExtension as _, Result, params};

use super::names::{InSpace, SpaceNames, allocate};
use crate::Append;

/// A log that has a row, or will have one when the group ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownLog {
    pub(super) id: i64,
    pub(super) len: u64,
    is_stored: bool,
    is_changed: bool,
}

impl InSpace<'_> {
    /// The log, if it exists.
    pub(super) fn find_log(&mut self, name: &str) -> Result<Option<KnownLog>> {
        if let Some(known) = self.space.logs.get(name) {
            return Ok(Some(*known));
        }
        let mut find = self
            .connection
            .prepare_cached("SELECT id, len FROM logs WHERE space = ?1 AND name = ?2")?;
        let found = find
            .query_row(params![self.space.id, name], |row| {
                let len = row.get::<_, i64>(1)?.cast_unsigned();
                Ok(KnownLog {
                    id: row.get(0)?,
                    len,
                    is_stored: true,
                    is_changed: false,
                })
            })
            .optional()?;
        if let Some(known) = found {
            self.space.logs.insert(name.to_owned(), known);
        }
        Ok(found)
    }

    /// Adds an entry at the end.
    pub(super) fn append(&mut self, append: &Append) -> Result<()> {
        let (log_id, position) = self.next_position(&append.log)?;
        let sql = "INSERT INTO entries (log_id, position, thread, bytes) VALUES (?1, ?2, ?3, ?4)";
        self.prepare(sql)?.execute(params![
            log_id,
            position.cast_signed(),
            append.thread,
            append.bytes
        ])?;
        Ok(())
    }

    /// Removes the entries below a position of a log that exists.
    pub(super) fn trim(&mut self, name: &str, below: u64) -> Result<()> {
        let Some(known) = self.find_log(name)? else {
            return Ok(());
        };
        let below = below.min(known.len).cast_signed();
        self.prepare("DELETE FROM entries WHERE log_id = ?1 AND position < ?2")?
            .execute(params![known.id, below])?;
        Ok(())
    }

    /// Gives out the next position of a log, new if need be: (number of the log, position).
    fn next_position(&mut self, name: &str) -> Result<(i64, u64)> {
        if self.find_log(name)?.is_none() {
            let id = allocate(
                self.next_log,
                self.connection,
                "SELECT coalesce(max(id), 0) FROM logs",
            )?;
            let new = KnownLog {
                id,
                len: 0,
                is_stored: false,
                is_changed: false,
            };
            self.space.logs.insert(name.to_owned(), new);
        }
        let known = self
            .space
            .logs
            .get_mut(name)
            .expect("it was found or inserted just now");
        if !known.is_changed {
            known.is_changed = true;
            self.space.changed_logs.push(name.to_owned());
        }
        known.len += 1;
        Ok((known.id, known.len - 1))
    }

    /// Removes a log that exists, with all its entries.
    pub(super) fn drop_log(&mut self, name: &str) -> Result<()> {
        let Some(known) = self.find_log(name)? else {
            return Ok(());
        };
        self.prepare("DELETE FROM entries WHERE log_id = ?1")?
            .execute([known.id])?;
        self.prepare("DELETE FROM logs WHERE id = ?1")?
            .execute([known.id])?;
        self.space.logs.remove(name);
        Ok(())
    }
}

impl SpaceNames {
    /// Brings the row of a log up to date.
    pub(super) fn flush_log(&mut self, connection: &Connection, name: &str) -> Result<()> {
        let Some(known) = self.logs.get_mut(name).filter(|known| known.is_changed) else {
            return Ok(());
        };
        known.is_changed = false;
        let len = known.len.cast_signed();
        if known.is_stored {
            connection
                .prepare_cached("UPDATE logs SET len = ?2 WHERE id = ?1")?
                .execute(params![known.id, len])?;
            return Ok(());
        }
        let sql = "INSERT INTO logs (id, space, name, len) VALUES (?1, ?2, ?3, ?4)";
        connection
            .prepare_cached(sql)?
            .execute(params![known.id, self.id, name, len])?;
        known.is_stored = true;
        Ok(())
    }
}
