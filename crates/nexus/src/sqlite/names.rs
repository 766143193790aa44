//! What the writer knows by heart: the numbers behind names, and size, head and length of the sets and logs it has met.
//!
//! Only the writer changes the database, so what it remembers is true until a SQLite transaction is rolled back: then it
//! forgets everything. Changes are collected here and written once per group, just before the commit.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Result};

use super::logs::KnownLog;
use super::sets::KnownSet;
use crate::Space;

/// Sets and logs remembered, together; beyond it the writer starts afresh between two groups.
const REMEMBERED_MAX: usize = 100_000;

/// All that is remembered.
#[derive(Debug, Default)]
pub(super) struct Names {
    spaces: HashMap<Space, SpaceNames>,
    next_set: Option<i64>,
    next_log: Option<i64>,
}

/// What is remembered of one space.
#[derive(Debug)]
pub(super) struct SpaceNames {
    pub(super) id: i64,
    pub(super) sets: HashMap<String, KnownSet>,
    pub(super) logs: HashMap<String, KnownLog>,
    /// Names of the sets and logs that are ahead of their rows.
    pub(super) changed_sets: Vec<String>,
    pub(super) changed_logs: Vec<String>,
}

/// One space and the allocator of numbers, while a transaction works on it.
pub(super) struct InSpace<'a> {
    pub(super) connection: &'a Connection,
    pub(super) space: &'a mut SpaceNames,
    pub(super) next_set: &'a mut Option<i64>,
    pub(super) next_log: &'a mut Option<i64>,
}

impl Names {
    /// Opens a space, which gets a number if it has none.
    pub(super) fn space<'a>(&'a mut self, connection: &'a Connection, space: &Space) -> Result<InSpace<'a>> {
        if !self.spaces.contains_key(space) {
            let known = SpaceNames::new(space_id(connection, space)?);
            self.spaces.insert(space.clone(), known);
        }
        let known = self.spaces.get_mut(space).expect("it was inserted just now");
        Ok(InSpace {
            connection,
            space: known,
            next_set: &mut self.next_set,
            next_log: &mut self.next_log,
        })
    }

    /// Writes what has changed. To be called before every commit.
    pub(super) fn flush(&mut self, connection: &Connection) -> Result<()> {
        self.spaces
            .values_mut()
            .try_for_each(|space| space.flush(connection))
    }

    /// Forgets everything, after a rollback.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Starts afresh if too much is remembered. To be called between two groups, when all is flushed.
    pub(super) fn keep_small(&mut self) {
        let remembered: usize = self
            .spaces
            .values()
            .map(|space| space.sets.len() + space.logs.len())
            .sum();
        if remembered > REMEMBERED_MAX {
            self.forget();
        }
    }
}

fn space_id(connection: &Connection, space: &Space) -> Result<i64> {
    let mut find = connection.prepare_cached("SELECT id FROM spaces WHERE name = ?1")?;
    if let Some(id) = find.query_row([space.as_str()], |row| row.get(0)).optional()? {
        return Ok(id);
    }
    connection.execute("INSERT INTO spaces (name) VALUES (?1)", [space.as_str()])?;
    Ok(connection.last_insert_rowid())
}

/// The next free number, one above the largest in use. Rows of a number that was given up are all gone by then.
pub(super) fn allocate(next: &mut Option<i64>, connection: &Connection, largest: &str) -> Result<i64> {
    let id = match *next {
        Some(id) => id,
        None => connection.query_row(largest, [], |row| row.get::<_, i64>(0))? + 1,
    };
    *next = Some(id + 1);
    Ok(id)
}

impl InSpace<'_> {
    pub(super) fn prepare(&self, sql: &str) -> Result<CachedStatement<'_>> {
        self.connection.prepare_cached(sql)
    }
}

impl SpaceNames {
    fn new(id: i64) -> Self {
        let (changed_sets, changed_logs) = (Vec::new(), Vec::new());
        Self {
            id,
            sets: HashMap::new(),
            logs: HashMap::new(),
            changed_sets,
            changed_logs,
        }
    }

    fn flush(&mut self, connection: &Connection) -> Result<()> {
        for name in std::mem::take(&mut self.changed_sets) {
            self.flush_set(connection, &name)?;
        }
        for name in std::mem::take(&mut self.changed_logs) {
            self.flush_log(connection, &name)?;
        }
        Ok(())
    }
}
