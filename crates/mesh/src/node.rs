//! Owns the sessions with the peers: takes connections in, probes them every second, and publishes who can be reached.
//!
//! A peer that hangs keeps its sockets, and the library would wait for it for ever. So whoever has not answered a probe
//! within [`BEAT_MAX`] is cut off; when it wakes up, it dials again. Only events and ticks wake this actor; the sessions
//! are looked at anew each time. All of it dies with the actor, and peers come back by dialling.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use supervision::{Actor, ChildSpec, Ctx, Failure, Handle};
use tokio::sync::watch;

use crate::clerk;
use crate::connection::Labelled;
use crate::cookie::Cookie;
use crate::desk::NoAnswer;
use crate::handshake::Greeted;
use crate::identity::Identity;
use crate::links::Links;
use crate::mesh::PACE;
use crate::roster::{Sessions, Up};
use crate::server::{Server, Session};

/// Messages that wait at most.
pub(crate) const MAILBOX: usize = 512;
/// Time between two probes of a peer.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// How long a peer may take to answer a probe.
pub const BEAT_MAX: Duration = Duration::from_secs(3);
/// How long the library may take to say which sessions there are.
const LOOK_MAX: Duration = Duration::from_secs(5);

pub(crate) enum Msg {
    /// Start the library's side. Not done in the actor's start: what fails there would fail the coordinator's.
    Open,
    /// A connection to a peer was made, by the peer or by this side.
    Connected { greeted: Greeted, dialled: bool },
    /// A second is over.
    Tick,
    /// Sessions have become more.
    Changed,
    /// The session with this label has ended.
    Disconnected(String),
    /// The sessions that there are; nothing if the library does not answer.
    Sessions(Option<Vec<Session>>),
    /// A probe has ended.
    Beat(String, Result<Duration, NoAnswer>),
    /// The library's side has ended by itself.
    Ended,
}

pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) process: u64,
    /// Counts the lives of this actor, also beyond those of its supervisor.
    pub(crate) lives: Arc<AtomicU64>,
    pub(crate) cookie: Cookie,
    pub(crate) clerk: Handle<clerk::Msg>,
    pub(crate) myself: Handle<Msg>,
    pub(crate) sessions: Arc<watch::Sender<Sessions>>,
}

pub(crate) struct State {
    links: Links,
    server: Option<Server>,
    /// Who looks now, and whether it has to look again.
    looking: Looking,
    board: Board,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Looking {
    No,
    Yes,
    Again,
}

/// Permanent: without it nobody can be reached.
pub(crate) fn child_spec(handle: &Handle<Msg>, make: impl Fn() -> Node + Send + Sync + 'static) -> ChildSpec {
    ChildSpec::worker("node", handle, make).backoff(PACE)
}

impl Actor for Node {
    type Msg = Msg;
    type State = State;

    async fn start(&self, ctx: &Ctx<Msg>) -> Result<State, Failure> {
        let own = Identity::new(
            &self.name,
            self.process,
            self.lives.fetch_add(1, Ordering::Relaxed),
        );
        ctx.tell_self(Msg::Open);
        let sessions = Arc::clone(&self.sessions);
        Ok(State {
            links: Links::default(),
            server: None,
            looking: Looking::No,
            board: Board { own, sessions },
        })
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, state: &mut State) -> Result<(), Failure> {
        let now = Instant::now();
        match msg {
            Msg::Open => self.on_open(ctx, state).await?,
            Msg::Connected { greeted, dialled } => on_connected(state, greeted, dialled, now)?,
            Msg::Changed => look(ctx, state)?,
            Msg::Tick => {
                ctx.tick_after(BEAT_EVERY, Msg::Tick);
                look(ctx, state)?;
                for (label, desk) in state.links.start_probes() {
                    ctx.task(async move {
                        let begun = Instant::now();
                        let beat = desk.beat(BEAT_MAX).await.map(|()| begun.elapsed());
                        Msg::Beat(label, beat)
                    })?;
                }
            }
            Msg::Disconnected(label) => drop(state.links.strike(&label, None, now)),
            Msg::Sessions(None) => return Err(Failure::new("the node server does not answer")),
            Msg::Sessions(Some(sessions)) => {
                state.links.reconcile(sessions, now);
                if std::mem::replace(&mut state.looking, Looking::No) == Looking::Again {
                    look(ctx, state)?;
                }
            }
            Msg::Beat(label, Ok(beat)) => {
                if let Some(live) = state.links.live_mut(&label) {
                    live.is_probed = false;
                    live.beat = Some(beat);
                }
            }
            Msg::Beat(label, Err(_)) => drop(state.links.strike(&label, Some("it does not answer"), now)),
            Msg::Ended => return Err(Failure::new("the node server or the desk has ended")),
        }
        state.board.publish(&state.links);
        Ok(())
    }
}

impl Node {
    async fn on_open(&self, ctx: &Ctx<Msg>, state: &mut State) -> Result<(), Failure> {
        let server = Server::open(
            &state.board.own,
            &self.cookie,
            self.clerk.clone(),
            self.myself.clone(),
        )
        .await?;
        let ended = server.ended();
        ctx.task(async {
            ended.await;
            Msg::Ended
        })?;
        state.server = Some(server);
        ctx.tell_self(Msg::Tick);
        Ok(())
    }
}

fn on_connected(state: &mut State, greeted: Greeted, dialled: bool, now: Instant) -> Result<(), Failure> {
    let Greeted { peer, stream, cut } = greeted;
    // Not open yet, or full: the connection is dropped, and made again.
    let Some(server) = &state.server else {
        return Ok(());
    };
    let Some(label) = state.links.enter(peer, cut, now) else {
        tracing::warn!("too many mesh connections: one more is refused");
        return Ok(());
    };
    server.adopt(Labelled { label, stream }, !dialled)
}

/// Asks which sessions there are; one question at a time, so that no answer is older than the one before it.
fn look(ctx: &Ctx<Msg>, state: &mut State) -> Result<(), Failure> {
    if state.looking != Looking::No {
        state.looking = Looking::Again;
        return Ok(());
    }
    let Some(server) = &state.server else {
        return Ok(());
    };
    let sessions = server.sessions(LOOK_MAX);
    ctx.task(async { Msg::Sessions(sessions.await) })?;
    state.looking = Looking::Yes;
    Ok(())
}

/// What others see of the sessions. It is wiped when the actor dies, since its sessions die with it.
struct Board {
    own: Identity,
    sessions: Arc<watch::Sender<Sessions>>,
}

impl Board {
    fn publish(&self, links: &Links) {
        let up = links.live().map(|(peer, live)| Up {
            peer: peer.clone(),
            desk: live.desk.clone(),
            since: live.since,
            beat: live.beat,
        });
        self.sessions.send_replace(Sessions {
            own: Some(self.own.clone()),
            up: up.collect(),
            lost: links.lost().clone(),
        });
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.sessions.send_replace(Sessions::default());
    }
}
