//! Answers what peers ask, through what the coordinator has to say ([`Service`]).
//!
//! It holds nothing. A question that it dies at is answered by that: the peer hears so at once and asks nothing again.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use supervision::{Actor, ChildSpec, Ctx, Failure, Handle};
use tokio::time::timeout;

use crate::answer::Answer;
use crate::desk::Pending;
use crate::mesh::PACE;

/// Questions that wait at most.
pub(crate) const MAILBOX: usize = 256;
/// Questions that are being answered at most; with more, a peer hears that this one is busy.
const ANSWERS_AT_ONCE: usize = 16;
/// How long an answer may take. Who asked has given up by then.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// An answer in the making.
pub type Answering = Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>>;

/// What a coordinator does for its peers. Nothing of it is more than advice.
pub trait Service: Send + Sync + 'static {
    /// Says what is observed here, in the words of the coordinator, at most [`crate::ANSWER_BYTES_MAX`] bytes.
    fn observe(&self, question: Vec<u8>) -> Answering;
    /// Hears that something may have changed. Must not wait.
    fn hint(&self, hint: &str);
    /// Hears that hints were lost, so that anything may have changed. Must not wait.
    fn anything_may_have_changed(&self);
    /// Carries out a drill, or says why not.
    fn drill(&self, what: Vec<u8>) -> Answering;
}

/// The kinds of questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Observe,
    Hints,
    Drill,
}

pub(crate) enum Msg {
    /// A peer asks.
    Asked {
        what: What,
        bytes: Vec<u8>,
        pending: Pending,
    },
    /// A question has its answer.
    Answered,
}

struct Clerk {
    service: Arc<dyn Service>,
}

/// Permanent: without it peers hear nothing of this coordinator.
pub(crate) fn child_spec(handle: &Handle<Msg>, service: Arc<dyn Service>) -> ChildSpec {
    ChildSpec::worker("clerk", handle, move || Clerk {
        service: Arc::clone(&service),
    })
    .backoff(PACE)
}

impl Actor for Clerk {
    type Msg = Msg;
    /// Questions that are being answered.
    type State = usize;

    async fn start(&self, _: &Ctx<Msg>) -> Result<usize, Failure> {
        Ok(0)
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, answering: &mut usize) -> Result<(), Failure> {
        match msg {
            Msg::Answered => *answering -= 1,
            Msg::Asked {
                what: What::Hints,
                bytes,
                pending,
            } => {
                self.on_hints(&bytes);
                pending.answer(Ok(Vec::new()));
            }
            // Dropped, it says that this coordinator is busy.
            Msg::Asked { .. } if *answering >= ANSWERS_AT_ONCE => {}
            Msg::Asked { what, bytes, pending } => {
                let answer = match what {
                    What::Drill => self.service.drill(bytes),
                    What::Observe | What::Hints => self.service.observe(bytes),
                };
                ctx.task(async move {
                    let answer: Answer = timeout(ANSWER_MAX, answer)
                        .await
                        .unwrap_or_else(|_late| Err("it took too long".to_owned()));
                    pending.answer(answer);
                    Msg::Answered
                })?;
                *answering += 1;
            }
        }
        Ok(())
    }
}

/// The line that stands for all hints that were lost.
pub(crate) const ANYTHING: &str = "*";

impl Clerk {
    fn on_hints(&self, lines: &[u8]) {
        for hint in String::from_utf8_lossy(lines).lines() {
            match hint {
                ANYTHING => self.service.anything_may_have_changed(),
                hint => self.service.hint(hint),
            }
        }
    }
}
