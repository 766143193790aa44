//! `hiveforge job logs`: what an attempt wrote, now or until the job has ended.

use std::io::{self, Write as _};

use clap::{Args, ValueEnum};
use domain::JobId;
use protocol::client::{Client, Options};
use protocol::frame::Stream;
use protocol::jobs::JobView;

use crate::blobs::STALL_MAX;
use crate::failure::Failure;
use crate::follow::{self, Route, Screen, attempt_log};
use crate::output;

/// Options of `job logs`.
#[derive(Debug, Args)]
pub(super) struct Logs {
    /// The job
    job: JobId,
    /// The attempt [default: the newest]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    attempt: Option<u32>,
    /// Follow until the job has ended
    #[arg(short, long)]
    follow: bool,
    /// Only this stream
    #[arg(long, value_enum)]
    stream: Option<Only>,
}

/// A stream of the job.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Only {
    /// Standard output
    Stdout,
    /// Standard error
    Stderr,
}

impl Only {
    const fn stream(self) -> Stream {
        match self {
            Self::Stdout => Stream::Stdout,
            Self::Stderr => Stream::Stderr,
        }
    }

    const fn query(self) -> &'static str {
        match self {
            Self::Stdout => "?stream=stdout",
            Self::Stderr => "?stream=stderr",
        }
    }
}

impl Logs {
    /// Prints the log.
    ///
    /// # Errors
    /// The coordinator refuses or cannot be reached, or the output cannot be written.
    pub(super) async fn run(self, client: &Client) -> Result<(), Failure> {
        if self.follow {
            return self.follow(client).await;
        }
        let attempt = match self.attempt {
            Some(attempt) => attempt,
            None => newest(client, &self.job).await?,
        };
        if attempt == 0 {
            output::note(&format!("{} has not started yet; -f waits for it", self.job));
            return Ok(());
        }
        let query = self.stream.map_or("", Only::query);
        let path = format!("/v1/jobs/{}/attempts/{attempt}/log{query}", self.job);
        let mut reply = client.stream(&path, "text/plain", Options::default()).await?;
        let mut stdout = io::stdout();
        while let Some(piece) = reply.piece(STALL_MAX).await? {
            stdout
                .write_all(&piece)
                .and_then(|()| stdout.flush())
                .map_err(Failure::output)?;
        }
        Ok(())
    }

    async fn follow(&self, client: &Client) -> Result<(), Failure> {
        let route = self
            .stream
            .map_or(Route::Together, |only| Route::Only(only.stream()));
        let mut screen = Screen::of_process(route);
        let gone = screen.reader_gone();
        let following = async {
            match self.attempt {
                Some(attempt) => attempt_log(client, &self.job, attempt, &mut screen).await,
                None => {
                    let first = newest(client, &self.job).await?.max(1);
                    follow::to_the_end(client, &self.job, first, &mut screen)
                        .await
                        .map(drop)
                }
            }
        };
        tokio::select! {
            end = following => end,
            () = gone.notified() => Err(Failure::ReaderGone),
        }
    }
}

async fn newest(client: &Client, job: &JobId) -> Result<u32, Failure> {
    let view: JobView = client.get(&format!("/v1/jobs/{job}"), Options::default()).await?;
    Ok(view.attempt)
}
