//! The station: all of an agent process that is not an actor.
//!
//! Made before the tree and outliving every actor in it: the lock on the data directory, the run table with its fence,
//! the executor, the client, and what is known of the connection. Actors are handed the whole, read-only; what changes
//! in it guards itself.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::AgentId;
use executor::Executor;
use executor::workdir::WorkRoot;
use protocol::agents::AgentInfo;
use protocol::client::{BadUrl, Client, ClientError};
use rustix::fs::FlockOperation;
use tokio::sync::watch;

use crate::blocking::blocking;
use crate::config::{Config, ConfigError};
use crate::era::Era;
use crate::fence::Fence;
use crate::fingerprint::{binary_digest, fingerprint};
use crate::footprint::Footprints;
use crate::run::Places;
use crate::table::{RunTable, Shape};

/// The TTL of a lease until the coordinator has said its own.
const TTL_ASSUMED: Duration = Duration::from_secs(30);

/// The longest time that a coordinator at which a request is parked is not asked whether it is there. Thousands of agents
/// have requests parked, so this times their number is a load; whoever has something to say watches more closely.
const WATCH_EVERY_MAX: Duration = Duration::from_secs(5);
/// It is this part of a lease's life at most: a lease that was granted in a reply that is lost must be asked for in time.
const WATCH_PART: u32 = 6;

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
    /// Which life of the nexus the coordinators talk to. Written by two actors in turn, for a comparison.
    pub(crate) era: Mutex<Era>,
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
            agent: info.id.clone(),
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
            era: Mutex::default(),
            connection: watch::Sender::new(connection),
            drain_limit: config.drain_limit.map(domain::Span::duration),
            _fence: fence,
            _lock: lock,
        }))
    }

    /// The same on a thread of its own: it may wait for the data directory, and reads the whole binary.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open_apart(config: &Config, executor: Arc<dyn Executor>) -> Result<Arc<Self>, OpenError> {
        let config = config.clone();
        blocking(move || Self::open(&config, executor)).await
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

    /// How often a coordinator at which a request is parked is asked whether it is there.
    pub(crate) fn watch_every(&self) -> Duration {
        (self.connection.borrow().ttl / WATCH_PART).min(WATCH_EVERY_MAX)
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

/// How long the lock of the data directory is waited for. A predecessor that was killed while it started a command has it
/// until that command has begun, for only then are the descriptors that it inherited closed.
const HANDOVER_MAX: Duration = Duration::from_secs(2);
/// Time between two tries.
const RETRY_AFTER: Duration = Duration::from_millis(10);

/// Takes the lock of the data directory, within [`HANDOVER_MAX`]; it is given back when the file is closed, however the
/// process ends.
#[expect(
    clippy::disallowed_methods,
    reason = "no actor runs yet, and the kernel does not wait for a lock with a limit"
)]
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
    let deadline = std::time::Instant::now() + HANDOVER_MAX;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if std::time::Instant::now() < deadline => {
                std::thread::sleep(RETRY_AFTER);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let path = data.to_owned();
                return Err(OpenError::InUse { path });
            }
            Err(errno) => {
                let source = errno.into();
                return Err(OpenError::Data { path, source });
            }
        }
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
