//! `hiveforge coordinator`: a coordinator alone.

mod link;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use agent::Stop;
use clap::Args;
use domain::Span;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::link::Link;
use crate::command::{Context, lease_ttl};
use crate::failure::Failure;
use crate::role::{Role, in_full, run_to_end};
use crate::signals::Signals;

/// Options of `coordinator`.
#[derive(Debug, Args)]
pub(crate) struct Coordinator {
    /// Where the truth lives: sqlite:PATH, redis://[USER@]HOST[:PORT], redis+sentinel://HOST,HOST/SERVICE or
    /// redis+cluster://HOST,HOST; rediss for TLS
    #[arg(long, value_name = "URL", env = "HIVEFORGE_NEXUS", hide_env_values = true)]
    nexus: String,
    /// Address of the API; port 0 takes a free one
    #[arg(long, value_name = "ADDR", env = "HIVEFORGE_LISTEN", hide_env_values = true)]
    listen: SocketAddr,
    /// How long an agent may be silent before its jobs are taken from it
    #[arg(long, value_name = "DURATION", value_parser = lease_ttl::parse, default_value = "30s")]
    lease_ttl: Span,
    #[command(flatten)]
    redis: Redis,
    #[command(flatten)]
    shared: Shared,
    #[command(flatten)]
    link: Link,
}

/// How a Redis is reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "Redis")]
struct Redis {
    /// File that holds the password
    #[arg(
        long,
        value_name = "FILE",
        env = "HIVEFORGE_NEXUS_PASSWORD_FILE",
        hide_env_values = true
    )]
    nexus_password_file: Option<PathBuf>,
    /// File with the authorities that vouch for the servers, in PEM; needed for rediss
    #[arg(
        long,
        value_name = "FILE",
        env = "HIVEFORGE_NEXUS_CA_FILE",
        hide_env_values = true
    )]
    nexus_ca_file: Option<PathBuf>,
    /// File with the certificate to show, in PEM
    #[arg(
        long,
        value_name = "FILE",
        env = "HIVEFORGE_NEXUS_CERT_FILE",
        hide_env_values = true
    )]
    nexus_cert_file: Option<PathBuf>,
    /// File with its key, in PEM
    #[arg(
        long,
        value_name = "FILE",
        env = "HIVEFORGE_NEXUS_KEY_FILE",
        hide_env_values = true
    )]
    nexus_key_file: Option<PathBuf>,
    /// Replicas that must have a submit or a finish before it is acknowledged [default: 1 where there is any]
    #[arg(
        long,
        value_name = "N",
        env = "HIVEFORGE_NEXUS_REPLICAS",
        hide_env_values = true
    )]
    nexus_replicas: Option<u32>,
    /// How long to wait for them; what falls short is acknowledged all the same, and counted [default: 500ms]
    #[arg(long, value_name = "DURATION", value_parser = replicas_wait)]
    nexus_replicas_wait: Option<Span>,
}

/// What the coordinators of one nexus share, where they do not share a data directory.
#[derive(Debug, Args)]
#[command(next_help_heading = "Shared by the coordinators of one nexus")]
struct Shared {
    /// Directory of the vault [default: vault in the data directory]
    #[arg(long, value_name = "DIR", env = "HIVEFORGE_VAULT", hide_env_values = true)]
    vault: Option<PathBuf>,
    /// File that holds the admin token [default: admin.token in the data directory, made there]
    #[arg(
        long,
        value_name = "FILE",
        env = "HIVEFORGE_ADMIN_TOKEN_FILE",
        hide_env_values = true
    )]
    admin_token_file: Option<PathBuf>,
    /// File that holds the join token [default: join.token in the data directory, made there]
    #[arg(
        long,
        value_name = "FILE",
        env = "HIVEFORGE_JOIN_TOKEN_FILE",
        hide_env_values = true
    )]
    join_token_file: Option<PathBuf>,
}

/// How long replicas may be waited for: well below the time after which a call to the nexus counts as unanswered.
const REPLICAS_WAIT: RangeInclusive<Span> = Span::from_millis(10)..=Span::from_secs(5);

/// A time for which no replica is waited for.
#[derive(Debug, thiserror::Error)]
enum BadReplicasWait {
    /// It is no time.
    #[error(transparent)]
    NoSpan(#[from] domain::units::BadQuantity),
    /// It is too short or too long.
    #[error("replicas are waited for {} to {}", REPLICAS_WAIT.start(), REPLICAS_WAIT.end())]
    OutOfRange,
}

fn replicas_wait(text: &str) -> Result<Span, BadReplicasWait> {
    let span = text.parse()?;
    match REPLICAS_WAIT.contains(&span) {
        true => Ok(span),
        false => Err(BadReplicasWait::OutOfRange),
    }
}

impl Coordinator {
    /// Runs until SIGINT or SIGTERM.
    ///
    /// # Errors
    /// It cannot start, or its tree gave up.
    pub(crate) async fn run(self, ctx: &Context) -> Result<(), Failure> {
        serve(self, ctx.data_dir()?).await
    }
}

/// Lets this process have as many files open as it may: an idle agent has two connections, and the usual soft limit of 1,024 is
/// there for programs that wait with `select`, which this one does not. Nothing that it starts could inherit it.
fn allow_connections() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, limit = ?limit.current, "the number of connections stays limited by that of open files");
    }
}

async fn serve(role: Coordinator, data: PathBuf) -> Result<(), Failure> {
    allow_connections();
    let mut signals = Signals::catch()?;
    let failed = |error: &dyn std::error::Error| Failure::Role {
        role: "coordinator",
        why: in_full(error),
    };
    let url = role
        .nexus
        .parse()
        .map_err(|error: coordinator_tree::NotANexus| Failure::BadConfig {
            role: "coordinator",
            why: in_full(&error),
        })?;
    let config = coordinator_tree::Config {
        nexus: coordinator_tree::NexusConfig {
            url,
            password_file: role.redis.nexus_password_file,
            ca_file: role.redis.nexus_ca_file,
            cert_file: role.redis.nexus_cert_file,
            key_file: role.redis.nexus_key_file,
            replicas: role.redis.nexus_replicas,
            replicas_wait_max: role.redis.nexus_replicas_wait.map(|span| span.duration()),
        },
        listen: role.listen,
        data,
        vault: role.shared.vault,
        admin_token_file: role.shared.admin_token_file,
        join_token_file: role.shared.join_token_file,
        mesh: role.link.config(),
        coordinator: coordinator::Config {
            lease_ttl: role.lease_ttl.duration(),
        },
    };
    let running = coordinator_tree::start(config)
        .await
        .map_err(|error| failed(&error))?;
    let alone = Alone {
        running,
        told: Stop::No,
    };
    run_to_end(alone, &mut signals).await
}

/// A coordinator that is the whole process.
struct Alone {
    running: coordinator_tree::Running,
    told: Stop,
}

impl Role for Alone {
    const NAME: &'static str = "coordinator";
    const DRAINS: &'static str =
        "stopping once the requests under way have ended; a second signal cuts them off";

    fn stop(&mut self, stop: Stop) {
        self.told = stop;
    }

    /// There is nothing to wait for: what a coordinator ends with is its close.
    async fn wait(&mut self) -> Result<(), String> {
        match self.told {
            Stop::No => Err(self.running.exited().await.to_string()),
            Stop::Drain | Stop::Now => Ok(()),
        }
    }

    async fn close(self, hurry: impl Future<Output = ()> + Send) {
        for path in self.running.stop(hurry).await {
            tracing::error!(%path, "an actor does not end");
        }
    }
}
