//! One lease that the agent holds, and what belongs to it from the first moment to the last.
//!
//! Everything here is fixed when the lease arrives, except the log that grows in its spool. How far the run has come
//! is in the table (`table::Phase`), so that it can be read together with the slots.

use std::path::{Path, PathBuf};
use std::sync::{self, Arc, OnceLock};
use std::time::Duration;

use domain::{JobSpec, Lane};
use protocol::leases::{Held, Lease, Proof};
use tokio::sync::{Mutex, Notify};

use crate::site::Site;
use crate::spool::Spool;

/// A held lease.
#[derive(Debug)]
pub struct Run {
    /// The job and the attempt.
    pub held: Held,
    /// The job and the lease's token.
    pub proof: Proof,
    /// The lane that the job came from.
    pub lane: Lane,
    /// How long the lease lives without a renewal.
    pub ttl: Duration,
    /// What to run.
    pub spec: JobSpec,
    /// The work directory, once it was made.
    pub(crate) workdir: OnceLock<PathBuf>,
    /// Who may make or remove that directory.
    pub(crate) site: Site,
    /// What it wrote.
    pub spool: Spool,
    /// Held by whoever drains its output, also by one that comes late: a drain may last as long as a disk stands still,
    /// and the command cannot even be looked at meanwhile without blocking a thread.
    pub(crate) draining: Arc<Mutex<()>>,
    /// Rung when somebody wants something of the run: that it ends, or that its deadline is looked at again.
    pub(crate) wake: Notify,
    /// Rung when the coordinator has more of the log.
    pub(crate) shipped: Notify,
    /// The file that tells a later process of this run, while there is one. Looked at by whoever writes it.
    pub(crate) footprint: sync::Mutex<Option<usize>>,
}

/// Where the parts of an agent's data directory are.
#[derive(Debug, Clone)]
pub struct Places {
    /// Work directories of attempts.
    pub work: PathBuf,
    /// Large logs.
    pub spool: PathBuf,
    /// What a later process has to know of started runs.
    pub runs: PathBuf,
}

impl Places {
    /// The parts of the data directory `data`, which is absolute.
    pub fn within(data: &Path) -> Self {
        Self {
            work: data.join("work"),
            spool: data.join("spool"),
            runs: data.join("runs"),
        }
    }
}

impl Run {
    /// The run of a lease that has just arrived.
    pub fn new(lease: Lease, places: &Places) -> Self {
        let Lease {
            job,
            attempt,
            token,
            lane,
            ttl_ms,
            cancel: _,
            spec,
        } = lease;
        let spool = Spool::new(places.spool.join(format!("{job}.{attempt}")), spec.log_limit());
        Self {
            workdir: OnceLock::new(),
            site: Site::default(),
            held: Held {
                job: job.clone(),
                attempt,
            },
            proof: Proof { job, token },
            lane,
            ttl: Duration::from_millis(ttl_ms),
            spec,
            spool,
            draining: Arc::default(),
            wake: Notify::new(),
            shipped: Notify::new(),
            footprint: sync::Mutex::new(None),
        }
    }
}
