//! `hiveforge observer`: the live actors of a coordinator's process, and of its peers' in the mesh.
//!
//! On a terminal it is a view that refreshes itself ([`live`]); elsewhere, and with `--once`, a table of one reading.
//! Both draw the same [`rows`].

mod drawing;
mod live;
mod rows;
mod view;

use std::io::IsTerminal as _;

use clap::Args;
use domain::Span;
use protocol::client::{Client, ClientError, Options};
use protocol::observer::Reading;
use serde::de::DeserializeOwned;

use self::rows::{Row, peer_line, rows};
use crate::cli::Connection;
use crate::command::Context;
use crate::escape;
use crate::failure::Failure;
use crate::output::{self, Format, OutputArgs, STATE_COLUMN};

/// Options of `observer`.
#[derive(Debug, Args)]
pub(crate) struct Observer {
    #[command(flatten)]
    connection: Connection,
    /// Only the actor at this path and what is under it, e.g. agent/runs
    #[arg(long, value_name = "PATH")]
    under: Option<String>,
    /// Only the coordinator that answers, not its peers in the mesh
    #[arg(long)]
    alone: bool,
    /// Print one reading and exit; so it is without a terminal
    #[arg(long)]
    once: bool,
    /// Time between two readings
    #[arg(long, value_name = "DURATION", value_parser = interval, default_value = "1s")]
    every: Span,
    #[command(flatten)]
    output: OutputArgs,
}

/// The shortest time between two readings: each costs the coordinator a pass over its actors.
const EVERY_MIN: Span = Span::from_millis(100);

/// A time that cannot lie between two readings.
#[derive(Debug, thiserror::Error)]
enum BadInterval {
    /// It is no time.
    #[error(transparent)]
    NoSpan(#[from] domain::units::BadQuantity),
    /// It is too short.
    #[error("at least {EVERY_MIN} between two readings")]
    TooShort,
}

fn interval(text: &str) -> Result<Span, BadInterval> {
    let span: Span = text.parse()?;
    if span < EVERY_MIN {
        return Err(BadInterval::TooShort);
    }
    Ok(span)
}

impl Observer {
    /// Shows the actors, once or until told to quit.
    ///
    /// # Errors
    /// The coordinator refuses, or cannot be reached for the first reading.
    pub(crate) async fn run(self, ctx: &Context) -> Result<(), Failure> {
        let source = Source::new(ctx.connect(&self.connection)?, self.under.as_deref(), self.alone);
        let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        if is_terminal && !self.once && self.output.format == Format::Table {
            return live::run(&source, self.every.duration()).await;
        }
        let reply: Box<serde_json::value::RawValue> = source.read().await?;
        output::print_object(self.output.format, &reply, |reading| table(&reading))
    }
}

/// Where readings come from.
struct Source {
    client: Client,
    path: String,
}

impl Source {
    fn new(client: Client, under: Option<&str>, alone: bool) -> Self {
        let under = under.map(|under| format!("under={}", escape::path(under)));
        let alone = alone.then(|| "alone=true".to_owned());
        let query: Vec<String> = under.into_iter().chain(alone).collect();
        let path = match query.as_slice() {
            [] => "/v1/observer/tree".to_owned(),
            query => format!("/v1/observer/tree?{}", query.join("&")),
        };
        Self { client, path }
    }

    async fn read<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        let options = Options::default().timeout(live::READING_MAX);
        self.client.get(&self.path, options).await
    }
}

/// One reading for people. Without an earlier one there are counts instead of rates.
fn table(reading: &Reading) -> String {
    let header = [
        "ACTOR",
        STATE_COLUMN,
        "LIFE",
        "RESTARTS",
        "BUSY",
        "QUEUE",
        "WAIT P50",
        "WAIT P99",
        "HANDLED",
        "LAST EXIT",
    ];
    let line = |row: Row| {
        vec![
            format!("{}{}", "  ".repeat(row.depth), row.name),
            row.state.as_str().to_owned(),
            row.life.to_string(),
            row.restarts,
            row.busy,
            row.queue,
            row.p50,
            row.p99,
            row.handled.to_string(),
            row.last_exit,
        ]
    };
    let peers: String = reading
        .peers
        .iter()
        .map(|peer| format!("{}\n", peer_line(peer)))
        .collect();
    let mut text = peers + &output::table(&header, rows(None, reading, "").into_iter().map(line));
    if reading.truncated || reading.peers.iter().any(|peer| peer.truncated) {
        text.push_str("and more; --under PATH shows a part\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reading_is_a_table() {
        insta::assert_snapshot!(anstream::adapter::strip_str(&table(&rows::sample::second())));
    }

    #[test]
    fn one_reading_of_a_cluster_says_first_how_the_peers_are() {
        insta::assert_snapshot!(anstream::adapter::strip_str(
            &table(&rows::sample::of_a_cluster())
        ));
    }

    #[test]
    fn readings_are_not_taken_faster_than_they_are_worth() {
        assert_eq!(interval("100ms").unwrap(), EVERY_MIN);
        let refused = interval("99ms").unwrap_err().to_string();
        assert_eq!(refused, "at least 100ms between two readings");
    }
}
