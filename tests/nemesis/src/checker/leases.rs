//! Leases and liveness: who lost what although nothing was wrong with them, and what did not come to its end.

use domain::Cause;
use domain::job::StateName;

use crate::checker::Found;
use crate::history::{Blow, History, Stretch, Target, What};

/// What failed for the machinery was charged as often as it may be, and a program's end is the program's own.
pub(super) fn charges(history: &History, found: &mut Found) {
    for (id, job) in &history.jobs {
        if job.charged > job.max_attempts {
            found.add(
                "I8",
                format!(
                    "{id} was charged {} of {} attempts",
                    job.charged, job.max_attempts
                ),
            );
        }
        let cause = job.cause.as_ref().filter(|_| job.state == StateName::Failed);
        let is_right = match (job.state, cause) {
            (StateName::Failed, Some(Cause::LeaseLost | Cause::AgentDied)) => job.charged == job.max_attempts,
            (StateName::Failed, cause) => job.exit != 0 && cause == Some(&Cause::Exit { code: job.exit }),
            (StateName::Succeeded, _) => job.exit == 0,
            (StateName::Queued | StateName::Running | StateName::Cancelled, _) => true,
        };
        if !is_right {
            let evidence = format!(
                "{id}, whose program exits with {}, is {} for {cause:?} after {} of {} charged attempts",
                job.exit, job.state, job.charged, job.max_attempts
            );
            found.add("I8", evidence);
        }
    }
}

/// A lease is lost only by an agent that was killed, stopped or cut off, or on a machine that stood still. An outage of
/// the nexus, of any coordinator or of all of them is no reason: that is what the grace and the failover are for.
pub(super) fn losses(history: &History, found: &mut Found) {
    for (at, fact) in history.facts.iter().enumerate() {
        let What::Taken(attempt, Cause::LeaseLost) = &fact.what else {
            continue;
        };
        let claim = history.facts[..at].iter().rev().find(|claim| {
            claim.job == fact.job
                && matches!(&claim.what, What::Claimed { attempt: claimed, .. } if claimed == attempt)
        });
        let Some(claim) = claim else { continue };
        let What::Claimed { agent, .. } = &claim.what else {
            continue;
        };
        let held = Stretch {
            from: history.moment(claim.at),
            to: history.moment(fact.at),
        };
        if !is_excused(history, agent, held) {
            let evidence = format!("{agent} lost attempt {attempt} of {} at {:?}", fact.job, held.to);
            found.add("L5", evidence);
        }
    }
}

fn is_excused(history: &History, agent: &str, held: Stretch) -> bool {
    let hits = history.hits.iter().filter(|hit| match (&hit.target, hit.blow) {
        (Target::Agent(name), Blow::Killed | Blow::Stopped | Blow::CutOff) => name == agent,
        // The journal's times may be off, so the stretch may be another.
        (_, Blow::ClockOff(_)) => true,
        (Target::Agent(_), Blow::Disturbed)
        | (Target::Coordinator(_) | Target::Coordinators | Target::Nexus, _) => false,
    });
    let mut reasons = hits.map(|hit| hit.stretch).chain(history.stalls.iter().copied());
    reasons.any(|reason| reason.and_after(history.terms.lease_ttl).meets(held))
}

/// Every job has come to its end.
pub(super) fn drained(history: &History, found: &mut Found) {
    for (id, job) in history.jobs.iter().filter(|(_, job)| !job.state.is_terminal()) {
        let last = history.facts_of(id).last().map(|fact| &fact.what);
        found.add("L1", format!("{id} is {}; its last fact is {last:?}", job.state));
    }
}

/// In the end all is calm and idle: a job is claimed within the bound.
pub(super) fn wakes(history: &History, found: &mut Found) {
    for id in &history.probes {
        let at = |wanted: fn(&What) -> bool| {
            let fact = history.facts_of(id).find(|fact| wanted(&fact.what));
            fact.map(|fact| history.moment(fact.at))
        };
        let submitted = at(|what| matches!(what, What::Submitted));
        let claimed = at(|what| matches!(what, What::Claimed { .. }));
        let waited = claimed
            .unwrap_or(history.collected_at)
            .since(submitted.unwrap_or_default());
        let stalled = history.stalls.iter().any(|stall| {
            submitted.is_some_and(|from| {
                stall.meets(Stretch {
                    from,
                    to: from.plus(waited),
                })
            })
        });
        if waited > history.terms.claimed_within && !stalled {
            found.add("L2", format!("idle agents left {id} alone for {waited:?}"));
        }
    }
}
