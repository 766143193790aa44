//! The desk: the one actor of a process that peers can reach, and the only way to reach theirs.
//!
//! It passes everything on to `clerk` and waits for nothing, so it answers the probe of a peer at once. The names of
//! the variants of [`Ask`] are what stands on the wire: adding one is compatible, renaming one is not.
//!
//! A [`RemoteDesk`] can only be asked, and every question has a limit. To stop or kill the library's reference to a
//! remote actor would end the whole session with that peer, so nobody gets to hold one.

use std::time::{Duration, Instant};

use ractor::rpc::CallResult;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort};
use ractor_cluster::RactorClusterMessage;
use supervision::Handle;

use crate::answer::{Answer, decode, encode};
use crate::clerk;
use crate::identity::Identity;

/// The scope of the process groups by which desks are found.
const SCOPE: &str = "hiveforge.mesh";

/// What one peer asks of another.
#[derive(RactorClusterMessage)]
pub(crate) enum Ask {
    /// Are you there?
    #[rpc]
    Beat(RpcReplyPort<()>),
    /// What do you observe? The question and the answer are the coordinator's.
    #[rpc]
    Observe(Vec<u8>, RpcReplyPort<Vec<u8>>),
    /// Something may have changed: lines of text.
    #[rpc]
    Hints(Vec<u8>, RpcReplyPort<Vec<u8>>),
    /// Do something on purpose that goes wrong.
    #[rpc]
    Drill(Vec<u8>, RpcReplyPort<Vec<u8>>),
}

/// The right to answer one question. When it is dropped unused, the peer hears that at once.
pub(crate) struct Pending(Option<RpcReplyPort<Vec<u8>>>);

impl Pending {
    pub(crate) fn answer(mut self, answer: Answer) {
        self.send(answer);
    }

    fn send(&mut self, answer: Answer) {
        if let Some(port) = self.0.take() {
            // It fails if nobody waits any more.
            port.send(encode(answer)).ok();
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.send(Err("it is too busy to answer, or failed at it".to_owned()));
    }
}

/// The actor.
pub(crate) struct Desk {
    clerk: Handle<clerk::Msg>,
}

/// What the desk is called.
fn group(of: &Identity) -> String {
    format!("desk/{of}")
}

impl Desk {
    /// Opens the desk of this process. It ends when it is stopped, whoever else ends.
    pub(crate) async fn open(
        of: &Identity,
        clerk: Handle<clerk::Msg>,
    ) -> Result<ActorRef<Ask>, ractor::SpawnErr> {
        let (desk, _task) = Actor::spawn(None, Self { clerk }, ()).await?;
        ractor::pg::join_scoped(SCOPE.to_owned(), group(of), vec![desk.get_cell()]);
        Ok(desk)
    }
}

impl Actor for Desk {
    type Msg = Ask;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Ask>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<Ask>, ask: Ask, (): &mut ()) -> Result<(), ActorProcessingErr> {
        let (what, bytes, port) = match ask {
            Ask::Beat(port) => {
                port.send(()).ok();
                return Ok(());
            }
            Ask::Observe(bytes, port) => (clerk::What::Observe, bytes, port),
            Ask::Hints(bytes, port) => (clerk::What::Hints, bytes, port),
            Ask::Drill(bytes, port) => (clerk::What::Drill, bytes, port),
        };
        let pending = Pending(Some(port));
        // Refused, it is dropped, and says so to the peer.
        self.clerk
            .try_tell(clerk::Msg::Asked { what, bytes, pending })
            .ok();
        Ok(())
    }
}

/// The desk of a peer.
#[derive(Clone)]
pub(crate) struct RemoteDesk(ActorRef<Ask>);

/// Why a peer has not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// Not in time.
    Late,
    /// The session with it is over.
    Gone,
}

impl RemoteDesk {
    /// Finds the desk of a peer, as this session with it knows it.
    pub(crate) fn find(of: &Identity, session: ActorId) -> Option<Self> {
        let desks = ractor::pg::get_scoped_members(&SCOPE.to_owned(), &group(of));
        let is_of_session = |desk: &ActorCell| {
            desk.try_get_supervisor()
                .is_some_and(|above| above.get_id() == session)
        };
        let desk = desks
            .into_iter()
            .find(|desk| !desk.get_id().is_local() && is_of_session(desk))?;
        Some(Self(desk.into()))
    }

    pub(crate) async fn beat(&self, limit: Duration) -> Result<(), NoAnswer> {
        call(&self.0, Ask::Beat, limit).await
    }

    pub(crate) async fn observe(&self, question: Vec<u8>, limit: Duration) -> Result<Answer, NoAnswer> {
        let answer = call(&self.0, |port| Ask::Observe(question, port), limit).await;
        answer.map(decode)
    }

    pub(crate) async fn hints(&self, lines: Vec<u8>, limit: Duration) -> Result<Answer, NoAnswer> {
        let answer = call(&self.0, |port| Ask::Hints(lines, port), limit).await;
        answer.map(decode)
    }

    pub(crate) async fn drill(&self, what: Vec<u8>, limit: Duration) -> Result<Answer, NoAnswer> {
        let answer = call(&self.0, |port| Ask::Drill(what, port), limit).await;
        answer.map(decode)
    }
}

async fn call<R: Send + 'static>(
    desk: &ActorRef<Ask>,
    ask: impl FnOnce(RpcReplyPort<R>) -> Ask,
    limit: Duration,
) -> Result<R, NoAnswer> {
    let begun = Instant::now();
    match desk.call(ask, Some(limit)).await {
        Ok(CallResult::Success(answer)) => Ok(answer),
        Ok(CallResult::Timeout) => Err(NoAnswer::Late),
        // The library lets go of a question whose time is over, and then that looks like the end of the session.
        Ok(CallResult::SenderError) | Err(_) if begun.elapsed() >= limit => Err(NoAnswer::Late),
        Ok(CallResult::SenderError) | Err(_) => Err(NoAnswer::Gone),
    }
}
