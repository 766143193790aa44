//! The station: all of an agent process that is not an actor.
//!
//! Made before the tree and outliving every actor in it: the lock on the data directory, the run table with its fence,
//! the executor, the client, and what is known of the connection. Actors are handed the whole, read-only; what changes
//! in it guards itself.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::AgentId;
use executor::Executor;
use executor::workdir::WorkRoot;
use protocol::agents::AgentInfo;
use protocol::client::{BadUrl, Client, ClientError};
use rustix::fs::FlockOperation;
use tokio::sync::watch;

use crate::config::{Config, ConfigError};
use crate::fence::Fence;
use crate::fingerprint::{binary_digest, fingerprint};
use crate::footprint::Footprints;
use crate::run::Places;
use crate::table::{RunTable, Shape};

/// The TTL of a lease until the coordinator has said its own.
const TTL_ASSUMED: Duration = Duration::from_secs(30);

/// The code of a coordinator that does not have this agent's description.
const AGENT_UNKNOWN: &str = "agent_unknown";

/// Everything that actors of an agent share.
pub struct Station {
    /// The leases that are held, and all about them.
    pub table: Arc<RunTable>,
    /// The way to the coordinators.
    pub client: Client,
    /// Who this agent is.
    pub info: AgentInfo,
    /// What runs commands.
    pub executor: Arc<dyn Executor>,
    /// Where work directories stand.
    pub work: WorkRoot,
    /// What started runs leave for the next process.
    pub footprints: Footprints,
    /// How long running jobs may go on when the agent is told to end.
    pub drain_limit: Option<Duration>,
    _fence: Fence,
    _lock: File,
    /// What is known of the connection. Written by whoever hears from a coordinator. The last field, dropped last: who
    /// hears that it is closed knows that all of the above is gone.
    pub connection: watch::Sender<Connection>,
}

/// What is known of the connection to the coordinators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// A coordinator has the agent's description.
    pub enrolled: bool,
    /// The last request was answered.
    pub reachable: bool,
    /// How long a lease lives without a renewal.
    pub ttl: Duration,
}

/// Why an agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A coordinator's URL is none.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// Another process uses the data directory.
    #[error("another agent uses the data directory {}: give this one its own, or stop the other", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The data directory cannot be used.
    #[error("cannot use the data directory {}", path.display())]
    Data {
        /// The directory or the part of it.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The machine does not give what every process needs.
    #[error("cannot start: {what}")]
    Machine {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Station {
    /// Takes the data directory and prepares everything that actors need. Starts nothing but the fence.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(config: &Config, executor: Arc<dyn Executor>) -> Result<Arc<Self>, OpenError> {
        let resolved = config.resolve()?;
        let client = Client::new(config.coordinators.iter().cloned(), &config.join_token.0)?;
        let data = private_dir(&config.data)?;
        let lock = lock(&data)?;
        let places = Places::within(&data);
        private_dir(&places.spool)?;
        private_dir(&places.runs)?;
        let at = |path: &Path| {
            let path = path.to_owned();
            |source| OpenError::Data { path, source }
        };
        let work = WorkRoot::open(&places.work).map_err(at(&places.work))?;
        let machine = |what| move |source| OpenError::Machine { what, source };
        let binary = binary_digest().map_err(machine("read the own binary"))?;
        let id = new_id().map_err(machine("get random numbers"))?;
        let info = AgentInfo {
            id: id.clone(),
            name: config.name.clone(),
            fingerprint: fingerprint(&resolved, executor.name(), binary),
            labels: resolved.all_labels(executor.name()),
            capacity: resolved.capacity,
            slots: resolved.slots,
            executor: executor.name().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let boot = executor::boot_id().map_err(machine("read the boot id"))?;
        let footprints = Footprints::new(&places.runs, id, boot);
        let (slots, capacity) = (resolved.slots, resolved.capacity);
        let table = RunTable::new(Shape {
            slots,
            capacity,
            quota: config.once.then_some(1),
            places,
        });
        let fence = Fence::start(&table).map_err(machine("start the fence"))?;
        let connection = Connection {
            enrolled: false,
            reachable: true,
            ttl: TTL_ASSUMED,
        };
        Ok(Arc::new(Self {
            table,
            client,
            info,
            executor,
            work,
            footprints,
            connection: watch::Sender::new(connection),
            drain_limit: config.drain_limit.map(domain::Span::duration),
            _fence: fence,
            _lock: lock,
        }))
    }

    /// Notes what an answer, or the lack of one, says of the connection.
    pub(crate) fn heard<T>(&self, answer: &Result<T, ClientError>) {
        let reachable = !matches!(
            answer,
            Err(ClientError::Unreachable { .. } | ClientError::TimedOut { .. })
        );
        let unknown = answer
            .as_ref()
            .is_err_and(|error| error.code() == Some(AGENT_UNKNOWN));
        self.connect(|connection| {
            connection.reachable = reachable;
            connection.enrolled &= !unknown;
        });
    }

    /// Changes what is known of the connection, and tells those who wait for it if it is something new.
    pub(crate) fn connect(&self, change: impl FnOnce(&mut Connection)) {
        self.connection.send_if_modified(|connection| {
            let before = *connection;
            change(connection);
            *connection != before
        });
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        self.footprints.tidy_up();
    }
}

/// Makes a directory that only its owner can look into, if it is missing, and returns its full path.
fn private_dir(path: &Path) -> Result<PathBuf, OpenError> {
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .and_then(|()| path.canonicalize());
    made.map_err(|source| OpenError::Data {
        path: path.to_owned(),
        source,
    })
}

/// Takes the lock of the data directory; it is given back when the file is closed, however the process ends.
fn lock(data: &Path) -> Result<File, OpenError> {
    let path = data.join("agent.lock");
    let open = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path);
    let file = open.map_err(|source| OpenError::Data {
        path: path.clone(),
        source,
    })?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse {
            path: data.to_owned(),
        }),
        Err(errno) => Err(OpenError::Data {
            path,
            source: errno.into(),
        }),
    }
}

/// The id of this process start.
fn new_id() -> io::Result<AgentId> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let ulid = ulid::Ulid::from_parts(crate::clock::wall().as_millis(), u128::from_le_bytes(random));
    Ok(ulid
        .to_string()
        .to_lowercase()
        .parse()
        .expect("a lower-case ULID is an agent id"))
}
