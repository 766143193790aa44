//! Group commit for replication: while one `WAIT` is open, further commits gather and share the next.
//!
//! `WAIT` blocks its connection and concerns what that connection wrote, so writes and `WAIT` go down one line, which nobody
//! else uses. The task that sends belongs to the group and ends with it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::flight::{Flight, Wait, carry_out};
use super::line::Line;
use super::steady::is_done;
use crate::{BackendError, Durability, NexusError};

/// Calls that wait for the next group; more wait for room.
const WAITING_MAX: usize = 1_024;
/// Calls of one group.
const GROUP_CALLS_MAX: usize = 256;
/// Bytes of one group after which no further call joins it.
const GROUP_BYTES_MAX: usize = 4 << 20;

pub(super) struct Group {
    sender: mpsc::Sender<Waiting>,
    /// Owns the task that sends.
    _tasks: JoinSet<()>,
}

struct Waiting {
    flight: Flight,
    replicas: u32,
    answer: oneshot::Sender<Result<(Flight, u32), NexusError>>,
}

impl Group {
    /// Begins to wait for commits. Needs a runtime.
    pub(super) fn start(line: Arc<Line>, wait_max: Duration) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let mut tasks = JoinSet::new();
        tasks.spawn(send_groups(receiver, line, wait_max));
        Self {
            sender,
            _tasks: tasks,
        }
    }

    /// Carries the transactions out; with them comes how many replicas have them.
    pub(super) async fn commit(&self, flight: Flight, replicas: u32) -> Result<(Flight, u32), NexusError> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting {
            flight,
            replicas,
            answer,
        };
        let gone = |_| Arc::new(BackendError::WriterGone);
        self.sender
            .send(waiting)
            .await
            .map_err(|_| NexusError::from(BackendError::WriterGone))?;
        answered.await.map_err(gone).map_err(NexusError::OutcomeUnknown)?
    }
}

async fn send_groups(mut receiver: mpsc::Receiver<Waiting>, line: Arc<Line>, wait_max: Duration) {
    while let Some(first) = receiver.recv().await {
        let mut bytes = first.flight.bytes();
        let mut group = vec![first];
        while group.len() < GROUP_CALLS_MAX && bytes < GROUP_BYTES_MAX {
            let Ok(next) = receiver.try_recv() else { break };
            bytes += next.flight.bytes();
            group.push(next);
        }
        // If it panics, its callers are told that nobody knows: their answers are dropped with it.
        is_done("the group of commits", send_group(group, &line, wait_max)).await;
    }
}

async fn send_group(mut group: Vec<Waiting>, line: &Line, wait_max: Duration) {
    let connection = line.connection().await;
    // Whoever has gone was told that nobody knows, or has not waited to be told. To send it after an outage, much later than
    // it was meant, helps nobody.
    group.retain(|waiting| !waiting.answer.is_closed());
    let wait = Wait {
        replicas: group.iter().map(|waiting| waiting.replicas).max().unwrap_or(0),
        max: wait_max,
    };
    let (mut flights, answers): (Vec<_>, Vec<_>) = group
        .into_iter()
        .map(|waiting| (waiting.flight, waiting.answer))
        .unzip();
    let results = match connection {
        Err(why) => answers
            .iter()
            .map(|_| Err(NexusError::Unavailable(Arc::clone(&why))))
            .collect::<Vec<_>>(),
        Ok(connection) => {
            let sent = carry_out(
                &connection,
                &mut flights,
                Some(wait),
                Durability::Disk.limit() + wait_max,
            )
            .await;
            if sent.is_err() {
                line.abandon(&connection).await;
            }
            let acknowledged = sent.unwrap_or(0);
            flights
                .into_iter()
                .map(|flight| Ok((flight, acknowledged)))
                .collect()
        }
    };
    for (answer, result) in answers.into_iter().zip(results) {
        // A caller that has gone does not want to know.
        drop(answer.send(result));
    }
}
