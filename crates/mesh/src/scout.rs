//! Finds the peers and dials them: those that are listed, or whatever a name means at the moment.
//!
//! A reconciler: four times a second it compares the addresses with the sessions and dials what is missing, each address
//! with a pause of its own that doubles from failure to failure. An address is dialled once even if its peer has dialled
//! first, so that it is known who is there. Of two that lose each other the one whose name sorts first dials first; if
//! both dial all the same, the library keeps one connection.

mod places;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use supervision::{Actor, ChildSpec, Ctx, Failure, Handle};
use tokio::net::lookup_host;
use tokio::sync::watch;
use tokio::time::timeout;

use self::places::{Places, spread};
use crate::config::{PEERS_MAX, PeerAddress, Peers};
use crate::handshake::{Dialled, HandshakeError, dial};
use crate::identity::Identity;
use crate::mesh::PACE;
use crate::node;
use crate::roster::{Sessions, Sight};
use crate::tls::Tls;

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Time between two look-ups of a name; a second at most is added, so that coordinators do not ask all at once.
const LOOK_UP_EVERY: Duration = Duration::from_secs(5);
/// How long a look-up may take.
const LOOK_UP_MAX: Duration = Duration::from_secs(3);

pub(crate) enum Msg {
    /// Look who is missing.
    Look,
    /// Look the name up.
    LookUp,
    /// What the name means now.
    LookedUp(Result<BTreeSet<PeerAddress>, String>),
    /// A dial has ended.
    Dialled(PeerAddress, Result<Dialled, HandshakeError>),
}

pub(crate) struct Scout {
    pub(crate) peers: Peers,
    pub(crate) tls: Option<Tls>,
    /// Tells processes apart where they should not do the same at the same time.
    pub(crate) process: u64,
    pub(crate) node: Handle<node::Msg>,
    pub(crate) sessions: watch::Receiver<Sessions>,
    pub(crate) sights: Arc<watch::Sender<Vec<Sight>>>,
}

pub(crate) struct State {
    places: Places,
    n_look_ups: u64,
    /// The last look-up failed: said once.
    is_blind: bool,
}

/// Permanent: without it a lost peer comes back only if it dials.
pub(crate) fn child_spec(
    handle: &Handle<Msg>,
    make: impl Fn() -> Scout + Send + Sync + 'static,
) -> ChildSpec {
    ChildSpec::worker("scout", handle, make).backoff(PACE)
}

impl Actor for Scout {
    type Msg = Msg;
    type State = State;

    async fn start(&self, ctx: &Ctx<Msg>) -> Result<State, Failure> {
        let mut places = Places::new(self.process);
        match &self.peers {
            Peers::Listed(listed) => places.are(listed.iter().cloned().collect(), Instant::now()),
            Peers::Named(_) => ctx.tell_self(Msg::LookUp),
        }
        ctx.tell_self(Msg::Look);
        Ok(State {
            places,
            n_look_ups: 0,
            is_blind: false,
        })
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, state: &mut State) -> Result<(), Failure> {
        match msg {
            Msg::Look => {
                ctx.tick_after(LOOK_EVERY, Msg::Look);
                self.on_look(ctx, state)?;
            }
            Msg::LookUp => self.on_look_up(ctx, state)?,
            Msg::LookedUp(found) => on_looked_up(state, found),
            Msg::Dialled(address, outcome) => self.on_dialled(state, &address, outcome),
        }
        let sights = state.places.sights();
        self.sights.send_if_modified(|current| {
            let is_new = *current != sights;
            *current = sights;
            is_new
        });
        Ok(())
    }
}

impl Scout {
    fn on_look(&self, ctx: &Ctx<Msg>, state: &mut State) -> Result<(), Failure> {
        let (own, to_dial) = {
            let sessions = self.sessions.borrow();
            // Nobody to hand a connection to.
            let Some(own) = sessions.own.clone() else {
                return Ok(());
            };
            let to_dial = state.places.start_dials(&own, &sessions, Instant::now());
            (own, to_dial)
        };
        for address in to_dial {
            let (sessions, own, tls) = (self.sessions.clone(), own.clone(), self.tls.clone());
            ctx.task(async move {
                let is_wanted = {
                    let own = own.clone();
                    move |peer: &Identity| {
                        *peer != own && sessions.borrow().up.iter().all(|up| up.peer != *peer)
                    }
                };
                let outcome = dial(address.clone(), tls, own, is_wanted).await;
                Msg::Dialled(address, outcome)
            })?;
        }
        Ok(())
    }

    fn on_look_up(&self, ctx: &Ctx<Msg>, state: &mut State) -> Result<(), Failure> {
        let Peers::Named(name) = &self.peers else {
            return Ok(());
        };
        state.n_look_ups += 1;
        let jitter = spread(self.process, &name.to_string(), state.n_look_ups);
        ctx.tick_after(
            LOOK_UP_EVERY + Duration::from_secs(1).mul_f64(jitter),
            Msg::LookUp,
        );
        let (host, port) = (name.host.clone(), name.port);
        ctx.task(async move { Msg::LookedUp(look_up(&host, port).await) })?;
        Ok(())
    }

    fn on_dialled(&self, state: &mut State, address: &PeerAddress, outcome: Result<Dialled, HandshakeError>) {
        let now = Instant::now();
        match outcome {
            Ok(Dialled { peer, connection }) => {
                let own = self.sessions.borrow().own.clone();
                let is_self = own.is_some_and(|own| own.is_same_process(&peer));
                state.places.met(address, &peer, is_self, now);
                if let Some(greeted) = connection {
                    // Refused, the connection is dropped, and made again later.
                    let connected = node::Msg::Connected {
                        greeted,
                        dialled: true,
                    };
                    self.node.try_tell(connected).ok();
                }
            }
            Err(error) => {
                if state.places.failed(address, &error.to_string(), now) {
                    tracing::warn!(%address, %error, "a mesh peer cannot be reached");
                }
            }
        }
    }
}

/// All addresses behind a name, as they are dialled.
async fn look_up(host: &str, port: u16) -> Result<BTreeSet<PeerAddress>, String> {
    let found = timeout(LOOK_UP_MAX, lookup_host((host, port)))
        .await
        .map_err(|_late| "no answer in time".to_owned())?
        .map_err(|error| error.to_string())?;
    let addresses = found.map(|socket| PeerAddress {
        host: socket.ip().to_canonical().to_string(),
        port: socket.port(),
    });
    Ok(addresses.take(PEERS_MAX).collect())
}

fn on_looked_up(state: &mut State, found: Result<BTreeSet<PeerAddress>, String>) {
    match found {
        Ok(found) => {
            state.is_blind = false;
            state.places.are(found, Instant::now());
        }
        // Those that are known stay known.
        Err(why) if !state.is_blind => {
            state.is_blind = true;
            tracing::warn!(why, "the name of the mesh peers cannot be looked up");
        }
        Err(_) => {}
    }
}
