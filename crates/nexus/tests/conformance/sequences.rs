//! Random commands against a backend and against the reference: same replies, and the same dump after every step.
//!
//! The alphabet is small on purpose, so that transactions meet. A guard is drawn as an intention (what is there, nothing,
//! something else) and made concrete against the reference just before it is sent, so that about half of them hold.

use hiveforge_nexus::{
    Append, Ascending, Class, Demand, Descending, Discard, Durability, Guard, Hold, Move, Score, Span, Store,
    Transaction, TxId, Version,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};

use crate::bench::{Bench, score};

const KEYS: [&str; 4] = ["job/a", "job/b", "spec/a", "k"];
const SETS: [&str; 5] = ["lane/a", "lane/b", "held", "timers", "lane/c/d"];
const MEMBERS: [&str; 5] = ["a", "b", "c", "d", "e"];
const LOGS: [&str; 3] = ["journal", "log/1", "log/2"];
const THREADS: [&str; 2] = ["a", "b"];
const COUNTERS: [&str; 2] = ["c", "d"];
const SCORE_END: u64 = 6;
const STEPS: usize = 30;
const CASES: u32 = 48;

#[derive(Debug, Clone)]
enum Command {
    Commit(Vec<Draft>, Durability),
    /// Sends an earlier transaction again, as after a lost answer.
    Repeat(Index),
    Take(Vec<Demand>),
    Look(Look),
    Reopen,
}

/// A transaction whose id and guards are filled in when it is sent.
#[derive(Debug, Clone)]
struct Draft {
    guards: Vec<Wish>,
    changes: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Wish {
    Record(&'static str, Expect),
    Member(&'static str, &'static str, Expect),
    Room(&'static str, u64),
    LogLen(&'static str, Expect),
}

#[derive(Debug, Clone, Copy)]
enum Expect {
    Truth,
    Absence,
    Other,
}

#[derive(Debug, Clone)]
enum Change {
    Put(&'static str, Vec<u8>),
    Drop(Discard),
    Move(&'static str, &'static str, Option<Score>),
    Add(&'static str, i64),
    Append(&'static str, Option<&'static str>, Vec<u8>),
    Trim(&'static str, u64),
}

#[derive(Debug, Clone)]
struct Look {
    set: &'static str,
    log: &'static str,
    thread: &'static str,
    place: Option<(Score, String)>,
    bound: Option<Score>,
    span: Span,
}

/// Runs the backend that `new` makes. Proptest prints the smallest sequence that differs, and its seed.
pub(crate) fn go_as_in_the_reference(new: fn() -> Option<Bench>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(CASES)
    };
    let outcome = TestRunner::new(config).run(&vec(command(), 1..STEPS), |commands| {
        runtime.block_on(async {
            if let Some(bench) = new() {
                compare(bench, commands).await;
            }
        });
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

async fn compare(mut bench: Bench, commands: Vec<Command>) {
    let mut reference = Store::default();
    let mut sent: Vec<Transaction> = Vec::new();
    for command in commands {
        match command {
            Command::Commit(drafts, durability) => {
                // Guards are made concrete for the state before the batch, so later transactions often meet a stale one.
                let first = sent.len() as u64 + 1;
                let batch: Vec<_> = (first..)
                    .zip(drafts)
                    .map(|(id, draft)| concrete(id, draft, &reference))
                    .collect();
                sent.extend(batch.iter().cloned());
                let expected: Vec<_> = batch.iter().map(|tx| reference.commit(tx)).collect();
                assert_eq!(
                    bench.nexus.commit(&bench.space, batch, durability).await.unwrap(),
                    expected
                );
            }
            Command::Repeat(_) if sent.is_empty() => {}
            Command::Repeat(index) => {
                let again = index.get(&sent).clone();
                let expected = reference.commit(&again);
                assert_eq!(bench.commit(again).await, expected);
            }
            Command::Take(demands) => {
                let expected = reference.take(&demands);
                assert_eq!(bench.take(demands).await, expected);
            }
            Command::Look(look) => compare_reads(&bench, &reference, look).await,
            Command::Reopen => bench.reopen().await,
        }
        assert_eq!(bench.nexus.dump(&bench.space).await.unwrap(), reference.dump());
    }
    bench.close().await;
}

async fn compare_reads(bench: &Bench, reference: &Store, look: Look) {
    let (nexus, space) = (&bench.nexus, &bench.space);
    let Look {
        set,
        log,
        thread,
        place,
        bound,
        span,
    } = look;
    let up = Ascending {
        after: place.clone(),
        up_to: bound,
        n: span.n,
    };
    assert_eq!(
        nexus.range(space, set, up.clone()).await.unwrap(),
        reference.range(set, &up)
    );
    let down = Descending {
        before: place,
        down_to: bound,
        n: span.n,
    };
    assert_eq!(
        nexus.range_back(space, set, down.clone()).await.unwrap(),
        reference.range_back(set, &down)
    );
    assert_eq!(nexus.size(space, set).await.unwrap(), reference.size(set));
    let members = MEMBERS.map(str::to_owned);
    let scores = members.each_ref().map(|member| reference.score(set, member));
    assert_eq!(nexus.scores(space, set, &members).await.unwrap(), scores);
    assert_eq!(
        nexus.heads(space, "lane", span.n).await.unwrap(),
        reference.heads("lane", span.n)
    );
    assert_eq!(
        nexus.read_log(space, log, span).await.unwrap(),
        reference.read_log(log, span)
    );
    let of_thread = nexus.read_thread(space, log, thread, span).await.unwrap();
    assert_eq!(of_thread, reference.read_thread(log, thread, span));
    assert_eq!(nexus.log_len(space, log).await.unwrap(), reference.log_len(log));
    let keys = KEYS.map(str::to_owned);
    assert_eq!(nexus.fetch(space, &keys).await.unwrap(), reference.fetch(&keys));
    let counters = COUNTERS.map(str::to_owned);
    let values = counters.each_ref().map(|counter| reference.counter(counter));
    assert_eq!(nexus.counters(space, &counters).await.unwrap(), values);
}

fn concrete(id: u64, draft: Draft, reference: &Store) -> Transaction {
    let mut tx = Transaction::new(TxId(id), Class::Growth);
    tx.guards = draft
        .guards
        .into_iter()
        .map(|wish| guard(wish, reference))
        .collect();
    for change in draft.changes {
        add(&mut tx, change);
    }
    tx
}

fn guard(wish: Wish, reference: &Store) -> Guard {
    match wish {
        Wish::Record(key, expect) => {
            let version = reference
                .fetch(&[key.to_owned()])
                .remove(0)
                .map(|record| record.version);
            Guard::Record(key.to_owned(), expect.choose(version, Version(u64::MAX)))
        }
        Wish::Member(set, member, expect) => {
            let found = reference.score(set, member);
            Guard::Member(
                set.to_owned(),
                member.to_owned(),
                expect.choose(found, Score::MAX),
            )
        }
        Wish::Room(set, max_after) => Guard::Room(set.to_owned(), max_after),
        Wish::LogLen(log, expect) => {
            let len = expect.choose(Some(reference.log_len(log)), u64::MAX >> 11);
            Guard::LogLen(log.to_owned(), len.unwrap_or(0))
        }
    }
}

impl Expect {
    fn choose<T>(self, truth: Option<T>, other: T) -> Option<T> {
        match self {
            Self::Truth => truth,
            Self::Absence => None,
            Self::Other => Some(other),
        }
    }
}

/// Adds a change unless the transaction changes the same thing already, which would be refused.
fn add(tx: &mut Transaction, change: Change) {
    let is_dropped = |tx: &Transaction, discard: &Discard| tx.drops.contains(discard);
    match change {
        Change::Put(key, bytes) => {
            let is_put = tx.puts.iter().any(|(put, _)| put == key);
            if !is_put && !is_dropped(tx, &Discard::Record(key.to_owned())) {
                tx.puts.push((key.to_owned(), bytes));
            }
        }
        Change::Drop(discard) => {
            let is_written = match &discard {
                Discard::Record(key) => tx.puts.iter().any(|(put, _)| put == key),
                Discard::Log(log) => {
                    tx.appends.iter().any(|append| append.log == *log)
                        || tx.trims.iter().any(|trim| trim.0 == *log)
                }
            };
            if !is_written && !is_dropped(tx, &discard) {
                tx.drops.push(discard);
            }
        }
        Change::Move(set, member, score) => {
            if !tx
                .moves
                .iter()
                .any(|step| step.set == set && step.member == member)
            {
                tx.moves.push(Move {
                    set: set.to_owned(),
                    member: member.to_owned(),
                    score,
                });
            }
        }
        Change::Add(counter, amount) => tx.adds.push((counter.to_owned(), amount)),
        Change::Append(log, thread, bytes) => {
            if !is_dropped(tx, &Discard::Log(log.to_owned())) {
                tx.appends.push(Append {
                    log: log.to_owned(),
                    thread: thread.map(str::to_owned),
                    bytes,
                });
            }
        }
        Change::Trim(log, below) => {
            if !is_dropped(tx, &Discard::Log(log.to_owned())) {
                tx.trims.push((log.to_owned(), below));
            }
        }
    }
}

fn command() -> impl Strategy<Value = Command> {
    let durability = prop_oneof![9 => Just(Durability::Process), 1 => Just(Durability::Disk)];
    prop_oneof![
        8 => (vec(draft(), 1..4), durability).prop_map(|(drafts, durability)| Command::Commit(drafts, durability)),
        1 => any::<Index>().prop_map(Command::Repeat),
        3 => vec(demand(), 1..3).prop_map(Command::Take),
        3 => look().prop_map(Command::Look),
        1 => Just(Command::Reopen),
    ]
}

fn draft() -> impl Strategy<Value = Draft> {
    (vec(wish(), 0..3), vec(change(), 0..7)).prop_map(|(guards, changes)| Draft { guards, changes })
}

fn wish() -> impl Strategy<Value = Wish> {
    let expect = prop_oneof![6 => Just(Expect::Truth), 1 => Just(Expect::Absence), 1 => Just(Expect::Other)];
    prop_oneof![
        (select(&KEYS[..]), expect.clone()).prop_map(|(key, expect)| Wish::Record(key, expect)),
        (select(&SETS[..]), select(&MEMBERS[..]), expect.clone())
            .prop_map(|(set, member, expect)| Wish::Member(set, member, expect)),
        (select(&SETS[..]), 0..6_u64).prop_map(|(set, max_after)| Wish::Room(set, max_after)),
        (select(&LOGS[..]), expect).prop_map(|(log, expect)| Wish::LogLen(log, expect)),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let discard = prop_oneof![
        3 => select(&KEYS[..]).prop_map(|key| Discard::Record(key.to_owned())),
        1 => select(&LOGS[..]).prop_map(|log| Discard::Log(log.to_owned())),
    ];
    let thread = proptest::option::of(select(&THREADS[..]));
    prop_oneof![
        3 => (select(&KEYS[..]), vec(any::<u8>(), 0..4)).prop_map(|(key, bytes)| Change::Put(key, bytes)),
        1 => discard.prop_map(Change::Drop),
        6 => (select(&SETS[..]), select(&MEMBERS[..]), proptest::option::weighted(0.7, any_score()))
            .prop_map(|(set, member, score)| Change::Move(set, member, score)),
        1 => (select(&COUNTERS[..]), -3..4_i64).prop_map(|(counter, amount)| Change::Add(counter, amount)),
        3 => (select(&LOGS[..]), thread, vec(any::<u8>(), 0..4))
            .prop_map(|(log, thread, bytes)| Change::Append(log, thread, bytes)),
        1 => (select(&LOGS[..]), 0..12_u64).prop_map(|(log, below)| Change::Trim(log, below)),
    ]
}

fn any_score() -> impl Strategy<Value = Score> {
    (0..SCORE_END).prop_map(score)
}

/// Holds in a set of its own, so that the sets to take from can be any of the others.
fn demand() -> impl Strategy<Value = Demand> {
    let sets = proptest::sample::subsequence(SETS.to_vec(), 0..SETS.len());
    let with = proptest::sample::subsequence(vec!["job/", "spec/"], 0..=2);
    (
        sets,
        0..5_usize,
        any_score(),
        select(&["taken", "taken/late"][..]),
        with,
    )
        .prop_map(|(sets, n, up_to, hold, with)| Demand {
            sets: sets.into_iter().rev().map(str::to_owned).collect(),
            n,
            up_to,
            hold: Hold {
                set: hold.to_owned(),
                until: Score::MAX,
            },
            with: with.into_iter().map(str::to_owned).collect(),
        })
}

fn look() -> impl Strategy<Value = Look> {
    let place = proptest::option::of((any_score(), select(&MEMBERS[..]).prop_map(str::to_owned)));
    let span = (0..6_u64, 0..6_usize).prop_map(|(from, n)| Span { from, n });
    let names = (select(&SETS[..]), select(&LOGS[..]), select(&THREADS[..]));
    (names, place, proptest::option::of(any_score()), span).prop_map(
        |((set, log, thread), place, bound, span)| Look {
            set,
            log,
            thread,
            place,
            bound,
            span,
        },
    )
}
