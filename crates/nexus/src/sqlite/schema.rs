//! The tables, and the checks that a file holds them in a format that this program knows.
//!
//! Names of spaces, sets and logs are written once and stand as small integers everywhere else. A set or log that holds
//! nothing has no row, so ephemeral names leave nothing behind. `size`, `head` and `len` repeat what the members and
//! entries say; the writer updates them in the same SQLite transaction.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};

use crate::OpenError;

/// "HFNX": marks a database of ours, also for `file`.
const APPLICATION_ID: i32 = 0x4846_4e58;
/// A newer major version means: do not touch it. Stored in the upper half of `user_version`.
const FORMAT_MAJOR: u32 = 1;
/// A newer minor version can be read and written as if it were ours. Stored in the lower half of `user_version`.
const FORMAT_MINOR: u32 = 0;

/// Large enough that a record of 2 KB stays on one page, small enough that a commit writes little.
const PAGE_BYTES: u32 = 8192;

const TABLES: &str = "
CREATE TABLE spaces (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE records (
    space INTEGER NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, bytes BLOB NOT NULL,
    PRIMARY KEY (space, key)) STRICT, WITHOUT ROWID;
CREATE TABLE sets (
    id INTEGER PRIMARY KEY, space INTEGER NOT NULL, name TEXT NOT NULL, family TEXT,
    size INTEGER NOT NULL, head INTEGER NOT NULL, UNIQUE (space, name)) STRICT;
CREATE INDEX heads ON sets (space, family, head, name) WHERE family IS NOT NULL;
CREATE TABLE members (
    set_id INTEGER NOT NULL, member TEXT NOT NULL, score INTEGER NOT NULL,
    PRIMARY KEY (set_id, member)) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX places ON members (set_id, score, member);
CREATE TABLE logs (
    id INTEGER PRIMARY KEY, space INTEGER NOT NULL, name TEXT NOT NULL, len INTEGER NOT NULL,
    UNIQUE (space, name)) STRICT;
CREATE TABLE entries (
    log_id INTEGER NOT NULL, position INTEGER NOT NULL, thread TEXT, bytes BLOB NOT NULL,
    PRIMARY KEY (log_id, position)) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX threads ON entries (log_id, thread, position) WHERE thread IS NOT NULL;
CREATE TABLE counters (
    space INTEGER NOT NULL, name TEXT NOT NULL, value INTEGER NOT NULL,
    PRIMARY KEY (space, name)) STRICT, WITHOUT ROWID;
";

/// Creates the tables in an empty database; refuses one that is foreign or too new.
pub(super) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let is_empty = connection
        .query_row("SELECT 1 FROM sqlite_schema LIMIT 1", [], |_| Ok(()))
        .optional()?
        .is_none();
    if is_empty {
        return create(connection);
    }
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application != APPLICATION_ID {
        return Err(OpenError::Foreign {
            path: path.to_owned(),
        });
    }
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let found = version >> 16;
    match found <= FORMAT_MAJOR {
        true => Ok(set_wal(connection)?),
        false => Err(OpenError::TooNew {
            path: path.to_owned(),
            found,
            supported: FORMAT_MAJOR,
        }),
    }
}

fn create(connection: &mut Connection) -> Result<(), OpenError> {
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    set_wal(connection)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let tx = connection.transaction()?;
    tx.execute_batch(TABLES)?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", (FORMAT_MAJOR << 16) | FORMAT_MINOR)?;
    Ok(tx.commit()?)
}

fn set_wal(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(setup: &str) -> Result<(), OpenError> {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(setup).unwrap();
        prepare(&mut connection, Path::new("x.db"))
    }

    #[test]
    fn a_database_without_our_mark_is_foreign() {
        assert!(matches!(
            check("CREATE TABLE t (a)"),
            Err(OpenError::Foreign { .. })
        ));
    }

    #[test]
    fn a_newer_major_format_is_refused_and_a_newer_minor_one_is_not() {
        let ours =
            format!("CREATE TABLE t (a); PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version =");
        let newer_major = check(&format!("{ours} {}", (FORMAT_MAJOR + 1) << 16));
        assert!(matches!(
            newer_major,
            Err(OpenError::TooNew {
                found: 2,
                supported: 1,
                ..
            })
        ));
        assert!(check(&format!("{ours} {}", (FORMAT_MAJOR << 16) | (FORMAT_MINOR + 1))).is_ok());
    }
}
