//! Transactions in one line: `tx(1).put("k", "v").place("lane/a", "m", 3)`.
//!
//! Only tests write transactions by hand, so the short form lives here and not in the crate.

use hiveforge_nexus::{Append, Class, Discard, Guard, Move, Score, Transaction, TxId, Version};

pub(crate) fn tx(id: u64) -> Transaction {
    Transaction::new(TxId(id), Class::Growth)
}

pub(crate) trait Steps {
    fn guard(self, guard: Guard) -> Self;
    fn put(self, key: &str, bytes: &str) -> Self;
    fn drop_record(self, key: &str) -> Self;
    fn drop_log(self, log: &str) -> Self;
    fn place(self, set: &str, member: &str, score: u64) -> Self;
    fn leave(self, set: &str, member: &str) -> Self;
    fn add(self, counter: &str, amount: i64) -> Self;
    fn append(self, log: &str, bytes: &str) -> Self;
    fn append_to_thread(self, log: &str, thread: &str, bytes: &str) -> Self;
    fn trim(self, log: &str, below: u64) -> Self;
    fn hint(self, hint: &str) -> Self;
}

impl Steps for Transaction {
    fn guard(mut self, guard: Guard) -> Self {
        self.guards.push(guard);
        self
    }

    fn put(mut self, key: &str, bytes: &str) -> Self {
        self.puts.push((key.to_owned(), bytes.as_bytes().to_vec()));
        self
    }

    fn drop_record(mut self, key: &str) -> Self {
        self.drops.push(Discard::Record(key.to_owned()));
        self
    }

    fn drop_log(mut self, log: &str) -> Self {
        self.drops.push(Discard::Log(log.to_owned()));
        self
    }

    fn place(mut self, set: &str, member: &str, score: u64) -> Self {
        let score = Some(Score::new(score).unwrap());
        self.moves.push(Move {
            set: set.to_owned(),
            member: member.to_owned(),
            score,
        });
        self
    }

    fn leave(mut self, set: &str, member: &str) -> Self {
        self.moves.push(Move {
            set: set.to_owned(),
            member: member.to_owned(),
            score: None,
        });
        self
    }

    fn add(mut self, counter: &str, amount: i64) -> Self {
        self.adds.push((counter.to_owned(), amount));
        self
    }

    fn append(mut self, log: &str, bytes: &str) -> Self {
        self.appends.push(Append {
            log: log.to_owned(),
            thread: None,
            bytes: bytes.as_bytes().to_vec(),
        });
        self
    }

    fn append_to_thread(mut self, log: &str, thread: &str, bytes: &str) -> Self {
        let (thread, bytes) = (Some(thread.to_owned()), bytes.as_bytes().to_vec());
        self.appends.push(Append {
            log: log.to_owned(),
            thread,
            bytes,
        });
        self
    }

    fn trim(mut self, log: &str, below: u64) -> Self {
        self.trims.push((log.to_owned(), below));
        self
    }

    fn hint(mut self, hint: &str) -> Self {
        self.hints.push(hint.to_owned());
        self
    }
}

pub(crate) fn record(key: &str, version: Option<u64>) -> Guard {
    Guard::Record(key.to_owned(), version.map(Version))
}

pub(crate) fn member(set: &str, member: &str, score: Option<u64>) -> Guard {
    Guard::Member(
        set.to_owned(),
        member.to_owned(),
        score.map(|score| Score::new(score).unwrap()),
    )
}

pub(crate) fn room(set: &str, max_after: u64) -> Guard {
    Guard::Room(set.to_owned(), max_after)
}

pub(crate) fn log_len(log: &str, len: u64) -> Guard {
    Guard::LogLen(log.to_owned(), len)
}
