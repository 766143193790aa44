//! Checks of what a caller hands over, the same for every backend, before anything is touched.
//!
//! A transaction that names one thing twice is refused rather than given a meaning: the size of a set after its moves,
//! which a `Room` guard needs, stays a sum over the moves.

use std::collections::HashSet;

use crate::limits::{
    BATCH_BYTES_MAX, BATCH_TRANSACTIONS_MAX, DEMAND_PREFIXES_MAX, DEMAND_SETS_MAX, DEMANDS_MAX,
    ENTRY_BYTES_MAX, FETCH_MAX, NAME_BYTES_MAX, PAGE_MAX, RECORD_BYTES_MAX, TAKE_MEMBERS_MAX,
    TRANSACTION_STEPS_MAX,
};
use crate::{Demand, Discard, Guard, Invalid, Transaction};

/// Checks a whole batch of transactions.
pub(crate) fn batch(transactions: &[Transaction]) -> Result<(), Invalid> {
    limit(
        "transactions in a batch",
        transactions.len(),
        BATCH_TRANSACTIONS_MAX,
    )?;
    let bytes = transactions.iter().map(payload_bytes).sum();
    limit("bytes of records and entries in a batch", bytes, BATCH_BYTES_MAX)?;
    transactions.iter().try_for_each(transaction)
}

/// Checks the demands of one take.
pub(crate) fn demands(demands: &[Demand]) -> Result<(), Invalid> {
    limit("demands in a take", demands.len(), DEMANDS_MAX)?;
    let members = demands
        .iter()
        .map(|demand| demand.n)
        .fold(0, usize::saturating_add);
    limit("members in a take", members, TAKE_MEMBERS_MAX)?;
    demands.iter().try_for_each(demand)
}

/// Checks the keys of a fetch, the members asked for their scores or the names of counters.
pub(crate) fn wanted(what: &'static str, names: &[String]) -> Result<(), Invalid> {
    limit("names in a read", names.len(), FETCH_MAX)?;
    names.iter().try_for_each(|wanted| name(what, wanted))
}

/// Checks the name of what is read page by page, and the size of the page.
pub(crate) fn page(what: &'static str, of: &str, n: usize) -> Result<(), Invalid> {
    name(what, of)?;
    limit("entries in a page", n, PAGE_MAX)
}

/// Checks the name of a family, which is one segment, and the size of the page.
pub(crate) fn family(family: &str, n: usize) -> Result<(), Invalid> {
    page("family", family, n)?;
    match family.contains('/') {
        false => Ok(()),
        true => Err(Invalid::Nested {
            family: family.to_owned(),
        }),
    }
}

/// Checks one name.
pub(crate) fn name(what: &'static str, name: &str) -> Result<(), Invalid> {
    if name.is_empty() {
        return Err(Invalid::Empty { what });
    }
    if name.contains('\0') {
        return Err(Invalid::Nul { what });
    }
    limit("bytes in a name", name.len(), NAME_BYTES_MAX)
}

fn limit(what: &'static str, actual: usize, max: usize) -> Result<(), Invalid> {
    match actual <= max {
        true => Ok(()),
        false => Err(Invalid::Limit { what, actual, max }),
    }
}

/// Bytes of the records and entries of a transaction.
pub(crate) fn payload_bytes(tx: &Transaction) -> usize {
    let puts: usize = tx.puts.iter().map(|(_, bytes)| bytes.len()).sum();
    let appends: usize = tx.appends.iter().map(|append| append.bytes.len()).sum();
    puts + appends
}

fn transaction(tx: &Transaction) -> Result<(), Invalid> {
    let writes =
        tx.drops.len() + tx.puts.len() + tx.moves.len() + tx.adds.len() + tx.appends.len() + tx.trims.len();
    limit(
        "steps in a transaction",
        tx.guards.len() + writes + tx.hints.len(),
        TRANSACTION_STEPS_MAX,
    )?;
    tx.guards.iter().try_for_each(guard)?;
    for discard in &tx.drops {
        match discard {
            Discard::Record(key) => name("key", key)?,
            Discard::Log(log) => name("log", log)?,
        }
    }
    for (key, bytes) in &tx.puts {
        name("key", key)?;
        limit("bytes in a record", bytes.len(), RECORD_BYTES_MAX)?;
    }
    for step in &tx.moves {
        name("set", &step.set)?;
        name("member", &step.member)?;
    }
    for append in &tx.appends {
        name("log", &append.log)?;
        append
            .thread
            .iter()
            .try_for_each(|thread| name("thread", thread))?;
        limit("bytes in an entry", append.bytes.len(), ENTRY_BYTES_MAX)?;
    }
    tx.adds
        .iter()
        .try_for_each(|(counter, _)| name("counter", counter))?;
    tx.trims.iter().try_for_each(|(log, _)| name("log", log))?;
    tx.hints.iter().try_for_each(|hint| name("hint", hint))?;
    once_each(tx)
}

fn guard(guard: &Guard) -> Result<(), Invalid> {
    match guard {
        Guard::Record(key, _) => name("key", key),
        Guard::Member(set, member, _) => name("set", set).and_then(|()| name("member", member)),
        Guard::Room(set, _) => name("set", set),
        Guard::LogLen(log, _) => name("log", log),
    }
}

/// Sees to it that no record, place or dropped log is written twice. Appends to one log may be many.
fn once_each(tx: &Transaction) -> Result<(), Invalid> {
    let mut keys = HashSet::new();
    let mut dropped_logs = HashSet::new();
    for discard in &tx.drops {
        match discard {
            Discard::Record(key) => once("record", &mut keys, key.as_str(), key)?,
            Discard::Log(log) => once("log", &mut dropped_logs, log.as_str(), log)?,
        }
    }
    for (key, _) in &tx.puts {
        once("record", &mut keys, key.as_str(), key)?;
    }
    let mut places = HashSet::new();
    for step in &tx.moves {
        once(
            "place of member",
            &mut places,
            (step.set.as_str(), step.member.as_str()),
            &step.member,
        )?;
    }
    let written_logs = tx
        .appends
        .iter()
        .map(|append| &append.log)
        .chain(tx.trims.iter().map(|(log, _)| log));
    for log in written_logs {
        if dropped_logs.contains(log.as_str()) {
            return Err(Invalid::Twice {
                what: "log",
                name: log.clone(),
            });
        }
    }
    Ok(())
}

fn once<T: Eq + std::hash::Hash>(
    what: &'static str,
    seen: &mut HashSet<T>,
    thing: T,
    name: &str,
) -> Result<(), Invalid> {
    match seen.insert(thing) {
        true => Ok(()),
        false => Err(Invalid::Twice {
            what,
            name: name.to_owned(),
        }),
    }
}

fn demand(demand: &Demand) -> Result<(), Invalid> {
    limit("sets in a demand", demand.sets.len(), DEMAND_SETS_MAX)?;
    limit("key prefixes in a demand", demand.with.len(), DEMAND_PREFIXES_MAX)?;
    demand
        .with
        .iter()
        .try_for_each(|prefix| name("key prefix", prefix))?;
    name("set", &demand.hold.set)?;
    let mut sets = HashSet::from([demand.hold.set.as_str()]);
    for set in &demand.sets {
        name("set", set)?;
        once("set", &mut sets, set.as_str(), set)?;
    }
    Ok(())
}
