//! One transaction of ours within the SQLite transaction of its group: guards first, then writes.
//!
//! A refused transaction has written nothing, so it needs no savepoint. A write that fails midway can only fail for
//! reasons that end the whole group (no room, a broken disk), which the writer then rolls back.

use rusqlite::{Connection, OptionalExtension as _, Result, params};

use super::names::InSpace;
use crate::memory::store::saturating_sum;
use crate::{Current, Discard, Guard, Outcome, Record, Transaction, Version};

/// Applies a transaction, or says why not.
pub(super) fn apply(space: &mut InSpace<'_>, tx: &Transaction) -> Result<Outcome> {
    if let Some(objection) = objection(space, tx)? {
        return Ok(objection);
    }
    write(space, tx)?;
    Ok(Outcome::Applied)
}

/// Why a transaction would not be applied: [`Outcome::Already`] or [`Outcome::Refused`].
pub(super) fn objection(space: &mut InSpace<'_>, tx: &Transaction) -> Result<Option<Outcome>> {
    for (key, _) in &tx.puts {
        if version(space, key)? == Some(tx.id.into()) {
            return Ok(Some(Outcome::Already));
        }
    }
    for (index, guard) in tx.guards.iter().enumerate() {
        if let Err(current) = check(space, guard, tx)? {
            return Ok(Some(Outcome::Refused {
                guard: index,
                current,
            }));
        }
    }
    Ok(None)
}

/// The outer error is SQLite's, the inner one is what a failed guard found.
fn check(space: &mut InSpace<'_>, guard: &Guard, tx: &Transaction) -> Result<Result<(), Current>> {
    let unmet = match guard {
        Guard::Record(key, expected) => match version(space, key)? == *expected {
            true => None,
            false => Some(Current::Record(record(space.connection, space.space.id, key)?)),
        },
        Guard::Member(set, member, expected) => {
            let score = space.score(set, member)?;
            (score != *expected).then_some(Current::Member(score))
        }
        Guard::Room(set, max_after) => {
            let after = size_after(space, set, tx)?;
            (after > *max_after).then_some(Current::Room(after))
        }
        Guard::LogLen(log, expected) => {
            let len = space.find_log(log)?.map_or(0, |known| known.len);
            (len != *expected).then_some(Current::LogLen(len))
        }
    };
    Ok(unmet.map_or(Ok(()), Err))
}

/// The size of the set after the moves of the transaction, each of which concerns another member.
fn size_after(space: &mut InSpace<'_>, set: &str, tx: &Transaction) -> Result<u64> {
    let mut size = space.find_set(set)?.map_or(0, |known| known.size);
    for step in tx.moves.iter().filter(|step| step.set == set) {
        match (space.score(set, &step.member)?.is_some(), step.score.is_some()) {
            (false, true) => size += 1,
            (true, false) => size -= 1,
            (true, true) | (false, false) => {}
        }
    }
    Ok(size)
}

fn version(space: &InSpace<'_>, key: &str) -> Result<Option<Version>> {
    let mut find = space.prepare("SELECT version FROM records WHERE space = ?1 AND key = ?2")?;
    find.query_row(params![space.space.id, key], |row| {
        Ok(Version(row.get::<_, i64>(0)?.cast_unsigned()))
    })
    .optional()
}

/// A record by the number of its space.
pub(super) fn record(connection: &Connection, space: i64, key: &str) -> Result<Option<Record>> {
    let mut find =
        connection.prepare_cached("SELECT version, bytes FROM records WHERE space = ?1 AND key = ?2")?;
    find.query_row(params![space, key], |row| {
        Ok(Record {
            version: Version(row.get::<_, i64>(0)?.cast_unsigned()),
            bytes: row.get(1)?,
        })
    })
    .optional()
}

fn write(space: &mut InSpace<'_>, tx: &Transaction) -> Result<()> {
    for discard in &tx.drops {
        match discard {
            Discard::Record(key) => {
                let mut delete = space.prepare("DELETE FROM records WHERE space = ?1 AND key = ?2")?;
                delete.execute(params![space.space.id, key])?;
            }
            Discard::Log(log) => space.drop_log(log)?,
        }
    }
    let version = Version::from(tx.id).0.cast_signed();
    for (key, bytes) in &tx.puts {
        let mut put = space
            .prepare("INSERT OR REPLACE INTO records (space, key, version, bytes) VALUES (?1, ?2, ?3, ?4)")?;
        put.execute(params![space.space.id, key, version, bytes])?;
    }
    for step in &tx.moves {
        space.place(&step.set, &step.member, step.score)?;
    }
    for (counter, amount) in &tx.adds {
        add(space, counter, *amount)?;
    }
    tx.appends.iter().try_for_each(|append| space.append(append))?;
    tx.trims
        .iter()
        .try_for_each(|(log, below)| space.trim(log, *below))
}

fn add(space: &InSpace<'_>, counter: &str, amount: i64) -> Result<()> {
    let mut find = space.prepare("SELECT value FROM counters WHERE space = ?1 AND name = ?2")?;
    let value: i64 = find
        .query_row(params![space.space.id, counter], |row| row.get(0))
        .optional()?
        .unwrap_or(0);
    match saturating_sum(value, amount) {
        0 => {
            let mut delete = space.prepare("DELETE FROM counters WHERE space = ?1 AND name = ?2")?;
            delete.execute(params![space.space.id, counter])?;
        }
        sum => {
            let mut put =
                space.prepare("INSERT OR REPLACE INTO counters (space, name, value) VALUES (?1, ?2, ?3)")?;
            put.execute(params![space.space.id, counter, sum])?;
        }
    }
    Ok(())
}
