//! The way into the mesh for the rest of a coordinator: who is there, ask them all, tell them all, ask one for a drill.
//!
//! Everything has a limit and everything may fail, and nothing that is right depends on it. While the mesh is down, or
//! has lost all its peers, a link answers the same: nobody is there.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use supervision::Handle;
use thiserror::Error;
use tokio::sync::{Semaphore, watch};

use crate::answer::{Answer, QUESTION_BYTES_MAX};
use crate::courier;
use crate::desk::{NoAnswer, RemoteDesk};
use crate::roster::{self, Peer, Reach, Sessions, Sight};

/// Rounds of questions that may be under way at once; the library's queues have no bound of their own.
const ROUNDS_MAX: usize = 8;

/// The way into the mesh. Cheap to clone.
#[derive(Clone)]
pub struct Link {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    sessions: watch::Receiver<Sessions>,
    sights: watch::Receiver<Vec<Sight>>,
    courier: Handle<courier::Msg>,
    rounds: Semaphore,
}

/// What one peer said.
#[derive(Debug, Clone)]
pub struct Heard {
    /// The peer.
    pub peer: Peer,
    /// Its answer.
    pub answer: Result<Vec<u8>, Silence>,
}

/// Why a peer has not answered. Each text fits behind its name and a colon.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Silence {
    /// There is no connection.
    #[error("{0}")]
    Unreachable(String),
    /// It has not answered in time. It may have done what was asked.
    #[error("no answer within {} ms", .0.as_millis())]
    Late(Duration),
    /// The connection ended meanwhile. It may have done what was asked.
    #[error("the connection ended before it answered")]
    Gone,
    /// It will not, and says why.
    #[error("{0}")]
    Refused(String),
    /// This side asks too much at once, or at too great length.
    #[error("not asked: {0}")]
    NotAsked(&'static str),
}

/// Why nobody was asked for a drill.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DrillError {
    /// Nobody has this name.
    #[error("there is no coordinator `{name}` in the mesh; there are: {}", known.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// It has not answered.
    #[error(transparent)]
    Silent(#[from] Silence),
}

impl Link {
    pub(crate) fn new(
        name: String,
        sessions: watch::Receiver<Sessions>,
        sights: watch::Receiver<Vec<Sight>>,
        courier: Handle<courier::Msg>,
    ) -> Self {
        let rounds = Semaphore::new(ROUNDS_MAX);
        let inner = Arc::new(Inner {
            name,
            sessions,
            sights,
            courier,
            rounds,
        });
        Self { inner }
    }

    /// The name of this coordinator.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// All peers by name, those that should be there and cannot be reached included. Never waits.
    pub fn peers(&self) -> Vec<Peer> {
        let sights = self.inner.sights.borrow();
        roster::peers(&self.inner.sessions.borrow(), &sights)
    }

    /// Asks all peers what they observe, at the same time, each at most for `limit`. There is one entry for each peer.
    pub async fn observe_all(&self, question: &[u8], limit: Duration) -> Vec<Heard> {
        let round = self.inner.rounds.try_acquire().ok();
        let may_ask = may_ask(question, round.is_some());
        let ask = |peer| self.observe(peer, question, &may_ask, limit);
        let heard = join_all(self.peers().into_iter().map(ask)).await;
        drop(round);
        heard
    }

    async fn observe(
        &self,
        peer: Peer,
        question: &[u8],
        may_ask: &Result<(), Silence>,
        limit: Duration,
    ) -> Heard {
        let desk = may_ask.clone().and_then(|()| self.desk_of(&peer));
        let answer = match desk {
            Ok(desk) => judge(desk.observe(question.to_vec(), limit).await, limit),
            Err(silence) => Err(silence),
        };
        Heard { peer, answer }
    }

    /// Tells all peers that something may have changed. May be lost; never waits.
    pub fn hint(&self, hint: &str) {
        // With a full mailbox there are hints enough under way.
        self.inner
            .courier
            .try_tell(courier::Msg::Hint(hint.to_owned()))
            .ok();
    }

    /// Asks the peer of this name to carry out a drill, and waits at most for `limit` for what it says.
    ///
    /// # Errors
    /// There is no such peer, or it does not do it, or does not say so in time.
    pub async fn drill(&self, name: &str, what: &[u8], limit: Duration) -> Result<Vec<u8>, DrillError> {
        let round = self.inner.rounds.try_acquire().ok();
        may_ask(what, round.is_some())?;
        let peers = self.peers();
        let Some(peer) = peers.iter().find(|peer| peer.name == name) else {
            return Err(DrillError::Unknown {
                name: name.to_owned(),
                known: peers.into_iter().map(|peer| peer.name).collect(),
            });
        };
        let desk = self.desk_of(peer)?;
        let answer = judge(desk.drill(what.to_vec(), limit).await, limit);
        drop(round);
        Ok(answer?)
    }

    fn desk_of(&self, peer: &Peer) -> Result<RemoteDesk, Silence> {
        if let Reach::Unreachable { why, .. } = &peer.reach {
            return Err(Silence::Unreachable(why.clone()));
        }
        let sessions = self.inner.sessions.borrow();
        sessions
            .with(&peer.name)
            .map(|up| up.desk.clone())
            .ok_or(Silence::Gone)
    }
}

/// Looks at what is to be asked before anybody is.
fn may_ask(question: &[u8], has_room: bool) -> Result<(), Silence> {
    if !has_room {
        Err(Silence::NotAsked("too many questions are under way"))
    } else if question.len() > QUESTION_BYTES_MAX {
        Err(Silence::NotAsked("the question is too long"))
    } else {
        Ok(())
    }
}

fn judge(answer: Result<Answer, NoAnswer>, limit: Duration) -> Result<Vec<u8>, Silence> {
    match answer {
        Ok(answer) => answer.map_err(Silence::Refused),
        Err(NoAnswer::Late) => Err(Silence::Late(limit)),
        Err(NoAnswer::Gone) => Err(Silence::Gone),
    }
}
