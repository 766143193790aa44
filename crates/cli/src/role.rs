//! How a role runs and ends: it is told once to drain, told twice to end at once, and its log says which.

use std::future::Future;

use agent::Stop;
use supervision::Exit;

use crate::failure::Failure;
use crate::signals::Signals;

/// Something that runs until it is told to end.
pub(crate) trait Role {
    /// Its name in messages.
    const NAME: &'static str;

    /// Tells it to end; returns at once.
    fn stop(&self, stop: Stop);

    /// Waits until it has ended as it was told.
    fn wait(&mut self) -> impl Future<Output = Result<(), Exit>> + Send;
}

/// Runs a role until it has ended: by itself, or told by signals.
///
/// # Errors
/// A tree gave up; the words say which actor failed, how often and why.
pub(crate) async fn until_ended<R: Role>(role: &mut R, signals: &mut Signals) -> Result<(), Failure> {
    let told = [
        (
            Stop::Drain,
            "stopping once running jobs have ended; a second signal kills them",
        ),
        (Stop::Now, "stopping now"),
    ];
    let mut stops = told.into_iter();
    loop {
        let ended = tokio::select! {
            ended = role.wait() => Some(ended),
            () = signals.next() => None,
        };
        match (ended, stops.next()) {
            (Some(ended), _) => {
                return ended.map_err(|exit| Failure::Role {
                    role: R::NAME,
                    why: exit.to_string(),
                });
            }
            (None, Some((stop, words))) => {
                tracing::info!("{words}");
                role.stop(stop);
            }
            (None, None) => {}
        }
    }
}

impl Role for agent_tree::Running {
    const NAME: &'static str = "agent";

    fn stop(&self, stop: Stop) {
        Self::stop(self, stop);
    }

    async fn wait(&mut self) -> Result<(), Exit> {
        Self::wait(self).await
    }
}

impl Role for up::Running {
    const NAME: &'static str = "up";

    fn stop(&self, stop: Stop) {
        Self::stop(self, stop);
    }

    async fn wait(&mut self) -> Result<(), Exit> {
        Self::wait(self).await
    }
}

/// The words of an error and of all that it comes from.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        source = cause.source();
    }
    words
}
