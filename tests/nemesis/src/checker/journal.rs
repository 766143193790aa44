//! The journal by itself: what it says happened, in its order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::job::StateName;

use crate::checker::Found;
use crate::history::{Blow, Fact, History, Stretch, What};

/// Only the declared transitions exist.
pub(super) fn transitions(history: &History, found: &mut Found) {
    let mut states: BTreeMap<&str, StateName> = BTreeMap::new();
    for fact in &history.facts {
        let before = states.insert(&fact.job, fact.state);
        if !is_declared(before, fact) {
            let job = &fact.job;
            found.add(
                "P4",
                format!("{job} went from {before:?} by {:?} to {}", fact.what, fact.state),
            );
        }
    }
}

fn is_declared(before: Option<StateName>, fact: &Fact) -> bool {
    use StateName::{Cancelled, Failed, Queued, Running, Succeeded};
    let allowed: &[StateName] = match (before, &fact.what) {
        (None, What::Submitted) | (Some(Queued), What::Due | What::Admitted) => &[Queued],
        (Some(Queued), What::Claimed { .. }) | (Some(Running), What::CancelRequested) => &[Running],
        (Some(Queued), What::CancelRequested) => &[Cancelled],
        (Some(Queued), What::Rejected) => &[Failed],
        (Some(Running), What::Finished(_)) => &[Succeeded, Failed, Cancelled, Queued],
        (Some(Running), What::GivenBack(_) | What::Taken(..)) => &[Queued, Failed, Cancelled],
        _ => &[],
    };
    allowed.contains(&fact.state)
}

/// Attempts rise by one, one at a time, and what ends an attempt speaks of the one that runs. No number is forgotten.
pub(super) fn attempts(history: &History, found: &mut Found) {
    let mut newest: BTreeMap<&str, (u32, bool)> = BTreeMap::new();
    for fact in &history.facts {
        let job = fact.job.as_str();
        let (attempt, runs) = newest.get(job).copied().unwrap_or_default();
        match &fact.what {
            What::Claimed {
                attempt: claimed,
                agent,
                ..
            } => {
                if *claimed != attempt + 1 || runs {
                    let was = if runs { "runs" } else { "is over" };
                    let evidence =
                        format!("{agent} was given attempt {claimed} of {job} while attempt {attempt} {was}");
                    found.add(if runs { "P3" } else { "I4" }, evidence);
                }
                newest.insert(job, (*claimed, true));
            }
            What::Finished(ended) | What::GivenBack(ended) | What::Taken(ended, _) => {
                if *ended != attempt || !runs {
                    let evidence = format!("{:?} of {job}, whose newest attempt is {attempt}", fact.what);
                    found.add("I6", evidence);
                }
                newest.insert(job, (attempt, false));
            }
            What::Submitted
            | What::Due
            | What::Admitted
            | What::CancelRequested
            | What::Rejected
            | What::Unreadable => {}
        }
    }
}

/// Whoever saw an attempt has seen it for good.
pub(super) fn seen_attempts(history: &History, found: &mut Found) {
    for sight in &history.sights {
        let newest = history.jobs.get(&sight.job).map_or(0, |job| job.attempt);
        if sight.attempt > newest {
            found.add(
                "I4",
                format!(
                    "{} was seen in attempt {}, and has {newest}",
                    sight.job, sight.attempt
                ),
            );
        }
    }
}

/// One end, and the last word: of the journal, of the record, and of whoever has seen it.
pub(super) fn ends(history: &History, found: &mut Found) {
    let mut ended: BTreeMap<&str, StateName> = BTreeMap::new();
    for fact in &history.facts {
        if let Some(state) = ended.get(fact.job.as_str()) {
            found.add(
                "I3",
                format!("{} had {state}, then came {:?}", fact.job, fact.what),
            );
        } else if fact.state.is_terminal() {
            ended.insert(&fact.job, fact.state);
        }
    }
    for sight in history.sights.iter().filter(|sight| sight.state.is_terminal()) {
        let last = history.jobs.get(&sight.job).map(|job| job.state);
        if last != Some(sight.state) {
            let evidence = format!("{} was seen as {}, and is {last:?}", sight.job, sight.state);
            found.add("I3", evidence);
        }
    }
}

/// A trail only grows, and the API tells all of it.
pub(super) fn trails(history: &History, found: &mut Found) {
    let mut trails: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for fact in &history.facts {
        trails.entry(&fact.job).or_default().push(&fact.digest);
    }
    let none = Vec::new();
    for (id, job) in &history.jobs {
        let trail = trails.get(id.as_str()).unwrap_or(&none);
        if job.events != *trail {
            found.add(
                "I18",
                format!("the API tells {:?} of {id}, the journal {trail:?}", job.events),
            );
        }
    }
    for sight in &history.sights {
        let Some(seen) = &sight.facts else { continue };
        let trail = trails.get(sight.job.as_str()).unwrap_or(&none);
        let is_kept = seen.len() <= trail.len() && seen.iter().zip(trail).all(|(seen, kept)| seen == kept);
        if !is_kept {
            found.add(
                "I17",
                format!("{} had the facts {seen:?}, and has {trail:?}", sight.job),
            );
        }
    }
}

/// Nothing is claimed after a cancel was requested, and the end comes in time.
pub(super) fn cancels(history: &History, found: &mut Found) {
    let mut asked: BTreeMap<&str, &Fact> = BTreeMap::new();
    for fact in &history.facts {
        let job = fact.job.as_str();
        match (&fact.what, asked.get(job)) {
            (What::CancelRequested, None) => drop(asked.insert(job, fact)),
            (What::Claimed { attempt, .. }, Some(_)) => {
                found.add(
                    "I16",
                    format!("attempt {attempt} of {job} was claimed after the cancel"),
                );
            }
            _ => {}
        }
    }
    let last: BTreeMap<&str, &Fact> = history
        .facts
        .iter()
        .map(|fact| (fact.job.as_str(), fact))
        .collect();
    for (job, cancel) in asked {
        let end = last.get(job).filter(|fact| fact.state.is_terminal());
        let to = end.map_or(history.collected_at, |fact| history.moment(fact.at));
        let from = history.moment(cancel.at);
        let calm = history.calm(Stretch { from, to });
        if calm > history.terms.cancelled_within {
            found.add(
                "I16",
                format!("{job} went on for {calm:?} of calm time after its cancel"),
            );
        }
    }
}

/// Who claims can run it, and its time has come.
pub(super) fn requirements(history: &History, found: &mut Found) {
    for fact in &history.facts {
        let What::Claimed { attempt, agent, .. } = &fact.what else {
            continue;
        };
        let Some(job) = history.jobs.get(&fact.job) else {
            continue;
        };
        let has = history.zones.get(agent);
        if job.zone.is_some() && job.zone.as_ref() != has {
            let evidence = format!(
                "{agent} in {has:?} claimed {}, which wants {:?}",
                fact.job, job.zone
            );
            found.add("I9", evidence);
        }
        if let Some(time) = job.not_before
            && fact.at.plus(clock_error(history, fact)) < time
        {
            let evidence = format!(
                "attempt {attempt} of {} was claimed at {}, before {time}",
                fact.job, fact.at
            );
            found.add("I13", evidence);
        }
    }
}

/// By how much the times in the journal may be off then: coordinators whose clocks are off write by these.
fn clock_error(history: &History, fact: &Fact) -> Duration {
    let errors = history.hits.iter().filter_map(|hit| match hit.blow {
        Blow::ClockOff(error) => {
            let at = history.moment(fact.at);
            let around = Stretch {
                from: at,
                to: at.plus(error),
            };
            let reach = hit.stretch.and_after(error);
            around.meets(reach).then_some(error)
        }
        Blow::Killed | Blow::Stopped | Blow::CutOff | Blow::Disturbed => None,
    });
    errors.max().unwrap_or_default()
}

/// Never more of a group run than may.
pub(super) fn groups(history: &History, found: &mut Found) {
    let mut running: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for fact in &history.facts {
        let group = history.jobs.get(&fact.job).and_then(|job| job.group.as_ref());
        let Some((group, limit)) = group else { continue };
        let members = running.entry(group).or_default();
        if fact.state == StateName::Running {
            members.insert(&fact.job);
        } else {
            members.remove(fact.job.as_str());
        }
        if members.len() > *limit as usize {
            found.add(
                "I11",
                format!("of group {group} run {members:?}, more than {limit}"),
            );
        }
    }
}
