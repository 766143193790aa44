//! The nexus in Redis: any number of processes over one store, with scripts that make each batch one atomic step.
//!
//! Nothing is known here by heart but who the primary is: Redis may go away, come back empty-handed of scripts, or be
//! another server than a moment ago. No command is ever sent twice by itself; a reply that does not come is
//! [`NexusError::OutcomeUnknown`], and the caller's own repetition finds out. What is where in Redis: see `keys`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use redis::{Value, cmd};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use self::call::{Effect, command, script};
use self::directory::Directory;
use self::flight::{Flight, carry_out};
use self::keys::Keys;
use self::listen::Listener;
use self::primary::Primary;
use self::replicas::Shortfall;
use self::reply::{Unexpected, list, number, places, record, score};
use self::script::{LOG, PAGE, TAKE};
use self::steady::keep_going;
use self::time::NexusTime;
use crate::hints::HintBoard;
use crate::{
    Ascending, BackendError, Counter, Demand, Descending, Dump, Durability, Entry, Hints, Key, Member, Nexus,
    NexusError, OpenError, Outcome, Record, Score, Set, Space, Span, Standing, Taken, Timestamp, Transaction,
    check,
};

mod batch;
mod call;
mod config;
mod dial;
mod directory;
mod dump;
mod examine;
mod failure;
mod flight;
mod group;
mod keys;
mod line;
mod listen;
mod msgpack;
mod numbers;
mod primary;
mod pulse;
mod read;
mod replicas;
mod reply;
mod script;
mod standing;
mod steady;
mod take;
mod time;

pub use self::config::{
    NotAServer, Password, REDIS_PORT, RedisConfig, RedisServers, RedisTls, Replication, ServerAddr,
    TlsIdentity,
};

/// A nexus in Redis: one server, one that sentinels choose, or a cluster.
pub struct RedisNexus {
    prefix: String,
    directory: Arc<Directory>,
    board: Arc<HintBoard>,
    watching: Arc<Notify>,
    shortfall: Shortfall,
    time: NexusTime,
    is_closed: AtomicBool,
    /// The listener and the pulse, which end with this.
    tasks: Mutex<JoinSet<()>>,
}

impl RedisNexus {
    /// Prepares everything and returns at once, whether Redis is there or not: until it is, calls answer
    /// [`NexusError::Unavailable`]. Needs a runtime.
    ///
    /// # Errors
    /// The settings can never work, or the certificates cannot be read.
    pub fn open(config: RedisConfig) -> Result<Self, OpenError> {
        config.check()?;
        let directory = Arc::new(Directory::new(&config)?);
        let board = Arc::new(HintBoard::new());
        let watching = Arc::new(Notify::new());
        let listener = Listener {
            directory: Arc::clone(&directory),
            board: Arc::clone(&board),
            prefix: config.prefix.clone(),
            watching: Arc::clone(&watching),
        };
        let mut tasks = JoinSet::new();
        let listener = Arc::new(listener);
        tasks.spawn(keep_going("the listener", move || {
            Arc::clone(&listener).keep_listening()
        }));
        let looked_at = Arc::clone(&directory);
        tasks.spawn(keep_going("the pulse", move || {
            pulse::keep_looking(Arc::clone(&looked_at))
        }));
        Ok(Self {
            prefix: config.prefix,
            directory,
            board,
            watching,
            shortfall: Shortfall::default(),
            time: NexusTime::default(),
            is_closed: AtomicBool::new(false),
            tasks: Mutex::new(tasks),
        })
    }

    fn open_keys(&self, space: &Space) -> Result<Keys, NexusError> {
        match self.is_closed.load(Ordering::SeqCst) {
            true => Err(NexusError::Closed),
            false => Ok(Keys::new(&self.prefix, space)),
        }
    }

    /// Carries transactions out on one primary.
    async fn carry(
        &self,
        primary: &Primary,
        flight: Flight,
        durability: Durability,
    ) -> Result<Flight, NexusError> {
        if durability == Durability::Disk && primary.waits_for() > 0 {
            let (flight, missing) = primary.commit_replicated(flight).await?;
            if flight.is_answered() {
                self.shortfall.note(missing);
            }
            return Ok(flight);
        }
        let connection = primary
            .line()
            .connection()
            .await
            .map_err(NexusError::Unavailable)?;
        let mut flights = [flight];
        if carry_out(&connection, &mut flights, None, durability.limit())
            .await
            .is_err()
        {
            primary.line().abandon(&connection).await;
        }
        let [flight] = flights;
        Ok(flight)
    }

    async fn page(&self, keys: &Keys, call: redis::Cmd) -> Result<Vec<(Score, Member)>, NexusError> {
        script(&self.directory, keys, (&PAGE, Effect::Reads), call)
            .await?
            .read(places)
    }

    async fn entries(&self, keys: &Keys, call: redis::Cmd) -> Result<Vec<Entry>, NexusError> {
        script(&self.directory, keys, (&LOG, Effect::Reads), call)
            .await?
            .read(read::entries)
    }
}

impl std::fmt::Debug for RedisNexus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisNexus")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Nexus for RedisNexus {
    async fn commit(
        &self,
        space: &Space,
        transactions: Vec<Transaction>,
        durability: Durability,
    ) -> Result<Vec<Outcome>, NexusError> {
        check::batch(&transactions)?;
        let keys = Arc::new(self.open_keys(space)?);
        let primary = self
            .directory
            .primary(keys.slot())
            .await
            .map_err(NexusError::Unavailable)?;
        // What the server says of itself decides how to commit, and it says so when the line opens.
        if let Err(why) = primary.line().connection().await {
            primary.doubt();
            return Err(NexusError::Unavailable(why));
        }
        let flight = Flight::new(keys, transactions, primary.is_short_of_room());
        primary.expect_growth(flight.bytes());
        let carried = self.carry(&primary, flight, durability).await;
        if carried.as_ref().map_or(true, Flight::raises_doubt) {
            primary.doubt();
        }
        carried?.into_outcomes()
    }

    async fn take(&self, space: &Space, demands: Vec<Demand>) -> Result<Vec<Vec<Taken>>, NexusError> {
        check::demands(&demands)?;
        let keys = self.open_keys(space)?;
        let call = take::call(&keys, &demands);
        let reply = script(&self.directory, &keys, (&TAKE, Effect::Writes), call).await?;
        reply.read(|reply| take::answers(&demands, reply))
    }

    async fn fetch(&self, space: &Space, keys: &[Key]) -> Result<Vec<Option<Record>>, NexusError> {
        check::wanted("key", keys)?;
        let names = self.open_keys(space)?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let reply = command(&self.directory, &names, read::fetch(&names, keys)).await?;
        reply.read(|reply| read::each(reply, record))
    }

    async fn range(
        &self,
        space: &Space,
        set: &str,
        page: Ascending,
    ) -> Result<Vec<(Score, Member)>, NexusError> {
        check::page("set", set, page.n)?;
        let keys = self.open_keys(space)?;
        let call = read::page(&keys, set, "+", page.n, (page.after.as_ref(), page.up_to));
        self.page(&keys, call).await
    }

    async fn range_back(
        &self,
        space: &Space,
        set: &str,
        page: Descending,
    ) -> Result<Vec<(Score, Member)>, NexusError> {
        check::page("set", set, page.n)?;
        let keys = self.open_keys(space)?;
        let call = read::page(&keys, set, "-", page.n, (page.before.as_ref(), page.down_to));
        let mut page = self.page(&keys, call).await?;
        page.reverse();
        Ok(page)
    }

    async fn scores(
        &self,
        space: &Space,
        set: &str,
        members: &[Member],
    ) -> Result<Vec<Option<Score>>, NexusError> {
        check::name("set", set)?;
        check::wanted("member", members)?;
        let keys = self.open_keys(space)?;
        if members.is_empty() {
            return Ok(Vec::new());
        }
        let mut ask = cmd("ZMSCORE");
        ask.arg(keys.set(set)).arg(members);
        let reply = command(&self.directory, &keys, ask).await?;
        reply.read(|reply| read::each(reply, |value| score(&value)))
    }

    async fn size(&self, space: &Space, set: &str) -> Result<u64, NexusError> {
        check::name("set", set)?;
        let keys = self.open_keys(space)?;
        let mut ask = cmd("ZCARD");
        ask.arg(keys.set(set));
        command(&self.directory, &keys, ask).await?.read(count)
    }

    async fn counters(&self, space: &Space, names: &[Counter]) -> Result<Vec<i64>, NexusError> {
        check::wanted("counter", names)?;
        let keys = self.open_keys(space)?;
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut ask = cmd("HMGET");
        ask.arg(keys.counters()).arg(names);
        let reply = command(&self.directory, &keys, ask).await?;
        reply.read(|reply| read::each(reply, |value| Ok(number(&value)?.unwrap_or(0))))
    }

    async fn read_log(&self, space: &Space, log: &str, span: Span) -> Result<Vec<Entry>, NexusError> {
        check::page("log", log, span.n)?;
        let keys = self.open_keys(space)?;
        self.entries(&keys, read::log(&keys, log, "", span)).await
    }

    async fn read_thread(
        &self,
        space: &Space,
        log: &str,
        thread: &str,
        span: Span,
    ) -> Result<Vec<Entry>, NexusError> {
        check::page("log", log, span.n)?;
        check::name("thread", thread)?;
        let keys = self.open_keys(space)?;
        self.entries(&keys, read::log(&keys, log, thread, span)).await
    }

    async fn log_len(&self, space: &Space, log: &str) -> Result<u64, NexusError> {
        check::name("log", log)?;
        let keys = self.open_keys(space)?;
        let mut ask = cmd("HGET");
        ask.arg(keys.lengths()).arg(log);
        command(&self.directory, &keys, ask).await?.read(count)
    }

    async fn heads(&self, space: &Space, family: &str, n: usize) -> Result<Vec<(Set, Score)>, NexusError> {
        check::family(family, n)?;
        let keys = self.open_keys(space)?;
        if n == 0 {
            return Ok(Vec::new());
        }
        let mut ask = cmd("ZRANGE");
        ask.arg(keys.heads(family)).arg(0).arg(n - 1).arg("WITHSCORES");
        let heads = command(&self.directory, &keys, ask).await?.read(places)?;
        Ok(heads.into_iter().map(|(score, set)| (set, score)).collect())
    }

    fn watch(&self, space: &Space) -> Hints {
        let hints = self.board.watch(space);
        self.watching.notify_one();
        hints
    }

    async fn now(&self) -> Result<Timestamp, NexusError> {
        // One server's clock for all who share the prefix, also in a cluster.
        let keys = self.open_keys(&Space::new("time").expect("it is a valid name"))?;
        if let Some(now) = self.time.now() {
            return Ok(now);
        }
        let asked_at = Instant::now();
        let reply = command(&self.directory, &keys, cmd("TIME")).await?;
        let run_id = reply.run_id();
        Ok(self.time.note(reply.read(milliseconds)?, asked_at, &run_id))
    }

    async fn standing(&self) -> Result<Standing, NexusError> {
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(NexusError::Closed);
        }
        let mut found = Vec::new();
        for primary in self.directory.all().await.map_err(NexusError::Unavailable)? {
            match primary.look().await {
                Ok(of_primary) => found.push((of_primary, primary.waits_for())),
                Err(why) => match &*why {
                    BackendError::Unfit { why, .. } => {
                        return Ok(standing::unfit(why, self.shortfall.total()));
                    }
                    _ => return Err(NexusError::Unavailable(why)),
                },
            }
        }
        Ok(standing::of(&found, self.shortfall.total()))
    }

    async fn dump(&self, space: &Space) -> Result<Dump, NexusError> {
        dump::dump(&self.directory, &self.open_keys(space)?).await
    }

    async fn close(&self) -> Result<(), NexusError> {
        self.is_closed.store(true, Ordering::SeqCst);
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .abort_all();
        self.directory.let_go();
        self.board.close();
        Ok(())
    }
}

/// A count; nothing is 0.
fn count(reply: Value) -> Result<u64, Unexpected> {
    Ok(number(&reply)?.unwrap_or(0))
}

/// The reply to `TIME`: seconds and microseconds.
fn milliseconds(reply: Value) -> Result<u64, Unexpected> {
    let part = |value: &Value| number::<u64>(value)?.ok_or(Unexpected);
    match list(reply)?.as_slice() {
        [seconds, micros] => Ok(part(seconds)? * 1_000 + part(micros)? / 1_000),
        _ => Err(Unexpected),
    }
}
