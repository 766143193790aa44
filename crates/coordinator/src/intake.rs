//! Admission: turns submits into queued jobs, many requests in one commit.
//!
//! Owns the requests that wait for the next commit. While one commit is under way the mailbox fills, and what has
//! gathered goes into the next: the busier it is, the fewer syncs a job costs. Its death loses nothing that was
//! acknowledged; whoever waited repeats with the same key.

use std::sync::Arc;

use ledger::{Accepted, LedgerError, Submission, SubmitError};
use supervision::{Actor, ChildSpec, Ctx, Failure, Reply};
use tokio::time::timeout;

use crate::coordinator::{Coordinator, NEXUS_WORK_MAX};

/// Most transactions of one commit: every job is one, and so is every idempotency key.
const COMMIT_TRANSACTIONS_MAX: usize = 1_024;

pub(crate) enum Msg {
    /// Somebody wants jobs.
    Submit(Box<Submission>, Reply<Result<Accepted, SubmitError>>),
    /// Commit what has gathered.
    Commit,
}

pub(crate) struct Intake {
    coordinator: Arc<Coordinator>,
}

#[derive(Default)]
pub(crate) struct State {
    waiting: Vec<(Submission, Reply<Result<Accepted, SubmitError>>)>,
}

pub fn child_spec(coordinator: &Arc<Coordinator>) -> ChildSpec {
    let handle = coordinator.intake.clone();
    let coordinator = Arc::clone(coordinator);
    ChildSpec::worker("intake", &handle, move || Intake {
        coordinator: Arc::clone(&coordinator),
    })
}

impl Actor for Intake {
    type Msg = Msg;
    type State = State;

    async fn start(&self, _ctx: &Ctx<Msg>) -> Result<State, Failure> {
        Ok(State::default())
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, state: &mut State) -> Result<(), Failure> {
        match msg {
            Msg::Submit(request, reply) => {
                if state.waiting.is_empty() {
                    // Behind everything that is in the mailbox now, so that it gathers in one commit.
                    ctx.tell_self(Msg::Commit);
                }
                state.waiting.push((*request, reply));
            }
            Msg::Commit => {
                self.on_commit(state).await;
                if !state.waiting.is_empty() {
                    ctx.tell_self(Msg::Commit);
                }
            }
        }
        Ok(())
    }
}

impl Intake {
    async fn on_commit(&self, state: &mut State) {
        // Whoever waited in vain was told so.
        state.waiting.retain(|(_, reply)| !reply.is_closed());
        let mut left = COMMIT_TRANSACTIONS_MAX;
        let fitting = state.waiting.iter().take_while(|(request, _)| {
            let needs = request.specs.len() + usize::from(request.idempotency.is_some());
            let fits = needs <= left;
            left = left.saturating_sub(needs);
            fits
        });
        let n = fitting.count().max(1).min(state.waiting.len());
        let (requests, replies): (Vec<_>, Vec<_>) = state.waiting.drain(..n).unzip();
        let submitting = self.coordinator.ledger.submit(&requests);
        let answers = timeout(NEXUS_WORK_MAX, submitting).await.unwrap_or_else(|_| {
            // Nobody knows which of them were committed, and all hear just that.
            let no_answer = || SubmitError::from(LedgerError::no_answer(NEXUS_WORK_MAX));
            requests.iter().map(|_| Err(no_answer())).collect()
        });
        fail::fail_point!(crate::fail_points::SUBMITTED);
        for (reply, answer) in replies.into_iter().zip(answers) {
            if let Ok(accepted) = &answer {
                self.coordinator
                    .metrics
                    .submitted(accepted.ids.len(), accepted.replayed);
            }
            // Whoever has gone asks again with the same key.
            reply.send(answer);
        }
    }
}
