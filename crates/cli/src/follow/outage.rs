//! Patience with a coordinator that does not answer: pauses that grow, and an end.
//!
//! The end is no failure of the job, which goes on; it is only that nobody here watches any more.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::Duration;

use domain::JobId;
use protocol::client::ClientError;
use tokio::time::Instant;

use crate::failure::Failure;
use crate::output;

/// How long no coordinator may answer.
const OUTAGE_MAX: Duration = Duration::from_secs(300);
/// The first pause; each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// The pause from which on the user is told.
const PAUSE_TOLD: Duration = Duration::from_secs(1);

/// A time without answers, or none.
pub(crate) struct Outage<'a> {
    job: &'a JobId,
    since: Option<Instant>,
    pause: Duration,
    told: bool,
    /// The hasher's keys are the standard library's source of chance.
    chance: RandomState,
}

impl<'a> Outage<'a> {
    /// All is well.
    pub(crate) fn none(job: &'a JobId) -> Self {
        Self {
            job,
            since: None,
            pause: PAUSE_FIRST,
            told: false,
            chance: RandomState::new(),
        }
    }

    /// A coordinator answered, though not yet with anything new: the pauses keep growing, but nobody gives up.
    pub(crate) fn answered(&mut self) {
        if std::mem::take(&mut self.told) {
            output::note("connected again");
        }
        self.since = None;
    }

    /// What was waited for came.
    pub(crate) fn over(&mut self) {
        self.answered();
        self.pause = PAUSE_FIRST;
    }

    /// No answer came: waits before the next try.
    ///
    /// # Errors
    /// It has lasted too long.
    pub(crate) async fn pause(&mut self, error: &ClientError) -> Result<(), Failure> {
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() >= OUTAGE_MAX {
            return Err(Failure::GaveUp {
                job: self.job.clone(),
                why: error.to_string(),
            });
        }
        if self.pause >= PAUSE_TOLD && !self.told {
            self.told = true;
            output::note(&format!("lost the coordinator, trying again: {error}"));
        }
        // Whoever followed a job of a coordinator that died would come back at the same moment.
        let jitter = self.chance.hash_one(since.elapsed());
        let part = f64::from(u16::try_from(jitter & 0xffff).unwrap_or(0)) / f64::from(u16::MAX);
        tokio::time::sleep(self.pause.mul_f64(1.0 - part / 2.0)).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreachable() -> ClientError {
        ClientError::Unreachable {
            url: "http://x:1".into(),
            why: "refused".into(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_ends_in_giving_up_after_five_minutes() {
        let job: JobId = "default-01k2b3c4d5e6f7g8h9j0kmnpqr".parse().unwrap();
        let mut outage = Outage::none(&job);
        let begun = Instant::now();
        let failure = loop {
            if let Err(failure) = outage.pause(&unreachable()).await {
                break failure;
            }
        };
        assert_eq!(failure.code(), crate::exit::GAVE_UP);
        let lasted = begun.elapsed();
        assert!(
            lasted >= OUTAGE_MAX && lasted <= OUTAGE_MAX + PAUSE_MAX,
            "{lasted:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_starts_the_patience_anew() {
        let job: JobId = "default-01k2b3c4d5e6f7g8h9j0kmnpqr".parse().unwrap();
        let mut outage = Outage::none(&job);
        for _ in 0..200 {
            outage.pause(&unreachable()).await.unwrap();
            outage.pause(&unreachable()).await.unwrap();
            tokio::time::advance(Duration::from_secs(4)).await;
            outage.over();
        }
    }
}
