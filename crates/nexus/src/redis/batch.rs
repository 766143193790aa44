//! A run of transactions as `commit.lua` wants it: every key, member, log and payload once, and numbers instead of names.
//!
//! The script decides nothing that could be decided here: which records and scores it must read, and which sizes matter,
//! follows from the guards alone.

use super::keys::{Keys, family};
use super::msgpack::Message;
use super::numbers::Numbers;
use crate::check::payload_bytes;
use crate::{Class, Discard, Guard, SCORE_MAX, Transaction, TxId};

/// Transactions of one run of the script.
const RUN_TRANSACTIONS_MAX: usize = 256;
/// Guards and writes of one run of the script (of which one transaction may have as many).
const RUN_STEPS_MAX: usize = 4_096;
/// Bytes of records and entries of one run of the script, unless one transaction has more.
const RUN_BYTES_MAX: usize = 1 << 20;

const GUARD_RECORD: i64 = 1;
const GUARD_MEMBER: i64 = 2;
const GUARD_ROOM: i64 = 3;
const GUARD_LENGTH: i64 = 4;
const MOVE: i64 = 1;
const APPEND: i64 = 2;
const ADD: i64 = 3;
const TRIM: i64 = 4;
const DROP_RECORD: i64 = 5;
const DROP_LOG: i64 = 6;

/// What one run of the script is given.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) program: Vec<u8>,
    pub(super) payloads: Vec<Vec<u8>>,
    /// The logs in the order in which the script knows them.
    pub(super) logs: Vec<String>,
    pub(super) has_growth: bool,
}

/// How many of these transactions, at least one, make one run: so that no run is long.
pub(super) fn run_length(transactions: &[Transaction]) -> usize {
    let (mut steps, mut bytes) = (0, 0);
    let fits = |tx: &&Transaction| {
        steps += step_count(tx);
        bytes += payload_bytes(tx);
        steps <= RUN_STEPS_MAX && bytes <= RUN_BYTES_MAX
    };
    let n = transactions
        .iter()
        .take(RUN_TRANSACTIONS_MAX)
        .take_while(fits)
        .count();
    n.max(1).min(transactions.len())
}

fn step_count(tx: &Transaction) -> usize {
    let writes =
        tx.drops.len() + tx.puts.len() + tx.moves.len() + tx.adds.len() + tx.appends.len() + tx.trims.len();
    tx.guards.len() + writes
}

/// Writes down a run.
pub(super) fn write(keys: &Keys, transactions: &[Transaction]) -> Batch {
    let mut index = Index::default();
    for tx in transactions {
        index.look(tx);
    }
    for tx in transactions {
        index.change(tx);
    }
    let mut message = Message::default();
    message
        .list(10)
        .index(index.records.names.len())
        .index(index.looked);
    index.write_sets(&mut message);
    message.index(index.families.names.len());
    index.write_logs(&mut message);
    message.list(index.counters.names.len());
    for counter in &index.counters.names {
        message.text(counter);
    }
    let payloads = index.write_transactions(&mut message, transactions);
    Batch {
        keys: index.keys(keys),
        program: message.into_bytes(),
        payloads,
        logs: index.logs.names.iter().map(|&log| log.to_owned()).collect(),
        has_growth: transactions.iter().any(|tx| tx.class == Class::Growth),
    }
}

/// The members of one set that a run speaks of.
#[derive(Debug, Default)]
struct Members<'a> {
    family: usize,
    /// Whether a guard asks for its size.
    is_sized: bool,
    /// Those whose score matters to a guard.
    looked: Numbers<'a>,
    others: Numbers<'a>,
}

impl Members<'_> {
    fn number(&self, member: &str) -> usize {
        let other = || self.others.known(member).map(|n| self.looked.names.len() + n);
        self.looked
            .known(member)
            .or_else(other)
            .expect("it was numbered in the first two passes")
    }
}

#[derive(Debug, Default)]
struct Index<'a> {
    /// Those whose value matters come first.
    records: Numbers<'a>,
    looked: usize,
    sets: Numbers<'a>,
    members: Vec<Members<'a>>,
    families: Numbers<'a>,
    logs: Numbers<'a>,
    /// For each log the threads that entries are appended to.
    threads: Vec<Numbers<'a>>,
    counters: Numbers<'a>,
}

impl<'a> Index<'a> {
    /// First pass: what the guards look at.
    fn look(&mut self, tx: &'a Transaction) {
        for guard in &tx.guards {
            match guard {
                Guard::Record(key, _) => drop(self.records.number(key)),
                Guard::Member(set, member, _) => drop(self.set(set).looked.number(member)),
                Guard::Room(set, _) => self.set(set).is_sized = true,
                Guard::LogLen(log, _) => drop(self.logs.number(log)),
            }
        }
        for (key, _) in &tx.puts {
            self.records.number(key);
        }
        self.looked = self.records.names.len();
    }

    /// Second pass: what else changes.
    fn change(&mut self, tx: &'a Transaction) {
        for discard in &tx.drops {
            match discard {
                Discard::Record(key) => self.records.number(key),
                Discard::Log(log) => self.logs.number(log),
            };
        }
        for step in &tx.moves {
            let members = self.set(&step.set);
            if members.is_sized {
                members.looked.number(&step.member);
            } else if members.looked.known(&step.member).is_none() {
                members.others.number(&step.member);
            }
        }
        for (counter, _) in &tx.adds {
            self.counters.number(counter);
        }
        for (log, _) in &tx.trims {
            self.logs.number(log);
        }
        for append in &tx.appends {
            let number = self.logs.number(&append.log);
            if number > self.threads.len() {
                self.threads.resize_with(number, Numbers::default);
            }
            if let Some(thread) = &append.thread {
                self.threads[number - 1].number(thread);
            }
        }
    }

    fn set(&mut self, set: &'a str) -> &mut Members<'a> {
        let number = self.sets.number(set);
        if number > self.members.len() {
            self.members.push(Members {
                family: family(set).map_or(0, |family| self.families.number(family)),
                ..Members::default()
            });
        }
        &mut self.members[number - 1]
    }

    fn keys(&self, keys: &Keys) -> Vec<Vec<u8>> {
        let fixed = [keys.lengths(), keys.bases(), keys.counters()];
        let records = self.records.names.iter().map(|key| keys.record(key));
        let sets = self.sets.names.iter().map(|set| keys.set(set));
        let families = self.families.names.iter().map(|family| keys.heads(family));
        fixed
            .into_iter()
            .chain(records)
            .chain(sets)
            .chain(families)
            .collect()
    }

    fn write_sets(&self, message: &mut Message) {
        message.list(self.sets.names.len());
        for (name, members) in self.sets.names.iter().zip(&self.members) {
            message
                .list(5)
                .text(name)
                .index(members.family)
                .flag(members.is_sized)
                .index(members.looked.names.len());
            let all = members.looked.names.iter().chain(&members.others.names);
            message.list(members.looked.names.len() + members.others.names.len());
            for member in all {
                message.text(member);
            }
        }
    }

    fn write_logs(&self, message: &mut Message) {
        message.list(self.logs.names.len());
        for (index, log) in self.logs.names.iter().enumerate() {
            message.list(2).text(log);
            let threads = self.threads.get(index).map_or(&[][..], |threads| &threads.names);
            message.list(threads.len());
            for thread in threads {
                message.text(thread);
            }
        }
    }

    /// Four flat lists: the transactions, and the guards, puts and changes of all of them. Returns the payloads.
    fn write_transactions(&self, message: &mut Message, transactions: &[Transaction]) -> Vec<Vec<u8>> {
        message.list(6 * transactions.len());
        for tx in transactions {
            message
                .text(tx.id.0.to_be_bytes())
                .flag(tx.class == Class::Growth)
                .index(tx.guards.len())
                .index(tx.puts.len())
                .index(change_count(tx))
                .text(tx.hints.join("\0"));
        }
        let total = |count: fn(&Transaction) -> usize| transactions.iter().map(count).sum::<usize>();
        message.list(4 * total(|tx| tx.guards.len()));
        for guard in transactions.iter().flat_map(|tx| &tx.guards) {
            self.write_guard(message, guard);
        }
        let mut payloads = Vec::new();
        message.list(2 * total(|tx| tx.puts.len()));
        for (tx, (key, bytes)) in transactions
            .iter()
            .flat_map(|tx| tx.puts.iter().map(move |put| (tx, put)))
        {
            payloads.push(stored(tx.id, bytes));
            message.index(of(&self.records, key)).index(payloads.len());
        }
        message.list(4 * total(change_count));
        for tx in transactions {
            self.write_changes(message, &mut payloads, tx);
        }
        payloads
    }

    fn write_guard(&self, message: &mut Message, guard: &Guard) {
        match guard {
            Guard::Record(key, version) => {
                let version = version.map(|version| version.0.to_be_bytes());
                message
                    .number(GUARD_RECORD)
                    .index(of(&self.records, key))
                    .number(0);
                message.text(version.as_ref().map_or(&[][..], |version| version));
            }
            Guard::Member(set, member, score) => {
                let number = of(&self.sets, set);
                message
                    .number(GUARD_MEMBER)
                    .index(number)
                    .index(self.members[number - 1].number(member));
                message.number(score.map_or(-1, |score| count(score.get())));
            }
            Guard::Room(set, max) => {
                message
                    .number(GUARD_ROOM)
                    .index(of(&self.sets, set))
                    .number(0)
                    .number(count(*max));
            }
            Guard::LogLen(log, len) => {
                message
                    .number(GUARD_LENGTH)
                    .index(of(&self.logs, log))
                    .number(0)
                    .number(count(*len));
            }
        }
    }

    fn write_changes(&self, message: &mut Message, payloads: &mut Vec<Vec<u8>>, tx: &Transaction) {
        for discard in &tx.drops {
            match discard {
                Discard::Record(key) => message.number(DROP_RECORD).index(of(&self.records, key)),
                Discard::Log(log) => message.number(DROP_LOG).index(of(&self.logs, log)),
            };
            message.number(0).number(0);
        }
        for step in &tx.moves {
            let number = of(&self.sets, &step.set);
            message
                .number(MOVE)
                .index(number)
                .index(self.members[number - 1].number(&step.member));
            message.text(step.score.map_or_else(String::new, |score| score.to_string()));
        }
        for (counter, amount) in &tx.adds {
            for part in halves(*amount) {
                message
                    .number(ADD)
                    .index(of(&self.counters, counter))
                    .number(part)
                    .number(0);
            }
        }
        for append in &tx.appends {
            let log = of(&self.logs, &append.log);
            let thread = append.thread.as_deref().unwrap_or_default();
            payloads.push(entry(thread, &append.bytes));
            message
                .number(APPEND)
                .index(log)
                .index(payloads.len())
                .index(self.threads[log - 1].known(thread).unwrap_or(0));
        }
        for (log, below) in &tx.trims {
            message
                .number(TRIM)
                .index(of(&self.logs, log))
                .number(count(*below))
                .number(0);
        }
    }
}

/// Changes as the script counts them: an amount comes in two parts.
fn change_count(tx: &Transaction) -> usize {
    tx.drops.len() + tx.moves.len() + 2 * tx.adds.len() + tx.appends.len() + tx.trims.len()
}

fn of(names: &Numbers<'_>, name: &str) -> usize {
    names
        .known(name)
        .expect("it was numbered in the first two passes")
}

/// A count that Lua, which has only doubles, keeps exactly. No set or log is ever as large as the largest.
fn count(value: u64) -> i64 {
    value.min(SCORE_MAX).cast_signed()
}

/// An amount in two parts that a double has exactly. More than twice the largest sum makes no difference.
fn halves(amount: i64) -> [i64; 2] {
    const BOUND: i64 = SCORE_MAX.cast_signed();
    let first = amount.clamp(-BOUND, BOUND);
    [first, amount.saturating_sub(first).clamp(-BOUND, BOUND)]
}

fn stored(id: TxId, bytes: &[u8]) -> Vec<u8> {
    [&id.0.to_be_bytes(), bytes].concat()
}

fn entry(thread: &str, bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(thread.len()).expect("names are short: checked on the way in");
    [&length.to_be_bytes(), thread.as_bytes(), bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn large(bytes: usize) -> Transaction {
        let mut tx = Transaction::new(TxId(1), Class::Growth);
        tx.puts = vec![("k".to_owned(), vec![0; bytes])];
        tx
    }

    #[test]
    fn a_run_is_cut_by_number_steps_and_bytes_but_never_empty() {
        assert_eq!(run_length(&vec![large(1); 1_000]), RUN_TRANSACTIONS_MAX);
        assert_eq!(run_length(&vec![large(RUN_BYTES_MAX / 4); 9]), 4);
        assert_eq!(run_length(&vec![large(RUN_BYTES_MAX * 2); 9]), 1);
        assert_eq!(run_length(&[]), 0);
    }

    #[test]
    fn an_amount_is_split_without_loss() {
        for amount in [0, 5, -5, (1 << 53) + 1, -(1 << 53) - 1, (1 << 54) - 2] {
            let [first, second] = halves(amount);
            assert_eq!(first + second, amount);
        }
    }
}
