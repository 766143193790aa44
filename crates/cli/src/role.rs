//! How a role runs and ends: it is told once to drain, told twice to end at once, and its log says which.

use agent::Stop;

use crate::failure::Failure;
use crate::signals::Signals;

/// Something that runs until it is told to end.
pub(crate) trait Role {
    /// Its name in messages.
    const NAME: &'static str;
    /// What it says when it is told to drain.
    const DRAINS: &'static str = "stopping once running jobs have ended; a second signal kills them";

    /// Tells it to end; returns at once.
    fn stop(&mut self, stop: Stop);

    /// Waits until it has ended as it was told. The error says which actor failed, how often and why.
    fn wait(&mut self) -> impl Future<Output = Result<(), String>> + Send;

    /// Lets go of everything it holds, after [`Role::wait`]; less carefully once `hurry` has ended.
    fn close(self, hurry: impl Future<Output = ()> + Send) -> impl Future<Output = ()> + Send;
}

/// Runs a role until it has ended: by itself, or told by signals.
///
/// # Errors
/// A tree gave up; the words say which actor failed, how often and why.
pub(crate) async fn run_to_end<R: Role>(mut role: R, signals: &mut Signals) -> Result<(), Failure> {
    let (ended, told) = until_ended(&mut role, signals).await;
    let hurry = async {
        if told < Stop::Now {
            signals.next().await;
        }
    };
    role.close(hurry).await;
    ended.map_err(|why| Failure::Role { role: R::NAME, why })
}

/// Waits for the end, and returns what the role was told.
async fn until_ended<R: Role>(role: &mut R, signals: &mut Signals) -> (Result<(), String>, Stop) {
    for (told, next) in [(Stop::No, Stop::Drain), (Stop::Drain, Stop::Now)] {
        tokio::select! {
            ended = role.wait() => return (ended, told),
            () = signals.next() => {}
        }
        tracing::info!(
            "{}",
            if next == Stop::Now {
                "stopping now"
            } else {
                R::DRAINS
            }
        );
        role.stop(next);
    }
    // Impatience must not begin the wait for the last words anew, so no more signals are heard.
    (role.wait().await, Stop::Now)
}

impl Role for agent_tree::Running {
    const NAME: &'static str = "agent";

    fn stop(&mut self, stop: Stop) {
        Self::stop(self, stop);
    }

    async fn wait(&mut self) -> Result<(), String> {
        Self::wait(self).await.map_err(|exit| exit.to_string())
    }

    /// Waits for no request and no run, so there is nothing to hurry.
    async fn close(self, _hurry: impl Future<Output = ()> + Send) {
        Self::close(self).await;
    }
}

impl Role for up::Running {
    const NAME: &'static str = "up";

    fn stop(&mut self, stop: Stop) {
        Self::stop(self, stop);
    }

    async fn wait(&mut self) -> Result<(), String> {
        Self::wait(self).await.map_err(|gave_up| gave_up.to_string())
    }

    async fn close(self, hurry: impl Future<Output = ()> + Send) {
        Self::close(self, hurry).await;
    }
}

/// The words of an error and of all that it comes from.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let next = cause.to_string();
        // Some libraries say what a cause says, and then name the cause too.
        if !words.ends_with(&next) {
            words.push_str(": ");
            words.push_str(&next);
        }
        source = cause.source();
    }
    words
}
