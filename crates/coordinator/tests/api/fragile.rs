//! A nexus that makes its caller panic, once, at a call that the test names: how each actor is made to crash. One that
//! is away for a while, in each of the ways in which a store can be. And one that holds up the calls that a test names,
//! so that something else comes first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use nexus::{
    Ascending, BackendError, Clock, Counter, Demand, Descending, Dump, Durability, Entry, Hints, Key, Member,
    MemoryNexus, Nexus, NexusError, Outcome, Record, Score, Set, Space, Span, Standing, Taken, Timestamp,
    Transaction,
};
use tokio::sync::watch;

use crate::world::SOON;

/// What becomes of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// They are answered.
    Here,
    /// They fail at once, like those to a store that nobody listens for.
    Refusing,
    /// They stand still and are answered once it is back, like those to a store whose process was stopped.
    Frozen,
    /// They are never answered, not even when it is back, like those to a store whose machine has gone.
    Lost,
}

/// Calls that are held up.
#[derive(Debug, Clone, Copy, Default)]
struct Gate {
    /// How their text begins: the method, and the first name in it.
    call: Option<&'static str>,
    /// How many have come.
    came: usize,
    /// How many of them may go on.
    may_go: usize,
}

pub(crate) struct FragileNexus {
    inner: Arc<MemoryNexus>,
    gate: watch::Sender<Gate>,
    armed: Mutex<Option<&'static str>>,
    presence: watch::Sender<Presence>,
    /// The calls that found it away: each the method, and the first name in it.
    missed: watch::Sender<Vec<String>>,
    /// Why it must not be used.
    unfit: Mutex<Option<String>>,
    /// Whose hints are passed on: its own, or those of a store in which nothing happens.
    hints: Option<MemoryNexus>,
    /// What became of transactions, by the family of the first record that each puts.
    tally: Mutex<BTreeMap<String, Tally>>,
}

/// What became of transactions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) applied: usize,
    pub(crate) refused: usize,
}

impl FragileNexus {
    pub(crate) fn new() -> Self {
        Self::by(Clock::system())
    }

    /// One with this clock.
    pub(crate) fn by(clock: Clock) -> Self {
        Self::before(Arc::new(MemoryNexus::new(clock)))
    }

    /// What one of several coordinators has before the nexus that all of them share.
    pub(crate) fn before(inner: Arc<MemoryNexus>) -> Self {
        Self {
            inner,
            tally: Mutex::default(),
            gate: watch::Sender::new(Gate::default()),
            armed: Mutex::new(None),
            presence: watch::Sender::new(Presence::Here),
            missed: watch::Sender::new(Vec::new()),
            unfit: Mutex::new(None),
            hints: None,
        }
    }

    /// One whose hints are all lost.
    pub(crate) fn silent() -> Self {
        Self::deaf_to(Arc::new(MemoryNexus::new(Clock::system())))
    }

    /// The same before a nexus that is shared.
    pub(crate) fn deaf_to(inner: Arc<MemoryNexus>) -> Self {
        Self {
            hints: Some(MemoryNexus::new(Clock::system())),
            ..Self::before(inner)
        }
    }

    /// What became of the transactions so far whose first record is of this family, e.g. `job`.
    pub(crate) fn tally(&self, family: &str) -> Tally {
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.get(family).copied().unwrap_or_default()
    }

    fn count(&self, families: Vec<String>, outcomes: &[Outcome]) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        for (family, outcome) in families.into_iter().zip(outcomes) {
            let tally = tally.entry(family).or_default();
            match outcome {
                Outcome::Applied | Outcome::Already => tally.applied += 1,
                Outcome::Refused { .. } | Outcome::Full => tally.refused += 1,
            }
        }
    }

    /// The next call whose text begins like this panics: the method, and the first name in it.
    pub(crate) fn panic_at(&self, call: &'static str) {
        *self.armed.lock().unwrap_or_else(PoisonError::into_inner) = Some(call);
    }

    /// Holds up every call from now on whose text begins like this. Those that were held up before go on.
    pub(crate) fn hold(&self, call: &'static str) {
        self.gate.send_replace(Gate {
            call: Some(call),
            ..Gate::default()
        });
    }

    /// Waits until so many calls were held up.
    pub(crate) async fn holds(&self, n: usize) {
        let mut gate = self.gate.subscribe();
        let call = gate.borrow().call;
        let came = gate.wait_for(|gate| gate.came >= n);
        let came = tokio::time::timeout(SOON, came).await.is_ok();
        assert!(came, "fewer than {n} of {call:?}");
    }

    /// Lets the first so many calls go on.
    pub(crate) fn let_go(&self, n: usize) {
        self.gate.send_modify(|gate| gate.may_go = n);
    }

    async fn pass_gate(&self, method: &str, name: &str) {
        let mut gate = self.gate.subscribe();
        let Some(call) = gate
            .borrow()
            .call
            .filter(|call| format!("{method} {name}").starts_with(call))
        else {
            return;
        };
        let mut number = 0;
        self.gate.send_modify(|gate| {
            gate.came += 1;
            number = gate.came;
        });
        gate.wait_for(|gate| gate.call != Some(call) || gate.may_go >= number)
            .await
            .ok();
    }

    /// Begins or ends an absence.
    pub(crate) fn is(&self, presence: Presence) {
        self.missed.send_replace(Vec::new());
        self.presence.send_replace(presence);
    }

    /// From now on it says that it must not be used, and why; or that it may be.
    pub(crate) fn is_unfit(&self, why: Option<&str>) {
        *self.unfit.lock().unwrap_or_else(PoisonError::into_inner) = why.map(str::to_owned);
    }

    /// Waits until a call whose text begins like this has found it away.
    pub(crate) async fn missed(&self, call: &str) {
        let mut missed = self.missed.subscribe();
        let found = missed.wait_for(|calls| calls.iter().any(|one| one.starts_with(call)));
        let found = tokio::time::timeout(SOON, found).await;
        assert!(matches!(found, Ok(Ok(_))), "nobody asks for `{call}`");
    }

    async fn call(&self, method: &str, name: &str) -> Result<(), NexusError> {
        self.reach(method, name).await?;
        self.pass_gate(method, name).await;
        self.trip(method, name);
        Ok(())
    }

    /// Comes back if it is there.
    async fn reach(&self, method: &str, name: &str) -> Result<(), NexusError> {
        let mut presence = self.presence.subscribe();
        let now = *presence.borrow_and_update();
        if now != Presence::Here {
            self.missed
                .send_modify(|calls| calls.push(format!("{method} {name}")));
        }
        match now {
            Presence::Here => {}
            Presence::Refusing => {
                return Err(NexusError::Unavailable(Arc::new(BackendError::SwitchedOff)));
            }
            Presence::Frozen => {
                presence.wait_for(|now| *now == Presence::Here).await.ok();
            }
            Presence::Lost => std::future::pending().await,
        }
        Ok(())
    }

    fn trip(&self, method: &str, name: &str) {
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        if armed.is_some_and(|call| format!("{method} {name}").starts_with(call)) {
            let call = armed.take();
            drop(armed);
            panic!("the test asked for a panic at {call:?}");
        }
    }
}

#[async_trait]
impl Nexus for FragileNexus {
    async fn commit(
        &self,
        space: &Space,
        transactions: Vec<Transaction>,
        durability: Durability,
    ) -> Result<Vec<Outcome>, NexusError> {
        let key = transactions.first().and_then(|tx| tx.puts.first());
        self.call("commit", key.map_or("", |(key, _)| key)).await?;
        let family = |tx: &Transaction| {
            let key = tx.puts.first().map_or("", |(key, _)| key.as_str());
            key.split('/').next().unwrap_or_default().to_owned()
        };
        let families = transactions.iter().map(family).collect();
        let outcomes = self.inner.commit(space, transactions, durability).await?;
        self.count(families, &outcomes);
        Ok(outcomes)
    }

    async fn take(&self, space: &Space, demands: Vec<Demand>) -> Result<Vec<Vec<Taken>>, NexusError> {
        self.reach("take", "").await?;
        let taken = self.inner.take(space, demands).await;
        // After it has happened: what was taken is held and belongs to nobody.
        self.trip("take", "");
        taken
    }

    async fn fetch(&self, space: &Space, keys: &[Key]) -> Result<Vec<Option<Record>>, NexusError> {
        self.call("fetch", keys.first().map_or("", String::as_str))
            .await?;
        self.inner.fetch(space, keys).await
    }

    async fn range(
        &self,
        space: &Space,
        set: &str,
        page: Ascending,
    ) -> Result<Vec<(Score, Member)>, NexusError> {
        self.call("range", set).await?;
        self.inner.range(space, set, page).await
    }

    async fn range_back(
        &self,
        space: &Space,
        set: &str,
        page: Descending,
    ) -> Result<Vec<(Score, Member)>, NexusError> {
        self.call("range_back", set).await?;
        self.inner.range_back(space, set, page).await
    }

    async fn scores(
        &self,
        space: &Space,
        set: &str,
        members: &[Member],
    ) -> Result<Vec<Option<Score>>, NexusError> {
        self.call("scores", set).await?;
        self.inner.scores(space, set, members).await
    }

    async fn size(&self, space: &Space, set: &str) -> Result<u64, NexusError> {
        self.call("size", set).await?;
        self.inner.size(space, set).await
    }

    async fn counters(&self, space: &Space, names: &[Counter]) -> Result<Vec<i64>, NexusError> {
        self.call("counters", "").await?;
        self.inner.counters(space, names).await
    }

    async fn read_log(&self, space: &Space, log: &str, span: Span) -> Result<Vec<Entry>, NexusError> {
        self.call("read_log", log).await?;
        self.inner.read_log(space, log, span).await
    }

    async fn read_thread(
        &self,
        space: &Space,
        log: &str,
        thread: &str,
        span: Span,
    ) -> Result<Vec<Entry>, NexusError> {
        self.call("read_thread", log).await?;
        self.inner.read_thread(space, log, thread, span).await
    }

    async fn log_len(&self, space: &Space, log: &str) -> Result<u64, NexusError> {
        self.call("log_len", log).await?;
        self.inner.log_len(space, log).await
    }

    async fn heads(&self, space: &Space, family: &str, n: usize) -> Result<Vec<(Set, Score)>, NexusError> {
        self.call("heads", family).await?;
        self.inner.heads(space, family, n).await
    }

    fn watch(&self, space: &Space) -> Hints {
        match &self.hints {
            Some(silent) => silent.watch(space),
            None => self.inner.watch(space),
        }
    }

    async fn now(&self) -> Result<Timestamp, NexusError> {
        self.call("now", "").await?;
        self.inner.now().await
    }

    async fn standing(&self) -> Result<Standing, NexusError> {
        self.call("standing", "").await?;
        let unfit = self.unfit.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Standing {
            unfit,
            ..self.inner.standing().await?
        })
    }

    async fn dump(&self, space: &Space) -> Result<Dump, NexusError> {
        self.inner.dump(space).await
    }

    async fn close(&self) -> Result<(), NexusError> {
        self.inner.close().await
    }
}
