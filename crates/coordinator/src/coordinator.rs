//! The wiring that actors and handlers share: the ledger, the vault, keys, handles and signals. No truth, no loop.

use std::sync::Arc;
use std::time::Duration;

use ledger::{Ledger, LedgerError};
use mesh::Link;
use supervision::Handle;
use tokio::sync::watch;
use vault::Vault;

use crate::access::Access;
use crate::agents_seen::AgentsSeen;
use crate::connections::Connections;
use crate::dispatch;
use crate::inspection::in_full;
use crate::intake;
use crate::lease_seal::LeaseSeal;
use crate::metrics::Metrics;
use crate::offers::Offers;
use crate::refusals::Refusals;
use crate::signals::{Health, Signals};
use crate::trees::{ObservedTree, Trees};

/// Claims that may wait for dispatch at once; more are answered 429.
const DISPATCH_MAILBOX: usize = 4_096;
/// Submits that may wait for intake at once; more are answered 429.
const INTAKE_MAILBOX: usize = 1_024;

/// How long one call to the nexus may take. One that hangs longer is an outage, and answered as such to whoever waits.
pub const NEXUS_CALL_MAX: Duration = Duration::from_secs(10);
/// How long one message may keep an actor busy with the nexus, however many calls that takes: well below the time after
/// which a handler counts as crashed. What is not done by then is done at the next tick.
pub(crate) const NEXUS_WORK_MAX: Duration = Duration::from_secs(15);

/// What an operator may set.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long a lease lives without a renewal.
    pub lease_ttl: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lease_ttl: Duration::from_secs(30),
        }
    }
}

/// What the composition root provides.
pub struct Parts {
    /// The pool's ledger.
    pub ledger: Ledger,
    /// Inputs, artifacts and logs.
    pub vault: Vault,
    /// Who may do what.
    pub access: Access,
    /// Makes and checks lease tokens.
    pub seal: LeaseSeal,
    /// Settings.
    pub config: Config,
    /// The trees of this process, its own and those beside it, to be looked at.
    pub trees: Vec<ObservedTree>,
    /// The way to the other coordinators, if there is a mesh.
    pub link: Option<Link>,
}

/// A coordinator's shared wiring.
pub struct Coordinator {
    pub(crate) ledger: Ledger,
    pub(crate) vault: Vault,
    pub(crate) access: Access,
    /// Makes and checks lease tokens with the key that the nexus holds.
    seal: watch::Sender<LeaseSeal>,
    /// The nexus may be used only once everybody who uses it agrees on what it is.
    pub(crate) agrees: bool,
    pub(crate) config: Config,
    pub(crate) signals: Signals,
    pub(crate) agents: AgentsSeen,
    pub(crate) offers: Offers,
    pub(crate) metrics: Metrics,
    pub(crate) trees: Trees,
    /// Advice only: whatever has to be right, is without it.
    pub(crate) link: Option<Link>,
    pub(crate) refusals: Refusals,
    pub(crate) intake: Handle<intake::Msg>,
    pub(crate) dispatch: Handle<dispatch::Msg>,
    /// Connections outlive the actor that accepts them.
    pub connections: Connections,
}

impl Coordinator {
    /// Wires the parts together. Nothing runs yet. Nexus and vault stay untouched until an inspection has passed, which
    /// replaces the key of `parts.seal` by the nexus's, if it has one.
    pub fn new(parts: Parts) -> Arc<Self> {
        Self::wired(parts, true)
    }

    /// The same over a nexus that is this coordinator's own, as tests have it: nothing is to be agreed on.
    pub fn over_its_own(parts: Parts) -> Arc<Self> {
        Self::wired(parts, false)
    }

    fn wired(parts: Parts, agrees: bool) -> Arc<Self> {
        let Parts {
            ledger,
            vault,
            access,
            seal,
            config,
            trees,
            link,
        } = parts;
        let trees = Trees::new(trees);
        let signals = Signals::new(!agrees);
        Arc::new(Self {
            ledger: ledger.with_call_limit(NEXUS_CALL_MAX),
            vault,
            access,
            seal: watch::Sender::new(seal),
            agrees,
            config,
            agents: AgentsSeen::new(),
            offers: Offers::new(),
            metrics: Metrics::new(&trees, signals.watch_nexus(), link.as_ref()),
            signals,
            trees,
            link,
            refusals: Refusals::new(),
            intake: Handle::new("intake", INTAKE_MAILBOX),
            dispatch: Handle::new("dispatch", DISPATCH_MAILBOX),
            connections: Connections::new(),
        })
    }

    /// Makes and checks lease tokens.
    pub(crate) fn seal(&self) -> LeaseSeal {
        self.seal.borrow().clone()
    }

    pub(crate) fn set_seal(&self, seal: LeaseSeal) {
        self.seal.send_replace(seal);
    }

    /// Logs that a duty failed. While the nexus is known not to answer that is no news: one line for an outage is enough.
    pub(crate) fn complain(&self, what: &str, error: &LedgerError) {
        let why = in_full(error);
        match self.signals.health() {
            Health::Down(_) => tracing::debug!("{what}: {why}"),
            Health::Unknown | Health::Up | Health::Refused(_) => tracing::warn!("{what}: {why}"),
        }
    }

    /// Does an actor's work with the nexus, or as much of it as can be done in [`NEXUS_WORK_MAX`]. What was committed
    /// stays committed.
    pub(crate) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, LedgerError>>,
    ) -> Result<T, LedgerError> {
        let done = tokio::time::timeout(NEXUS_WORK_MAX, work).await;
        done.unwrap_or_else(|_| Err(LedgerError::no_answer(NEXUS_WORK_MAX)))
    }
}
