//! `hiveforge coordinator`: a coordinator alone.

use std::net::SocketAddr;
use std::path::PathBuf;

use agent::Stop;
use clap::Args;
use domain::Span;

use crate::command::{Context, lease_ttl};
use crate::failure::Failure;
use crate::role::{Role, in_full, run_to_end};
use crate::signals::Signals;

/// Options of `coordinator`.
#[derive(Debug, Args)]
pub(crate) struct Coordinator {
    /// Where the truth lives: sqlite:PATH
    #[arg(long, value_name = "URL")]
    nexus: String,
    /// Address of the API; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// How long an agent may be silent before its jobs are taken from it
    #[arg(long, value_name = "DURATION", value_parser = lease_ttl::parse, default_value = "30s")]
    lease_ttl: Span,
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

async fn serve(role: Coordinator, data: PathBuf) -> Result<(), Failure> {
    let mut signals = Signals::catch()?;
    let failed = |error: &dyn std::error::Error| Failure::Role {
        role: "coordinator",
        why: in_full(error),
    };
    let nexus = role
        .nexus
        .parse()
        .map_err(|error: coordinator_tree::NotANexus| Failure::BadConfig {
            role: "coordinator",
            why: in_full(&error),
        })?;
    let config = coordinator_tree::Config {
        nexus,
        listen: role.listen,
        data,
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
