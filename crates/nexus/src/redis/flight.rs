//! Transactions on their way: runs of `commit.lua`, one after the other, until each has its outcome.
//!
//! Several callers' transactions may fly together: each round sends the next run of everybody in one pipeline, and at the end
//! of the last one is a `WAIT` for all. The runs of one caller are strictly in order, for later transactions must see what
//! earlier ones wrote.

use std::sync::Arc;
use std::time::Duration;

use redis::{Pipeline, ServerError, Value};

use super::batch::{self, Batch};
use super::dial::Connection;
use super::failure::{Trouble, refused, unexpected};
use super::keys::Keys;
use super::reply::{Unexpected, list, number, record, score};
use super::script::{GROWTH, RELIEF};
use crate::check::payload_bytes;
use crate::{BackendError, Class, Current, Durability, Guard, NexusError, Outcome, Transaction, TxId};

/// How often one run is sent again after a reply that says that it was not carried out.
const RETRIES_MAX: u32 = 3;

/// The transactions of one caller.
#[derive(Debug)]
pub(super) struct Flight {
    keys: Arc<Keys>,
    transactions: Vec<Transaction>,
    outcomes: Vec<Outcome>,
    /// Logs of which trimmed entries still take room.
    unswept: Vec<String>,
    growth_waits: bool,
    retries: u32,
    failed: Option<NexusError>,
    is_misrouted: bool,
}

/// How long a round may take that need not reach a disk.
const PROCESS_MAX: Duration = Duration::from_secs(4);
/// How long one may take that must: each fsync of Redis is within it, and a busy disk may need a second for one.
const DISK_MAX: Duration = Duration::from_secs(6);

impl Durability {
    /// How long Redis may take to carry out one round of a commit.
    pub(super) const fn limit(self) -> Duration {
        match self {
            Self::Process => PROCESS_MAX,
            Self::Disk => DISK_MAX,
        }
    }
}

/// What the end of a round waits for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    pub(super) replicas: u32,
    pub(super) max: Duration,
}

/// What is sent for one flight in one round.
struct Run {
    batch: Batch,
    n: usize,
    is_growth: bool,
}

impl Flight {
    /// `growth_waits`: room is short, so growth is looked at, but not let in.
    pub(super) fn new(keys: Arc<Keys>, transactions: Vec<Transaction>, growth_waits: bool) -> Self {
        Self {
            outcomes: Vec::with_capacity(transactions.len()),
            keys,
            transactions,
            unswept: Vec::new(),
            growth_waits,
            retries: 0,
            failed: None,
            is_misrouted: false,
        }
    }

    /// Bytes of its records and entries.
    pub(super) fn bytes(&self) -> usize {
        self.transactions.iter().map(payload_bytes).sum()
    }

    /// Whether it ended in a way after which somebody else may be in charge: redirected, or without a reply.
    pub(super) const fn raises_doubt(&self) -> bool {
        self.is_misrouted || matches!(self.failed, Some(NexusError::OutcomeUnknown(_)))
    }

    /// Whether every transaction has an outcome that is known.
    pub(super) const fn is_answered(&self) -> bool {
        self.failed.is_none()
    }

    /// Nobody knows what became of it, unless it failed before.
    fn lose(&mut self, why: &Arc<BackendError>) {
        self.failed
            .get_or_insert_with(|| NexusError::OutcomeUnknown(Arc::clone(why)));
    }

    pub(super) fn into_outcomes(self) -> Result<Vec<Outcome>, NexusError> {
        match self.failed {
            None => Ok(self.outcomes),
            Some(error) => Err(error),
        }
    }

    fn next_run(&self) -> Option<Run> {
        if self.failed.is_some() {
            return None;
        }
        if let Some(log) = self.unswept.first() {
            let mut sweep = Transaction::new(TxId(0), Class::Relief);
            sweep.trims = vec![(log.clone(), 0)];
            return Some(self.run(&[sweep]));
        }
        let left = &self.transactions[self.outcomes.len()..];
        match batch::run_length(left) {
            0 => None,
            n => Some(self.run(&left[..n])),
        }
    }

    fn run(&self, transactions: &[Transaction]) -> Run {
        let batch = batch::write(&self.keys, transactions);
        let is_growth = batch.has_growth && !self.growth_waits;
        Run {
            batch,
            n: transactions.len(),
            is_growth,
        }
    }

    /// Whether nothing of it is left after this run, unless Redis says so.
    fn ends_with(&self, run: &Run) -> bool {
        self.outcomes.len() + run.n >= self.transactions.len()
    }

    fn land(&mut self, run: &Run, reply: Value, connection: &Connection) -> Landed {
        if let Value::ServerError(error) = reply {
            return self.bounce(run, error, connection);
        }
        self.retries = 0;
        if let Err(strange) = self.note(run, reply) {
            self.failed = Some(unexpected(connection.server(), strange));
        }
        Landed::Done
    }

    /// A run that was not carried out.
    fn bounce(&mut self, run: &Run, error: ServerError, connection: &Connection) -> Landed {
        let trouble = Trouble::of(&error);
        self.retries += 1;
        match trouble {
            Trouble::UnknownScript if self.retries <= RETRIES_MAX => return Landed::UnknownScript,
            // Memory is full before we saw it coming: what guards it is evaluated all the same.
            Trouble::OutOfMemory if run.is_growth => {
                self.growth_waits = true;
                return Landed::Done;
            }
            Trouble::UnknownScript
            | Trouble::OutOfMemory
            | Trouble::Misrouted
            | Trouble::Forbidden
            | Trouble::Contradiction
            | Trouble::Passing => {}
        }
        self.is_misrouted |= trouble == Trouble::Misrouted;
        self.failed = Some(
            match (refused(connection.server(), error), self.outcomes.is_empty()) {
                // Earlier runs of the same call were carried out.
                (NexusError::Unavailable(why), false) => NexusError::OutcomeUnknown(why),
                (error, _) => error,
            },
        );
        Landed::Done
    }

    fn note(&mut self, run: &Run, reply: Value) -> Result<(), Unexpected> {
        if reply == Value::Int(ALL_APPLIED) {
            match self.unswept.is_empty() {
                true => self.outcomes.extend(vec![Outcome::Applied; run.n]),
                false => drop(self.unswept.remove(0)),
            }
            return Ok(());
        }
        let [outcomes, unswept] = list(reply)?.try_into().map_err(|_| Unexpected)?;
        if !self.unswept.is_empty() {
            self.unswept.remove(0);
        } else {
            for outcome in list(outcomes)? {
                let tx = self.transactions.get(self.outcomes.len()).ok_or(Unexpected)?;
                self.outcomes.push(read_outcome(tx, outcome)?);
            }
        }
        for log in list(unswept)? {
            let index = number::<usize>(&log)?.ok_or(Unexpected)?;
            let log = index.checked_sub(1).and_then(|index| run.batch.logs.get(index));
            self.unswept.push(log.ok_or(Unexpected)?.clone());
        }
        Ok(())
    }
}

enum Landed {
    Done,
    UnknownScript,
}

/// Carries out everything, in rounds; returns how many replicas have it (0 without `wait`). After a lost connection or a
/// time-out of `limit` for one round, everything has failed with [`NexusError::OutcomeUnknown`].
pub(super) async fn carry_out(
    connection: &Connection,
    flights: &mut [Flight],
    wait: Option<Wait>,
    limit: Duration,
) -> Result<u32, Arc<BackendError>> {
    let (mut must_load, mut must_wait, mut acknowledged) = (false, wait.is_some(), 0);
    loop {
        let runs: Vec<(usize, Run)> = flights
            .iter()
            .enumerate()
            .filter_map(|(index, flight)| Some((index, flight.next_run()?)))
            .collect();
        if runs.is_empty() && !must_wait {
            return Ok(acknowledged);
        }
        // One wait concerns all that was written before it, so it is made once, where nothing is expected to follow.
        let is_last = runs.iter().all(|(index, run)| flights[*index].ends_with(run));
        must_wait = wait.is_some() && !is_last;
        let round = pipeline(&runs, flights, must_load, wait.filter(|_| is_last));
        let mut replies = match connection.send(&round, limit).await {
            Ok(replies) => replies.into_iter().skip(if must_load { 2 } else { 0 }),
            Err(why) => {
                let why = Arc::new(why);
                // Also those that were carried out: no replica has confirmed them.
                flights.iter_mut().for_each(|flight| flight.lose(&why));
                return Err(why);
            }
        };
        must_load = false;
        for (index, run) in &runs {
            let reply = replies.next().unwrap_or_default();
            if matches!(
                flights[*index].land(run, reply, connection),
                Landed::UnknownScript
            ) {
                must_load = true;
            }
        }
        acknowledged = match replies.next().map(|waited| acknowledgements(connection, waited)) {
            None => 0,
            Some(Ok(n)) => n,
            Some(Err(why)) => {
                flights.iter_mut().for_each(|flight| flight.lose(&why));
                return Err(why);
            }
        };
    }
}

/// How many replicas have what was written. A primary that becomes a replica while we wait says so with an error: then what
/// it has carried out may be thrown away, and is not known to last anywhere.
fn acknowledgements(connection: &Connection, waited: Value) -> Result<u32, Arc<BackendError>> {
    match waited {
        Value::ServerError(error) if Trouble::of(&error) != Trouble::Forbidden => {
            Err(Arc::new(BackendError::Redis {
                server: connection.server().to_string(),
                source: error.into(),
            }))
        }
        waited => Ok(number(&waited).ok().flatten().unwrap_or(0)),
    }
}

fn pipeline(runs: &[(usize, Run)], flights: &[Flight], must_load: bool, wait: Option<Wait>) -> Pipeline {
    let mut round = Pipeline::with_capacity(runs.len() + 3);
    if must_load {
        round.add_command(GROWTH.load()).add_command(RELIEF.load());
    }
    for (index, run) in runs {
        let flight = &flights[*index];
        let script = if run.is_growth { &GROWTH } else { &RELIEF };
        let mut call = script.call(&run.batch.keys);
        let waits = if flight.growth_waits { "1" } else { "0" };
        call.arg(&run.batch.program).arg(waits).arg(flight.keys.channel());
        for payload in &run.batch.payloads {
            call.arg(payload);
        }
        round.add_command(call);
    }
    if let Some(wait) = wait {
        // None at all would mean for ever.
        let ms = wait.max.as_millis().max(1);
        round
            .cmd("WAIT")
            .arg(wait.replicas)
            .arg(u64::try_from(ms).unwrap_or(u64::MAX));
    }
    round
}

const ALL_APPLIED: i64 = 0;
const APPLIED: i64 = 1;
const ALREADY: i64 = 2;
const FULL: i64 = 3;

fn read_outcome(tx: &Transaction, reply: Value) -> Result<Outcome, Unexpected> {
    let refusal = match reply {
        Value::Int(APPLIED) => return Ok(Outcome::Applied),
        Value::Int(ALREADY) => return Ok(Outcome::Already),
        Value::Int(FULL) => return Ok(Outcome::Full),
        other => list(other)?,
    };
    let mut refusal = refusal.into_iter();
    let guard: usize = refusal
        .next()
        .as_ref()
        .map(number)
        .transpose()?
        .flatten()
        .ok_or(Unexpected)?;
    // A value that is nothing ends the list early.
    let found = refusal.next().unwrap_or_default();
    let current = match tx.guards.get(guard).ok_or(Unexpected)? {
        Guard::Record(..) => Current::Record(record(found)?),
        Guard::Member(..) => Current::Member(score(&found)?),
        Guard::Room(..) => Current::Room(number(&found)?.ok_or(Unexpected)?),
        Guard::LogLen(..) => Current::LogLen(number(&found)?.ok_or(Unexpected)?),
    };
    Ok(Outcome::Refused { guard, current })
}
