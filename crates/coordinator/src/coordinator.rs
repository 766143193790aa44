//! The wiring that actors and handlers share: the ledger, the vault, keys, handles and signals. No truth, no loop.

use std::sync::Arc;
use std::time::Duration;

use ledger::{Ledger, LedgerError};
use supervision::Handle;
use vault::Vault;

use crate::access::Access;
use crate::agents_seen::AgentsSeen;
use crate::connections::Connections;
use crate::dispatch;
use crate::intake;
use crate::lease_seal::LeaseSeal;
use crate::metrics::Metrics;
use crate::refusals::Refusals;
use crate::signals::Signals;
use crate::trees::{ObservedTree, Trees};
use crate::undelivered::Undelivered;

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
}

/// A coordinator's shared wiring.
pub struct Coordinator {
    pub(crate) ledger: Ledger,
    pub(crate) vault: Vault,
    pub(crate) access: Access,
    pub(crate) seal: LeaseSeal,
    pub(crate) config: Config,
    pub(crate) signals: Signals,
    pub(crate) agents: AgentsSeen,
    pub(crate) metrics: Metrics,
    pub(crate) trees: Trees,
    pub(crate) refusals: Refusals,
    pub(crate) undelivered: Undelivered,
    pub(crate) intake: Handle<intake::Msg>,
    pub(crate) dispatch: Handle<dispatch::Msg>,
    /// Connections outlive the actor that accepts them.
    pub connections: Connections,
}

impl Coordinator {
    /// Wires the parts together. Nothing runs yet.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts {
            ledger,
            vault,
            access,
            seal,
            config,
            trees,
        } = parts;
        let trees = Trees::new(trees);
        Arc::new(Self {
            ledger: ledger.with_call_limit(NEXUS_CALL_MAX),
            vault,
            access,
            seal,
            config,
            signals: Signals::new(),
            agents: AgentsSeen::new(),
            metrics: Metrics::new(&trees),
            trees,
            refusals: Refusals::new(),
            undelivered: Undelivered::new(),
            intake: Handle::new("intake", INTAKE_MAILBOX),
            dispatch: Handle::new("dispatch", DISPATCH_MAILBOX),
            connections: Connections::new(),
        })
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
