//! Telling the coordinator again what the nexus may have forgotten: a batch of the latest reports and returns.
//!
//! The leases that are held are announced by a renewal, as ever. Reports go by the ordinary request; the coordinator
//! records those that it lacks and answers the others as it did the first time. Nothing here claims, so that what is
//! told again never takes the place of what is new.

use domain::job::GiveBack;
use protocol::client::{ClientError, Options};
use protocol::leases::{FinishReply, FinishRequest, Proof, ReleaseRequest};
use serde::de::IgnoredAny;

use crate::Station;
use crate::clock::BootTime;
use crate::refusal::lasting;
use crate::table::{Again, Word};

impl Station {
    /// Notes the era that a reply names, and sets going what is to be done after another one has begun.
    pub(crate) fn heard_era(&self, era: Option<&str>) {
        let Some(era) = era else { return };
        let is_new = {
            let mut known = self.era.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            known.heard(era, tokio::time::Instant::now())
        };
        if is_new {
            let told = self.table.tell_again(BootTime::now());
            let held = self.table.len();
            tracing::warn!(
                told,
                held,
                "the nexus was restarted or replaced: telling it again what is held and was reported lately"
            );
            self.table.bells.renew.notify_one();
        }
    }
}

/// Sends one batch. What is put off stays due.
///
/// # Errors
/// Nobody took it.
pub(crate) async fn tell_again(station: &Station, batch: Vec<Again>) -> Result<(), ClientError> {
    let mut finishes = Vec::new();
    let mut numbers = Vec::new();
    let mut releases: Vec<(GiveBack, Vec<u64>, Vec<Proof>)> = Vec::new();
    for (number, word) in batch {
        match word {
            Word::Finish(finish) => {
                finishes.push(*finish);
                numbers.push(number);
            }
            Word::Release(why, proof) => match releases.iter_mut().find(|(other, ..)| *other == why) {
                Some((_, numbers, proofs)) => {
                    numbers.push(number);
                    proofs.push(proof);
                }
                None => releases.push((why, vec![number], vec![proof])),
            },
        }
    }
    for (why, numbers, leases) in releases {
        let request = ReleaseRequest { leases, why };
        let options = Options::default().repeatable();
        let answer = station
            .client
            .post::<IgnoredAny>("/v1/leases/release", &request, options)
            .await;
        station.heard(&answer);
        forgive(answer)?;
        station.table.returned_again(&numbers);
    }
    if finishes.is_empty() {
        return Ok(());
    }
    let request = FinishRequest {
        finishes,
        claim: None,
    };
    let options = Options::default().repeatable();
    let answer = station
        .client
        .post::<FinishReply>("/v1/leases/finish", &request, options)
        .await;
    station.heard(&answer);
    match forgive(answer)? {
        Some(reply) => {
            let answers = numbers.iter().zip(&reply.results);
            let taken: Vec<_> = answers
                .map(|(number, result)| station.table.told_again(*number, result))
                .collect();
            let n_refused = taken.iter().filter(|taken| matches!(taken, Ok(false))).count();
            if n_refused > 0 {
                tracing::warn!(
                    n_refused,
                    "ends of runs were told again in vain: their jobs are not known any more, or not ours"
                );
            }
            if taken.iter().all(Result::is_err)
                && let Some(Err(put_off)) = taken.into_iter().next()
            {
                return Err(ClientError::Problem(put_off));
            }
        }
        // Refused as a whole, though each of them was taken before: it will not be taken now.
        None => station.table.returned_again(&numbers),
    }
    Ok(())
}

/// A refusal that lasts is an answer too: there is nothing to be tried again.
fn forgive<T>(answer: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match answer {
        Ok(reply) => Ok(Some(reply)),
        Err(error) => match lasting(&error) {
            Some(problem) => {
                tracing::warn!(%problem, "what was told again is refused");
                Ok(None)
            }
            None => Err(error),
        },
    }
}
