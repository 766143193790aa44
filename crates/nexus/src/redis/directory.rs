//! Who is the primary of a slot: a fixed address, whom the sentinels name, or what the cluster says.
//!
//! The answer is kept until a call raises doubt (a lost connection, `READONLY`, `MOVED`) or the pulse looks again. A space is in
//! one slot, so each call goes to exactly one server, and nothing is ever sent again behind the caller's back: a redirected
//! call was not carried out and is refused, and the caller's next one goes to the right place.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{Pipeline, Value};
use tokio::time::Instant;

use super::config::{RedisConfig, RedisServers, Replication, ServerAddr};
use super::dial::Dialer;
use super::keys::SLOTS;
use super::primary::Primary;
use super::reply::{number, text, texts};
use crate::{BackendError, OpenError};

/// How long one server may take to say who the primary is.
const LOCATE_MAX: Duration = Duration::from_millis(700);
/// How long an answer is believed although there is doubt: many callers may doubt it at once.
const LOCATE_AGAIN_AFTER: Duration = Duration::from_millis(100);

pub(super) struct Directory {
    servers: RedisServers,
    dialer: Dialer,
    replication: Replication,
    /// The lock is held to look something up.
    table: Mutex<Table>,
    /// Held while asking, so that callers wait for one answer instead of asking each.
    asking: tokio::sync::Mutex<()>,
    /// Who answered last, and is asked first.
    answered: AtomicUsize,
}

#[derive(Default)]
struct Table {
    routes: Vec<Route>,
    primaries: BTreeMap<ServerAddr, Arc<Primary>>,
    asked_at: Option<Instant>,
    failed: Option<Arc<BackendError>>,
}

/// Slots from the first to the last, and their primary.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Route {
    first: u16,
    last: u16,
    server: ServerAddr,
}

impl Directory {
    pub(super) fn new(config: &RedisConfig) -> Result<Self, OpenError> {
        Ok(Self {
            servers: config.servers.clone(),
            dialer: Dialer::new(config)?,
            replication: config.replication,
            table: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            answered: AtomicUsize::new(0),
        })
    }

    pub(super) const fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// The primary of a slot.
    pub(super) async fn primary(&self, slot: u16) -> Result<Arc<Primary>, Arc<BackendError>> {
        if let Some(primary) = self.lock().of(slot).filter(|primary| !primary.is_doubtful()) {
            return Ok(primary);
        }
        let _turn = self.asking.lock().await;
        if let Some(answer) = self.lock().recent(slot) {
            return answer;
        }
        self.refresh().await?;
        let nobody = || Arc::new(no_primary(format!("slot {slot}"), "nobody serves it".to_owned()));
        self.lock().of(slot).ok_or_else(nobody)
    }

    /// Closes every connection that nobody is using any more.
    pub(super) fn let_go(&self) {
        *self.lock() = Table::default();
    }

    /// All primaries, asked for anew.
    pub(super) async fn all(&self) -> Result<Vec<Arc<Primary>>, Arc<BackendError>> {
        let _turn = self.asking.lock().await;
        self.refresh().await?;
        Ok(self.lock().primaries.values().map(Arc::clone).collect())
    }

    /// Asks, and keeps the primaries that still are.
    async fn refresh(&self) -> Result<(), Arc<BackendError>> {
        let located = self.locate().await.map_err(Arc::new);
        let mut table = self.lock();
        table.asked_at = Some(Instant::now());
        table.failed = located.as_ref().err().map(Arc::clone);
        let routes = located?;
        let known = std::mem::take(&mut table.primaries);
        for route in &routes {
            let new = || Arc::new(Primary::new(route.server.clone(), &self.dialer, self.replication));
            let primary = known.get(&route.server).map_or_else(new, Arc::clone);
            primary.trust();
            table.primaries.insert(route.server.clone(), primary);
        }
        table.routes = routes;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn locate(&self) -> Result<Vec<Route>, BackendError> {
        let whole = |server: ServerAddr| Route {
            first: 0,
            last: SLOTS - 1,
            server,
        };
        match &self.servers {
            RedisServers::Single(server) => Ok(vec![whole(server.clone())]),
            RedisServers::Sentinel { sentinels, service } => {
                let mut ask = Pipeline::new();
                ask.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(service);
                let answer = |_: &ServerAddr, reply: &Value| named(reply).map(|server| vec![whole(server)]);
                self.ask_in_turn(sentinels, &ask, answer, service).await
            }
            RedisServers::Cluster(seeds) => {
                let mut ask = Pipeline::new();
                ask.cmd("CLUSTER").arg("SLOTS");
                let known: Vec<ServerAddr> = self.lock().primaries.keys().chain(seeds).cloned().collect();
                self.ask_in_turn(&known, &ask, routes, "the cluster").await
            }
        }
    }

    /// The first usable answer of any of the servers.
    async fn ask_in_turn(
        &self,
        servers: &[ServerAddr],
        ask: &Pipeline,
        answer: impl Fn(&ServerAddr, &Value) -> Option<Vec<Route>>,
        what: &str,
    ) -> Result<Vec<Route>, BackendError> {
        let mut tried = Vec::new();
        let first = self.answered.load(Ordering::Relaxed);
        for index in (0..servers.len()).map(|n| (first + n) % servers.len()) {
            let server = &servers[index];
            match self.ask(server, ask).await.map(|reply| answer(server, &reply)) {
                Ok(Some(routes)) => {
                    self.answered.store(index, Ordering::Relaxed);
                    return Ok(routes);
                }
                Ok(None) => tried.push(format!("{server} does not know")),
                Err(why) => tried.push(format!("{server}: {}", with_source(&why))),
            }
        }
        Err(no_primary(what.to_owned(), tried.join(", ")))
    }

    /// Asks one server on a connection of its own. A sentinel often knows no passwords, and refuses ours then.
    async fn ask(&self, server: &ServerAddr, ask: &Pipeline) -> Result<Value, BackendError> {
        let asked = async {
            let connection = match self.dialer.connect(server).await {
                Err(BackendError::Unfit { .. }) if matches!(self.servers, RedisServers::Sentinel { .. }) => {
                    self.dialer.anonymous().connect(server).await?
                }
                connected => connected?,
            };
            connection.send(ask, LOCATE_MAX).await
        };
        match tokio::time::timeout(LOCATE_MAX, asked).await {
            Ok(replies) => Ok(replies?.pop().unwrap_or_default()),
            Err(_) => Err(BackendError::NoAnswer { limit: LOCATE_MAX }),
        }
    }
}

impl Table {
    /// The answer that was given just now, if there was one.
    fn recent(&self, slot: u16) -> Option<Result<Arc<Primary>, Arc<BackendError>>> {
        self.asked_at.filter(|at| at.elapsed() < LOCATE_AGAIN_AFTER)?;
        match &self.failed {
            Some(why) => Some(Err(Arc::clone(why))),
            None => self.of(slot).map(Ok),
        }
    }

    fn of(&self, slot: u16) -> Option<Arc<Primary>> {
        let route = self
            .routes
            .iter()
            .find(|route| (route.first..=route.last).contains(&slot))?;
        self.primaries.get(&route.server).map(Arc::clone)
    }
}

fn with_source(error: &BackendError) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn no_primary(what: String, why: String) -> BackendError {
    BackendError::NoPrimary { what, why }
}

/// Host and port as a sentinel names them.
fn named(reply: &Value) -> Option<ServerAddr> {
    let [host, port] = texts(reply).try_into().ok()?;
    Some(ServerAddr::new(host, port.parse().ok()?))
}

/// The reply to `CLUSTER SLOTS`. A server that does not know its own name is the one that was asked.
fn routes(asked: &ServerAddr, reply: &Value) -> Option<Vec<Route>> {
    let Value::Array(ranges) = reply else { return None };
    let route = |range: &Value| {
        let Value::Array(range) = range else { return None };
        let [first, last, primary, ..] = range.as_slice() else {
            return None;
        };
        let Value::Array(primary) = primary else {
            return None;
        };
        let host = primary.first().and_then(text).filter(|host| !host.is_empty());
        let port = number(primary.get(1)?).ok()??;
        Some(Route {
            first: number(first).ok()??,
            last: number(last).ok()??,
            server: ServerAddr::new(host.unwrap_or_else(|| asked.host.clone()), port),
        })
    };
    let routes: Vec<Route> = ranges.iter().filter_map(route).collect();
    (!routes.is_empty()).then_some(routes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_a_name_is_the_one_that_was_asked() {
        let primary = |host: Value| Value::Array(vec![host, Value::Int(7001), Value::Nil]);
        let range =
            |first, last, host| Value::Array(vec![Value::Int(first), Value::Int(last), primary(host)]);
        let reply = Value::Array(vec![
            range(0, 99, Value::BulkString(b"a".to_vec())),
            range(100, 16_383, Value::BulkString(Vec::new())),
        ]);
        let found = routes(&ServerAddr::new("seed", 7000), &reply).unwrap();
        let servers: Vec<_> = found.iter().map(|route| route.server.to_string()).collect();
        assert_eq!(servers, ["a:7001", "seed:7001"]);
        assert_eq!(
            routes(&ServerAddr::new("seed", 7000), &Value::Array(Vec::new())),
            None
        );
    }
}
