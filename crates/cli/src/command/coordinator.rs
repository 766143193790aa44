//! `hiveforge coordinator`: a coordinator alone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use domain::Span;

use crate::command::{Context, lease_ttl};
use crate::failure::Failure;
use crate::role::in_full;
use crate::signals::Signals;

/// How long the actors may take to stop.
const STOP_MAX: Duration = Duration::from_secs(10);

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
    let gave_up = tokio::select! {
        exit = running.exited() => Some(exit),
        () = signals.next() => None,
    };
    running.stop(STOP_MAX).await;
    match gave_up {
        Some(exit) => Err(Failure::Role {
            role: "coordinator",
            why: exit.to_string(),
        }),
        None => Ok(()),
    }
}
