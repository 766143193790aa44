//! A group: the requests that are committed together, and how each of them is answered afterwards.
//!
//! A group is bounded in transactions and in bytes, and is as durable as the strictest of its requests. It knows how to
//! answer but not how to write; that is the `writer`.

use tokio::sync::oneshot;

use crate::check::payload_bytes;
use crate::hints::HintBoard;
use crate::{BackendError, Demand, Durability, NexusError, Outcome, Space, Taken, Transaction};

/// A group is closed once it has this many transactions and takes.
const GROUP_TRANSACTIONS_MAX: usize = 1_024;
/// A group is closed once its records and entries have this many bytes.
const GROUP_BYTES_MAX: usize = 16 << 20;

/// Something to write, and who waits for the answer.
pub(super) struct Request {
    pub(super) space: Space,
    pub(super) work: Work,
}

pub(super) enum Work {
    Commit {
        transactions: Vec<Transaction>,
        durability: Durability,
        answer: Answer<Vec<Outcome>>,
    },
    Take {
        demands: Vec<Demand>,
        answer: Answer<Vec<Vec<Taken>>>,
    },
}

pub(super) type Answer<T> = oneshot::Sender<Result<T, NexusError>>;

/// What came of one request, kept until the group is committed.
pub(super) enum Done {
    Outcomes(Vec<Outcome>),
    Taken(Vec<Vec<Taken>>),
    NoRoom,
}

/// Requests that are committed together.
pub(super) struct Group {
    pub(super) requests: Vec<Request>,
    /// The strictest of its requests.
    pub(super) durability: Durability,
    pub(super) n_transactions: usize,
    /// Of its records and entries.
    pub(super) bytes: usize,
}

impl Group {
    pub(super) fn new(first: Request) -> Self {
        let mut group = Self {
            requests: Vec::new(),
            durability: Durability::Process,
            n_transactions: 0,
            bytes: 0,
        };
        group.push(first);
        group
    }

    pub(super) fn push(&mut self, request: Request) {
        match &request.work {
            Work::Commit {
                transactions,
                durability,
                ..
            } => {
                self.n_transactions += transactions.len().max(1);
                self.bytes += transactions.iter().map(payload_bytes).sum::<usize>();
                if *durability == Durability::Disk {
                    self.durability = Durability::Disk;
                }
            }
            Work::Take { demands, .. } => self.n_transactions += demands.len().max(1),
        }
        self.requests.push(request);
    }

    pub(super) fn is_complete(&self) -> bool {
        self.n_transactions >= GROUP_TRANSACTIONS_MAX || self.bytes >= GROUP_BYTES_MAX
    }

    /// Answers everybody; who has gone away meanwhile can ask again with the same transactions.
    pub(super) fn answer(self, done: Vec<Done>, hints: &HintBoard) {
        for (request, done) in self.requests.into_iter().zip(done) {
            match (request.work, done) {
                (
                    Work::Commit {
                        transactions, answer, ..
                    },
                    Done::Outcomes(outcomes),
                ) => {
                    for (tx, outcome) in transactions.iter().zip(&outcomes) {
                        if *outcome == Outcome::Applied {
                            hints.publish(&request.space, &tx.hints);
                        }
                    }
                    drop(answer.send(Ok(outcomes)));
                }
                (Work::Take { answer, .. }, Done::Taken(taken)) => drop(answer.send(Ok(taken))),
                (work, _) => work.fail(BackendError::NoRoom.into()),
            }
        }
    }

    pub(super) fn fail(self, error: &NexusError) {
        for request in self.requests {
            request.work.fail(error.clone());
        }
    }
}

impl Work {
    fn fail(self, error: NexusError) {
        match self {
            Self::Commit { answer, .. } => drop(answer.send(Err(error))),
            Self::Take { answer, .. } => drop(answer.send(Err(error))),
        }
    }
}
