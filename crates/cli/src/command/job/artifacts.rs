//! `hiveforge job artifacts`: what an attempt left, as a list or as files.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use clap::Args;
use domain::JobId;
use indicatif::ProgressBar;
use protocol::client::{Client, Options};
use protocol::jobs::{Artifact, ArtifactList, JobView};
use serde_json::value::RawValue;

use crate::blobs;
use crate::command::job::beneath::Beneath;
use crate::escape;
use crate::failure::Failure;
use crate::output::{self, OutputArgs};

/// Options of `job artifacts`.
#[derive(Debug, Args)]
pub(super) struct Artifacts {
    /// The job
    job: JobId,
    /// The attempt [default: the newest]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    attempt: Option<u32>,
    /// Write them beneath this directory
    #[arg(long, value_name = "DIR")]
    download: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

impl Artifacts {
    /// Downloads the artifacts if asked to, then lists them.
    ///
    /// # Errors
    /// The coordinator refuses, a file cannot be written, or an artifact would leave the directory.
    pub(super) async fn run(self, client: &Client) -> Result<(), Failure> {
        let attempt = match self.attempt {
            Some(attempt) => attempt,
            None => {
                client
                    .get::<JobView>(&format!("/v1/jobs/{}", self.job), Options::default())
                    .await?
                    .attempt
            }
        };
        if attempt == 0 {
            output::note(&format!("{} has not started yet", self.job));
            return Ok(());
        }
        let place = format!("/v1/jobs/{}/attempts/{attempt}/artifacts", self.job);
        let reply: Box<RawValue> = client.get(&place, Options::default()).await?;
        if let Some(directory) = &self.download {
            let list: ArtifactList = output::read(&reply)?;
            download(client, &place, &list.items, &Beneath::open(directory)?).await?;
        }
        output::print_list(self.output.format, &reply, |list: ArtifactList| {
            output::table(&["SIZE", "DIGEST", "PATH"], list.items.iter().map(row))
        })
    }
}

async fn download(client: &Client, place: &str, items: &[Artifact], into: &Beneath) -> Result<(), Failure> {
    let bar = if io::stderr().is_terminal() {
        ProgressBar::new(items.len() as u64).with_message("downloading artifacts")
    } else {
        ProgressBar::hidden()
    };
    for artifact in items {
        let path = format!("{place}/{}", escape::path(&artifact.path));
        let mut pending = into.begin(&artifact.path, artifact.executable)?;
        blobs::download(client, &path, artifact.digest, pending.file()).await?;
        pending.put_in_place()?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

fn row(artifact: &Artifact) -> Vec<String> {
    vec![
        output::size(artifact.size),
        artifact.digest.to_string(),
        artifact.path.clone(),
    ]
}
