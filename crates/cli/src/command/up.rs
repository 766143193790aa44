//! `hiveforge up`: everything on this machine.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use domain::Span;

use crate::command::{Context, lease_ttl};
use crate::failure::Failure;
use crate::output;
use crate::role::{in_full, run_to_end};
use crate::signals::Signals;

/// Options of `up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Address of the API; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4711")]
    listen: SocketAddr,
    /// Jobs that the agent runs at once [default: one for each cpu]
    #[arg(long, value_name = "N")]
    slots: Option<usize>,
    /// How long an agent may be silent before its jobs are taken from it
    #[arg(long, value_name = "DURATION", value_parser = lease_ttl::parse, default_value = "30s")]
    lease_ttl: Span,
}

impl Up {
    /// Runs until SIGINT or SIGTERM.
    ///
    /// # Errors
    /// It cannot start, or a tree gave up.
    pub(crate) async fn run(self, ctx: &Context) -> Result<(), Failure> {
        serve(self, ctx.data_dir()?).await
    }
}

async fn serve(up: Up, data: PathBuf) -> Result<(), Failure> {
    let mut signals = Signals::catch()?;
    let config = up::Config {
        data: data.clone(),
        listen: up.listen,
        slots: up.slots,
        coordinator: coordinator::Config {
            lease_ttl: up.lease_ttl.duration(),
        },
    };
    let started = up::start(config).await;
    let running = started.map_err(|error| Failure::Role {
        role: "up",
        why: in_full(&error),
    })?;
    output::note(&format!(
        "up at http://{}, data in {}",
        running.address(),
        data.display()
    ));
    output::note("try: hiveforge run -- echo hello");
    run_to_end(running, &mut signals).await
}
