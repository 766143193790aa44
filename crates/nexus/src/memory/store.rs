//! The semantics of a nexus as plain synchronous methods on a value: one space, no clock, no lock, no failure.
//!
//! This is the reference that every backend is compared with, and what a model checker drives: cheap to clone, compare
//! and hash. It trusts its callers with the limits; [`MemoryNexus`](super::MemoryNexus) checks them first.

use std::collections::BTreeMap;

use super::journal::Journal;
use super::ordered_set::OrderedSet;
use crate::{
    Ascending, Counter, Current, Demand, Descending, Discard, Dump, Entry, Guard, Key, Log, Member, Outcome,
    Record, SCORE_MAX, Score, Set, Span, Taken, Transaction, Version,
};

/// The state of one space.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Store {
    records: BTreeMap<Key, Record>,
    sets: BTreeMap<Set, OrderedSet>,
    logs: BTreeMap<Log, Journal>,
    counters: BTreeMap<Counter, i64>,
}

impl Store {
    /// Applies a transaction, or says why not. Never [`Outcome::Full`].
    pub fn commit(&mut self, tx: &Transaction) -> Outcome {
        if let Some(objection) = self.objection(tx) {
            return objection;
        }
        self.write(tx);
        Outcome::Applied
    }

    /// Why a transaction would not be applied: [`Outcome::Already`] or [`Outcome::Refused`].
    pub fn objection(&self, tx: &Transaction) -> Option<Outcome> {
        let version = Version::from(tx.id);
        let is_known = |key: &Key| {
            self.records
                .get(key)
                .is_some_and(|record| record.version == version)
        };
        if tx.puts.iter().any(|(key, _)| is_known(key)) {
            return Some(Outcome::Already);
        }
        let unmet = |(guard, condition)| {
            let current = self.check(condition, tx).err()?;
            Some(Outcome::Refused { guard, current })
        };
        tx.guards.iter().enumerate().find_map(unmet)
    }

    fn check(&self, guard: &Guard, tx: &Transaction) -> Result<(), Current> {
        match guard {
            Guard::Record(key, expected) => {
                let record = self.records.get(key);
                hold(record.map(|record| record.version) == *expected, || {
                    Current::Record(record.cloned())
                })
            }
            Guard::Member(set, member, expected) => {
                let score = self.score(set, member);
                hold(score == *expected, || Current::Member(score))
            }
            Guard::Room(set, max_after) => {
                let after = self.size_after(set, tx);
                hold(after <= *max_after, || Current::Room(after))
            }
            Guard::LogLen(log, expected) => {
                let len = self.log_len(log);
                hold(len == *expected, || Current::LogLen(len))
            }
        }
    }

    /// The size of the set after the moves of the transaction, each of which concerns another member.
    fn size_after(&self, set: &str, tx: &Transaction) -> u64 {
        let moves = tx.moves.iter().filter(|step| step.set == set);
        moves.fold(self.size(set), |size, step| {
            match (self.score(set, &step.member).is_some(), step.score.is_some()) {
                (false, true) => size + 1,
                (true, false) => size - 1,
                (true, true) | (false, false) => size,
            }
        })
    }

    fn write(&mut self, tx: &Transaction) {
        for discard in &tx.drops {
            match discard {
                Discard::Record(key) => drop(self.records.remove(key)),
                Discard::Log(log) => drop(self.logs.remove(log)),
            }
        }
        for (key, bytes) in &tx.puts {
            let record = Record {
                version: tx.id.into(),
                bytes: bytes.clone(),
            };
            self.records.insert(key.clone(), record);
        }
        for step in &tx.moves {
            self.place(&step.set, &step.member, step.score);
        }
        for (counter, amount) in &tx.adds {
            self.add(counter, *amount);
        }
        for append in &tx.appends {
            self.logs
                .entry(append.log.clone())
                .or_default()
                .append(append.thread.as_ref(), &append.bytes);
        }
        for (log, below) in &tx.trims {
            if let Some(journal) = self.logs.get_mut(log) {
                journal.trim(*below);
            }
        }
    }

    fn place(&mut self, set: &str, member: &str, score: Option<Score>) {
        let ordered = self.sets.entry(set.to_owned()).or_default();
        ordered.place(member, score);
        if ordered.size() == 0 {
            self.sets.remove(set);
        }
    }

    fn add(&mut self, counter: &str, amount: i64) {
        let value = saturating_sum(self.counter(counter), amount);
        match value {
            0 => self.counters.remove(counter),
            _ => self.counters.insert(counter.to_owned(), value),
        };
    }

    /// Serves demands in order; later ones see what earlier ones have taken.
    pub fn take(&mut self, demands: &[Demand]) -> Vec<Vec<Taken>> {
        demands.iter().map(|demand| self.serve(demand)).collect()
    }

    fn serve(&mut self, demand: &Demand) -> Vec<Taken> {
        let mut served = Vec::new();
        while served.len() < demand.n {
            let heads = demand
                .sets
                .iter()
                .filter_map(|set| self.sets.get(set)?.head().map(|head| (head, set)));
            let Some(((score, member), set)) = heads.min() else {
                break;
            };
            if *score > demand.up_to {
                break;
            }
            let (score, member, set) = (*score, member.clone(), set.clone());
            self.place(&set, &member, None);
            self.place(&demand.hold.set, &member, Some(demand.hold.until));
            let keys: Vec<Key> = demand
                .with
                .iter()
                .map(|prefix| format!("{prefix}{member}"))
                .collect();
            served.push(Taken {
                set,
                member,
                score,
                records: self.fetch(&keys),
            });
        }
        served
    }

    /// The records with these keys.
    pub fn fetch(&self, keys: &[Key]) -> Vec<Option<Record>> {
        keys.iter().map(|key| self.records.get(key).cloned()).collect()
    }

    /// A page of a set in order.
    pub fn range(&self, set: &str, page: &Ascending) -> Vec<(Score, Member)> {
        self.sets
            .get(set)
            .map(|ordered| ordered.ascending(page))
            .unwrap_or_default()
    }

    /// A page of a set in reverse order.
    pub fn range_back(&self, set: &str, page: &Descending) -> Vec<(Score, Member)> {
        self.sets
            .get(set)
            .map(|ordered| ordered.descending(page))
            .unwrap_or_default()
    }

    /// Where a member stands.
    pub fn score(&self, set: &str, member: &str) -> Option<Score> {
        self.sets.get(set)?.score(member)
    }

    /// How many members a set has.
    pub fn size(&self, set: &str) -> u64 {
        self.sets.get(set).map_or(0, OrderedSet::size)
    }

    /// The value of a counter.
    pub fn counter(&self, counter: &str) -> i64 {
        self.counters.get(counter).copied().unwrap_or(0)
    }

    /// A stretch of a log.
    pub fn read_log(&self, log: &str, span: Span) -> Vec<Entry> {
        self.logs
            .get(log)
            .map(|journal| journal.read(span))
            .unwrap_or_default()
    }

    /// A stretch of a log, the entries of one thread only.
    pub fn read_thread(&self, log: &str, thread: &str, span: Span) -> Vec<Entry> {
        self.logs
            .get(log)
            .map(|journal| journal.read_thread(thread, span))
            .unwrap_or_default()
    }

    /// How many entries were ever appended to a log.
    pub fn log_len(&self, log: &str) -> u64 {
        self.logs.get(log).map_or(0, Journal::len)
    }

    /// The sets of a family that have members, by (score of the first member, set).
    pub fn heads(&self, family: &str, n: usize) -> Vec<(Set, Score)> {
        let prefix = format!("{family}/");
        let of_family = self
            .sets
            .range(prefix.clone()..)
            .take_while(|(set, _)| set.starts_with(&prefix));
        let mut heads: Vec<_> = of_family
            .filter_map(|(set, ordered)| Some((ordered.head()?.0, set)))
            .collect();
        heads.sort_unstable();
        heads
            .into_iter()
            .take(n)
            .map(|(score, set)| (set.clone(), score))
            .collect()
    }

    /// Everything, in canonical order.
    pub fn dump(&self) -> Dump {
        Dump {
            records: self.records.clone(),
            sets: self
                .sets
                .iter()
                .map(|(set, ordered)| (set.clone(), ordered.order().clone()))
                .collect(),
            logs: self
                .logs
                .iter()
                .map(|(log, journal)| (log.clone(), journal.dump()))
                .collect(),
            counters: self.counters.clone(),
        }
    }
}

/// The sum within plus and minus [`SCORE_MAX`], where every backend counts exactly.
pub(crate) fn saturating_sum(value: i64, amount: i64) -> i64 {
    const BOUND: i64 = SCORE_MAX.cast_signed();
    value.saturating_add(amount).clamp(-BOUND, BOUND)
}

fn hold(is_met: bool, current: impl FnOnce() -> Current) -> Result<(), Current> {
    match is_met {
        true => Ok(()),
        false => Err(current()),
    }
}
