//! What must hold after any sequence of events, however wrong their times, agents and attempts are.
//!
//! Each promise is one property over all visits of a random walk.

use proptest::prelude::*;

use domain::entity::Place;
use domain::job::{
    GIVEN_BACK_MAX, RunEnd, State, StateName, Waits, apply, group_set, leases_set, waiting_set,
};
use domain::{Cause, Entity as _, Followup, Job, JobEvent, JobFact, JobSpec, Step};

use crate::sample::{self, accepted, sets};
use crate::walk::{cause, walk};

/// The attempt that a request names, if it is a request for a lease.
fn named_attempt(event: &JobEvent) -> Option<u32> {
    match event {
        JobEvent::Finished { attempt, .. }
        | JobEvent::GivenBack { attempt, .. }
        | JobEvent::LeaseTaken { attempt, .. } => Some(*attempt),
        JobEvent::Due
        | JobEvent::Admitted
        | JobEvent::Claimed { .. }
        | JobEvent::CancelRequested { .. }
        | JobEvent::Rejected { .. } => None,
    }
}

/// The fact that tells of an accepted event.
fn fact_of(event: JobEvent, after: &Job) -> JobFact {
    match event {
        JobEvent::Due => JobFact::Due,
        JobEvent::Admitted => JobFact::Admitted,
        JobEvent::Claimed { agent } => JobFact::Claimed {
            attempt: after.attempt,
            agent,
        },
        JobEvent::Finished { attempt, report } => JobFact::Finished { attempt, report },
        JobEvent::GivenBack { attempt, why } => JobFact::GivenBack { attempt, why },
        JobEvent::LeaseTaken { attempt, cause } => JobFact::LeaseTaken { attempt, cause },
        JobEvent::CancelRequested { by, reason } => JobFact::CancelRequested { by, reason },
        JobEvent::Rejected { cause } => JobFact::Rejected { cause },
    }
}

/// Says whether a grouped job holds room: since its admission, until its end.
fn admitted_and_not_ended(job: &Job) -> bool {
    match &job.state {
        State::Queued { waits } => *waits == Waits::Nothing,
        State::Running(_) => true,
        State::Succeeded { .. } | State::Failed { .. } | State::Cancelled { .. } => false,
    }
}

fn in_lane(job: &Job) -> bool {
    sets(job).contains(&job.lane.set())
}

fn cancel_is_requested(job: &Job) -> bool {
    matches!(&job.state, State::Running(running) if running.cancel.is_some())
}

proptest! {
    #[test]
    fn an_attempts_number_is_the_next_one_and_never_used_again(visits in walk()) {
        for visit in &visits {
            let claims = u32::from(matches!(&visit.event, JobEvent::Claimed { .. }) && visit.moved().is_some());
            prop_assert_eq!(visit.after().attempt, visit.before.attempt + claims);
        }
    }

    #[test]
    fn no_job_is_charged_more_attempts_than_it_may_have_nor_than_it_had(visits in walk()) {
        for visit in &visits {
            let job = visit.after();
            prop_assert!(job.charged <= job.max_attempts);
            let live = u32::from(job.state.name() == StateName::Running);
            prop_assert_eq!(job.charged + job.given_back + live, job.attempt);
        }
    }

    #[test]
    fn a_terminal_state_never_changes(visits in walk()) {
        for visit in visits.iter().filter(|visit| visit.before.state.name().is_terminal()) {
            prop_assert!(visit.moved().is_none(), "{visit:?}");
        }
    }

    #[test]
    fn every_move_has_the_one_fact_that_tells_of_it(visits in walk()) {
        for visit in &visits {
            if let Some(step) = visit.moved() {
                prop_assert_eq!(&step.fact, &fact_of(visit.event.clone(), &step.next));
                prop_assert_ne!(&step.next, &visit.before);
            }
        }
    }

    #[test]
    fn what_was_accepted_once_moves_nothing_when_it_is_repeated(visits in walk()) {
        for visit in visits.iter().filter(|visit| visit.moved().is_some()) {
            let again = apply(visit.after(), visit.event.clone(), visit.now);
            prop_assert!(!matches!(again, Ok(Step::Moved(_))), "{visit:?} then {again:?}");
            if named_attempt(&visit.event).is_some() {
                prop_assert_eq!(again, Ok(Step::Same));
            }
        }
    }

    #[test]
    fn a_queued_job_stands_in_exactly_one_queue(visits in walk()) {
        for visit in &visits {
            let job = visit.after();
            let waiting = job.group.as_ref().map(|group| waiting_set(&group.name));
            let queues = sets(job)
                .into_iter()
                .filter(|set| *set == job.lane.set() || set == domain::job::TIMERS || Some(set) == waiting.as_ref())
                .count();
            prop_assert_eq!(queues, usize::from(job.state.name() == StateName::Queued));
        }
    }

    #[test]
    fn a_job_can_be_claimed_exactly_when_it_stands_in_its_lane(visits in walk()) {
        for visit in &visits {
            let claim = apply(visit.after(), sample::claimed(1), visit.now);
            prop_assert_eq!(matches!(claim, Ok(Step::Moved(_))), in_lane(visit.after()));
        }
    }

    #[test]
    fn a_running_job_stands_among_its_agents_leases_and_nobody_elses(visits in walk()) {
        for visit in &visits {
            let mut leases = sets(visit.after());
            leases.retain(|set| set.starts_with("leases/"));
            let own = match &visit.after().state {
                State::Running(running) => vec![leases_set(&running.agent.id)],
                State::Queued { .. } | State::Succeeded { .. } | State::Failed { .. } | State::Cancelled { .. } => vec![],
            };
            prop_assert_eq!(leases, own);
        }
    }

    #[test]
    fn a_job_that_has_ended_stands_only_in_the_listing(visits in walk()) {
        for visit in visits.iter().filter(|visit| visit.after().state.name().is_terminal()) {
            prop_assert_eq!(sets(visit.after()), [domain::job::JOBS]);
        }
    }

    #[test]
    fn every_place_is_the_jobs_own_and_has_a_score_that_every_store_can_hold(visits in walk()) {
        for visit in &visits {
            for ((set, member), place) in visit.after().places() {
                prop_assert_eq!(member, visit.after().id.ulid());
                match place {
                    Place::At(score) => prop_assert!(score <= domain::entity::SCORE_MAX),
                    Place::Somewhere => prop_assert!(set.starts_with("leases/")),
                }
            }
        }
    }

    #[test]
    fn a_place_in_the_group_is_held_exactly_from_the_admission_to_the_end(visits in walk()) {
        for visit in &visits {
            let job = visit.after();
            let holds = job.group.as_ref().is_some_and(|group| sets(job).contains(&group_set(&group.name)));
            prop_assert_eq!(holds, job.group.is_some() && admitted_and_not_ended(job));
        }
    }

    #[test]
    fn the_group_is_told_when_room_is_left_and_when_a_job_begins_to_wait_for_it(visits in walk()) {
        for visit in &visits {
            let Some(step) = visit.moved() else { continue };
            let left = admitted_and_not_ended(&visit.before) && !admitted_and_not_ended(&step.next);
            let waits = matches!(&step.next.state, State::Queued { waits: Waits::ForGroup });
            let told = step.next.group.iter().filter(|_| left || waits);
            let told: Vec<_> = told.map(|group| Followup::AdmitFromGroup(group.name.clone())).collect();
            prop_assert_eq!(&step.followups, &told);
        }
    }

    #[test]
    fn a_job_that_somebody_asked_to_cancel_is_never_queued_again(visits in walk()) {
        for visit in visits.iter().filter(|visit| cancel_is_requested(&visit.before)) {
            let after = visit.after();
            prop_assert!(after.state.name().is_terminal() || after == &visit.before);
        }
    }

    #[test]
    fn a_stale_attempt_moves_nothing(visits in walk()) {
        for visit in &visits {
            let Some(attempt) = named_attempt(&visit.event) else { continue };
            let live = visit.before.state.name() == StateName::Running && visit.before.attempt == attempt;
            prop_assert!(live || visit.moved().is_none());
        }
    }

    #[test]
    fn an_attempt_that_ends_is_kept_once_beside_the_job_or_inside_its_last_state(visits in walk()) {
        for visit in &visits {
            let Some(step) = visit.moved() else { continue };
            let ends = visit.before.state.name() == StateName::Running && step.next.state.name() != StateName::Running;
            let kept: Vec<_> = step.ended.iter().chain(step.next.state.final_attempt()).collect();
            prop_assert_eq!(kept.len(), usize::from(ends));
            for attempt in kept {
                prop_assert_eq!(attempt.number, visit.before.attempt);
                prop_assert_eq!(attempt.ended_at, visit.now);
            }
        }
    }

    #[test]
    fn who_a_job_is_never_changes(visits in walk()) {
        for visit in &visits {
            let frozen = Job {
                attempt: visit.before.attempt,
                charged: visit.before.charged,
                given_back: visit.before.given_back,
                last_end: visit.before.last_end,
                state: visit.before.state.clone(),
                ..visit.after().clone()
            };
            prop_assert_eq!(&frozen, &visit.before);
        }
    }

    #[test]
    fn with_one_attempt_a_failure_of_the_machinery_ends_the_job_with_its_cause(cause in cause(), by_agent: bool) {
        let job = sample::after(accepted(&JobSpec::command(["make"])).next, [sample::claimed(1)]);
        let event = if by_agent {
            sample::finished(1, RunEnd::Failed(cause.clone()))
        } else {
            sample::lease_taken(1, cause.clone())
        };
        let ended = sample::step(&job, event).next;
        let found = match &ended.state {
            State::Failed { cause, .. } => Some(cause),
            _ => None,
        };
        prop_assert_eq!(found, Some(&cause));
    }

    #[test]
    fn a_job_never_comes_back_unstarted_more_often_than_allowed(visits in walk()) {
        for visit in &visits {
            let job = visit.after();
            let unplaceable = matches!(&job.state, State::Failed { cause: Cause::Unplaceable, .. });
            let gave_up = job.given_back == GIVEN_BACK_MAX + 1;
            prop_assert!(job.given_back <= GIVEN_BACK_MAX + 1);
            prop_assert!(!gave_up || unplaceable || job.state.name() == StateName::Cancelled);
        }
    }
}
