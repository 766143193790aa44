//! `hiveforge up`: everything on this machine.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::command::Context;
use crate::failure::Failure;
use crate::output;
use crate::role::{Signals, in_full, until_ended};

/// Options of `up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Address of the API; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4711")]
    listen: SocketAddr,
    /// Jobs that the agent runs at once [default: one for each cpu]
    #[arg(long, value_name = "N")]
    slots: Option<usize>,
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
        coordinator: coordinator::Config::default(),
    };
    let started = up::start(config).await;
    let mut running = started.map_err(|error| Failure::Role { role: "up", why: in_full(&error) })?;
    output::note(&format!("up at http://{}, data in {}", running.address(), data.display()));
    output::note("try: hiveforge run -- echo hello");
    let ended = until_ended(&mut running, &mut signals).await;
    running.close().await;
    ended
}
