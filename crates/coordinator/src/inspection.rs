//! Inspects the nexus: does it answer, may it be used, and is it the one that this coordinator belongs to?
//!
//! A coordinator may be started before its nexus can be reached. Until an inspection has passed, the gate is closed: no
//! handler and no duty touches nexus or vault, since nobody knows yet in which format the one is and whether the other is
//! the right one. Later inspections watch over what may change under a running process. `pulse` inspects each second, and the
//! composition root once before it starts anything, to end at once where waiting is useless.

use std::time::Duration;

use ledger::{Disagreement, LedgerError, NotAgreed, Standing, Terms};

use crate::coordinator::Coordinator;
use crate::lease_seal::LeaseSeal;
use crate::signals::Health;

/// How long the nexus may take to pass before it counts as down.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// How an inspection went.
#[derive(Debug)]
pub enum Inspection {
    /// All is well.
    Passed,
    /// The nexus does not answer now; in its words.
    Away(String),
    /// The nexus must not be used by this coordinator.
    Refused(Disagreement),
    /// The nexus takes no more writes until it is opened anew; in its words.
    Halted(String),
}

impl Coordinator {
    /// Inspects the nexus once, and publishes how that went. Takes a few seconds at most.
    pub async fn inspect(&self) -> Inspection {
        let looked = tokio::time::timeout(ANSWER_MAX, self.look()).await;
        let found = looked.unwrap_or_else(|_| Err(LedgerError::no_answer(ANSWER_MAX).into()));
        match found {
            Ok(standing) => {
                self.passed(standing);
                Inspection::Passed
            }
            Err(NotAgreed::Disagreement(why)) => {
                self.refused(&why);
                Inspection::Refused(why)
            }
            Err(NotAgreed::Ledger(error)) if error.needs_a_new_start() => {
                let why = in_full(&error);
                self.away(why.clone());
                Inspection::Halted(why)
            }
            Err(error @ (NotAgreed::Ledger(_) | NotAgreed::Contended)) => {
                let why = in_full(&error);
                self.away(why.clone());
                Inspection::Away(why)
            }
        }
    }

    /// Nothing is written before all is known to be right.
    async fn look(&self) -> Result<Standing, NotAgreed> {
        let standing = self.ledger.standing().await?;
        if let Some(why) = &standing.unfit {
            return Err(Disagreement::Unfit(why.clone()).into());
        }
        if self.agrees {
            let terms = Terms {
                lease_key: self.seal().key(),
                vault_id: self.vault.id().to_string(),
                vault_path: self.vault.path().display().to_string(),
            };
            let agreed = self.ledger.agree(&terms).await?;
            self.set_seal(LeaseSeal::new(agreed.lease_key));
        }
        self.ledger.probe().await?;
        Ok(standing)
    }

    fn passed(&self, standing: Standing) {
        let before = self.signals.nexus();
        let known = before.standing.as_ref();
        let change = known.filter(|known| known.era != standing.era);
        if before.health != Health::Up || change.is_some() {
            let Standing {
                description,
                durability,
                ..
            } = &standing;
            tracing::info!(nexus = %description, %durability, "the nexus answers");
        }
        if change.is_some() {
            tracing::warn!(
                "another process of the nexus answers: agents tell again what they were acknowledged"
            );
        }
        let already = known.map_or(&[][..], |known| &known.warnings);
        for warning in standing
            .warnings
            .iter()
            .filter(|warning| !already.contains(warning))
        {
            tracing::warn!("{warning}");
        }
        self.signals.nexus_passed(standing);
    }

    fn refused(&self, why: &Disagreement) {
        let health = Health::Refused(why.to_string());
        if self.signals.health() != health {
            tracing::error!("not ready: {why}");
        }
        self.signals.set_health(health);
    }

    /// One line for an outage, however long it is and however its words change.
    fn away(&self, why: String) {
        if !matches!(self.signals.health(), Health::Down(_)) {
            tracing::warn!("the nexus does not answer, which is tried again each second: {why}");
        }
        self.signals.set_health(Health::Down(why));
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
