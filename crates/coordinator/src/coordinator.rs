//! The wiring that actors and handlers share: the ledger, the vault, keys, handles and signals. No truth, no loop.

use std::sync::Arc;
use std::time::Duration;

use ledger::Ledger;
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

/// Claims that may wait for dispatch at once; more are answered 429.
const DISPATCH_MAILBOX: usize = 4_096;
/// Submits that may wait for intake at once; more are answered 429.
const INTAKE_MAILBOX: usize = 1_024;

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
    pub(crate) refusals: Refusals,
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
        } = parts;
        Arc::new(Self {
            ledger,
            vault,
            access,
            seal,
            config,
            signals: Signals::new(),
            agents: AgentsSeen::new(),
            metrics: Metrics::new(),
            refusals: Refusals::new(),
            intake: Handle::new("intake", INTAKE_MAILBOX),
            dispatch: Handle::new("dispatch", DISPATCH_MAILBOX),
            connections: Connections::new(),
        })
    }
}
