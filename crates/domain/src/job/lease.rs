//! What follows from a proven lease: who may speak for an attempt, and what becomes of a claim that the nexus forgot.
//!
//! A nexus that lost its newest writes (a failover, a restart without a disk) may know a job as queued whose claim it
//! acknowledged. The number of that attempt is then given out a second time. So a lease is known by its agent as well as by
//! its number, and an agent that proves the forgotten claim gets it back as long as nobody else was given the number.

use crate::agent::AgentRef;
use crate::cause::Cause;
use crate::entity::Step;
use crate::id::{AgentId, JobId};
use crate::job::Job;
use crate::job::apply::{Refused, moved};
use crate::job::fact::JobFact;
use crate::job::state::{Attempt, AttemptEnd, Running, State};
use crate::time::Timestamp;

/// A lease as its token proves it: it was once given, which says nothing of whether it is still the live one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProvenLease {
    /// The job.
    pub job: JobId,
    /// The attempt.
    pub attempt: u32,
    /// The agent process that it was given to.
    pub agent: AgentId,
}

impl ProvenLease {
    /// Checks that the attempt, if it is the live one, is this agent's: the number may have been given out twice.
    ///
    /// # Errors
    /// [`Refused::StaleLease`]: it is another agent's.
    pub fn check_holder(&self, job: &Job) -> Result<(), Refused> {
        match &job.state {
            State::Running(running) if job.attempt == self.attempt && running.agent.id != self.agent => {
                Err(self.stale(job))
            }
            State::Running(_)
            | State::Queued { .. }
            | State::Succeeded { .. }
            | State::Failed { .. }
            | State::Cancelled { .. } => Ok(()),
        }
    }

    /// Says whether this is the live lease.
    pub fn is_live(&self, job: &Job) -> bool {
        matches!(&job.state, State::Running(running)
            if job.attempt == self.attempt && running.agent.id == self.agent)
    }

    /// Says whether the claim that made this lease was forgotten, and nobody else was given its number since.
    pub fn was_forgotten(&self, job: &Job) -> bool {
        matches!(job.state, State::Queued { .. }) && job.attempt.checked_add(1) == Some(self.attempt)
    }

    /// Says whether this is the attempt that its agent finished, so that a repeated finish gets the first one's answer.
    pub fn was_finished_as(&self, attempt: &Attempt) -> bool {
        let by_finish = match &attempt.end {
            AttemptEnd::GivenBack | AttemptEnd::Failed(Cause::LeaseLost) => false,
            // The coordinator's backstop leaves no evidence, an agent always does.
            AttemptEnd::Failed(Cause::Timeout) => attempt.evidence.is_some(),
            AttemptEnd::Succeeded | AttemptEnd::Cancelled | AttemptEnd::Failed(_) => true,
        };
        by_finish && attempt.number == self.attempt && attempt.agent.id == self.agent
    }

    /// The refusal of a lease that is not the live one.
    pub fn stale(&self, job: &Job) -> Refused {
        Refused::StaleLease {
            presented: self.attempt,
            live: matches!(job.state, State::Running(_)).then_some(job.attempt),
        }
    }
}

/// Commits a forgotten claim anew, on behalf of the agent that proves it. Whatever the job waits for by now it had
/// waited for already when it was claimed, so it runs, and its group counts it even if that is one too many.
///
/// # Errors
/// [`Refused::StaleLease`]: the claim was not forgotten, or the number was given out again.
pub fn readopt(
    job: &Job,
    lease: &ProvenLease,
    agent: AgentRef,
    now: Timestamp,
) -> Result<Step<Job>, Refused> {
    if lease.was_forgotten(job) && agent.id == lease.agent {
        Ok(claimed(job, agent, now))
    } else {
        Err(lease.stale(job))
    }
}

/// The next attempt begins: the one way into the state of running.
pub(super) fn claimed(job: &Job, agent: AgentRef, now: Timestamp) -> Step<Job> {
    let attempt = job.attempt + 1;
    let fact = JobFact::Claimed {
        attempt,
        agent: agent.clone(),
    };
    let state = State::Running(Running {
        agent,
        started_at: now,
        cancel: None,
    });
    moved(
        &Job {
            attempt,
            ..job.clone()
        },
        fact,
        state,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Evidence, JobEvent, Submission, Usage, Waits, accept, apply};
    use crate::spec::JobSpec;
    use crate::units::Span;
    use crate::{Digest, Entity as _};

    const NOW: Timestamp = Timestamp(1_000);

    fn agent(n: u8) -> AgentRef {
        AgentRef {
            id: format!("01k2b3c4d5e6f7g8h9j0kmnpq{n}").parse().unwrap(),
            name: format!("forge-{n}").parse().unwrap(),
            fingerprint: Digest::of(b"forge"),
        }
    }

    fn queued() -> Job {
        let by = Submission {
            id: "default-01k2b3c4d5e6f7g8h9j0kmnpqr".parse().unwrap(),
            principal: "alice".parse().unwrap(),
        };
        accept(&JobSpec::command(["make"]), by, NOW).next
    }

    fn lease(attempt: u32, n: u8) -> ProvenLease {
        ProvenLease {
            job: queued().id,
            attempt,
            agent: agent(n).id,
        }
    }

    fn next(step: Step<Job>) -> Job {
        match step {
            Step::Moved(step) => step.next,
            Step::Same => panic!("nothing moved"),
        }
    }

    #[test]
    fn a_forgotten_claim_is_committed_anew_exactly_as_the_first_time() {
        let job = queued();
        let first = apply(&job, JobEvent::Claimed { agent: agent(1) }, NOW).unwrap();
        let again = readopt(&job, &lease(1, 1), agent(1), NOW).unwrap();
        assert_eq!(first, again);
        let waiting = Job {
            state: State::Queued {
                waits: Waits::Until(Timestamp(9_000)),
            },
            ..job
        };
        let running = next(readopt(&waiting, &lease(1, 1), agent(1), NOW).unwrap());
        assert!(lease(1, 1).is_live(&running));
        assert!(running.places().keys().all(|(set, _)| set != "timers"));
    }

    #[test]
    fn a_claim_whose_number_was_given_out_again_is_not_committed_anew() {
        let job = next(readopt(&queued(), &lease(1, 1), agent(1), NOW).unwrap());
        assert!(readopt(&job, &lease(1, 2), agent(2), NOW).is_err());
        for (attempt, by) in [(0, 1), (2, 1), (1, 2)] {
            assert!(readopt(&queued(), &lease(attempt, 1), agent(by), NOW).is_err());
        }
        let ended = apply(
            &queued(),
            JobEvent::CancelRequested {
                by: "bob".parse().unwrap(),
                reason: None,
            },
            NOW,
        );
        assert!(readopt(&next(ended.unwrap()), &lease(1, 1), agent(1), NOW).is_err());
    }

    #[test]
    fn an_attempt_is_spoken_for_by_the_agent_that_holds_it() {
        let job = next(readopt(&queued(), &lease(1, 1), agent(1), NOW).unwrap());
        assert_eq!(lease(1, 1).check_holder(&job), Ok(()));
        let stale = Refused::StaleLease {
            presented: 1,
            live: Some(1),
        };
        assert_eq!(lease(1, 2).check_holder(&job), Err(stale));
    }

    #[test]
    fn only_what_its_own_agent_finished_counts_as_finished() {
        let attempt = |end, evidence| Attempt {
            number: 1,
            agent: agent(1),
            started_at: NOW,
            ended_at: NOW,
            end,
            evidence,
        };
        let evidence = Some(Evidence {
            log_bytes: 0,
            log_digest: Digest::of(b""),
            artifacts: 0,
            ran: Span::from_millis(1),
            usage: Usage::default(),
        });
        let finished = attempt(AttemptEnd::Failed(Cause::Timeout), evidence);
        assert!(lease(1, 1).was_finished_as(&finished));
        assert!(!lease(1, 2).was_finished_as(&finished) && !lease(2, 1).was_finished_as(&finished));
        for end in [
            AttemptEnd::GivenBack,
            AttemptEnd::Failed(Cause::LeaseLost),
            AttemptEnd::Failed(Cause::Timeout),
        ] {
            assert!(!lease(1, 1).was_finished_as(&attempt(end, None)));
        }
    }
}
