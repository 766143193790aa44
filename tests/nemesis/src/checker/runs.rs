//! What really ran: the agents' logs and the jobs' own marks, against each other and against the journal.

use std::collections::{BTreeMap, BTreeSet};

use domain::Cause;
use domain::job::StateName;

use crate::checker::Found;
use crate::history::{Blow, History, Hit, Moment, RunEvent, Step, Stretch, Target, Turn, What};

/// One attempt in the hands of one agent's process.
type Run<'a> = (&'a str, u32, &'a str);

/// What is on record for an attempt was written by that attempt: every job says which one it is, and nothing else.
pub(super) fn logs(history: &History, found: &mut Found) {
    for (id, job) in &history.jobs {
        for (attempt, log) in &job.logs {
            let own = format!("{id} {attempt}");
            if let Some(line) = log.lines().find(|line| !line.ends_with(&own)) {
                found.add(
                    "I5",
                    format!("attempt {attempt} of {id} has the line {line:?} in its log"),
                );
            }
        }
    }
}

/// What is on record as a program's own end is that: the program of that very attempt has come to it.
pub(super) fn own_ends(history: &History, found: &mut Found) {
    let last = history.marks.iter().filter(|mark| mark.step == Step::Last);
    let came_to_it: BTreeSet<(&str, u32)> = last.map(|mark| (mark.job.as_str(), mark.attempt)).collect();
    for (id, job) in &history.jobs {
        let by_itself = job.state == StateName::Succeeded || matches!(job.cause, Some(Cause::Exit { .. }));
        if by_itself && !came_to_it.contains(&(id.as_str(), job.attempt)) {
            let evidence = format!(
                "{id} is {}, and attempt {} never came to its end",
                job.state, job.attempt
            );
            found.add("I5", evidence);
        }
    }
}

/// An attempt starts once.
pub(super) fn starts(history: &History, found: &mut Found) {
    let mut marked: BTreeMap<(&str, u32), usize> = BTreeMap::new();
    for mark in history.marks.iter().filter(|mark| mark.step == Step::First) {
        *marked.entry((&mark.job, mark.attempt)).or_default() += 1;
    }
    let mut logged: BTreeMap<(&str, u32), usize> = BTreeMap::new();
    for turn in history
        .turns
        .iter()
        .filter(|turn| turn.event == RunEvent::Started)
    {
        *logged.entry((&turn.job, turn.attempt)).or_default() += 1;
    }
    for (who, starts) in [("it says", marked), ("agents say", logged)] {
        for ((job, attempt), times) in starts.into_iter().filter(|(_, times)| *times > 1) {
            found.add(
                "I20",
                format!("attempt {attempt} of {job} started {times} times, {who}"),
            );
        }
    }
}

/// Two attempts of a job do not run at once, unless the agent of the older one was stopped: then nobody could freeze it.
pub(super) fn overlaps(history: &History, found: &mut Found) {
    let mut attempts: BTreeMap<&str, BTreeMap<u32, Vec<Stretch>>> = BTreeMap::new();
    for ((job, attempt, _), turns) in turns_of_runs(history) {
        let ran = stretches(history, &turns);
        attempts
            .entry(job)
            .or_default()
            .entry(attempt)
            .or_default()
            .extend(ran);
    }
    for ((job, attempt), ran) in marked(history) {
        attempts
            .entry(job)
            .or_default()
            .entry(attempt)
            .or_default()
            .extend(ran);
    }
    for (job, attempts) in &attempts {
        for (older, ran) in attempts {
            for (newer, runs) in attempts.range(older + 1..) {
                let pairs = ran
                    .iter()
                    .flat_map(|one| runs.iter().map(|other| one.overlap(*other)));
                let longest = pairs.max().unwrap_or_default();
                if longest > history.terms.overlap_max {
                    let evidence =
                        format!("attempts {older} and {newer} of {job} ran at once for {longest:?}");
                    found.add("I7", evidence);
                }
            }
        }
    }
}

fn turns_of_runs(history: &History) -> BTreeMap<Run<'_>, Vec<&Turn>> {
    let mut runs: BTreeMap<Run<'_>, Vec<&Turn>> = BTreeMap::new();
    for turn in &history.turns {
        let run = (turn.job.as_str(), turn.attempt, turn.agent_id.as_str());
        runs.entry(run).or_default().push(turn);
    }
    runs
}

/// When the command of a run ran, as far as its agent could have frozen it.
fn stretches(history: &History, turns: &[&Turn]) -> Vec<Stretch> {
    let (mut ran, mut since) = (Vec::new(), None);
    for turn in turns {
        match (turn.event, since) {
            (RunEvent::Started | RunEvent::Thawed, None) => since = Some(turn.at),
            (RunEvent::Frozen | RunEvent::Ended, Some(from)) => {
                ran.push(Stretch { from, to: turn.at });
                since = None;
            }
            (RunEvent::Started | RunEvent::Thawed, Some(_)) | (RunEvent::Frozen | RunEvent::Ended, None) => {}
        }
    }
    if let (Some(from), Some(turn)) = (since, turns.last()) {
        // Commands end with their agent.
        let to = died_at(history, &turn.agent, from).unwrap_or(history.collected_at);
        ran.push(Stretch { from, to });
    }
    match turns.first() {
        Some(turn) => ran
            .into_iter()
            .flat_map(|stretch| fenced(history, &turn.agent, stretch))
            .collect(),
        None => ran,
    }
}

fn died_at(history: &History, agent: &str, after: Moment) -> Option<Moment> {
    hits_of(history, agent)
        .filter(|hit| hit.blow == Blow::Killed && hit.stretch.from >= after)
        .map(|hit| hit.stretch.from)
        .min()
}

/// The part of a stretch in which the agent could act: until it was stopped for longer than a moment, if it was.
fn fenced(history: &History, agent: &str, stretch: Stretch) -> Vec<Stretch> {
    let stops = hits_of(history, agent)
        .filter(|hit| hit.blow == Blow::Stopped)
        .map(|hit| hit.stretch);
    let stops = stops.chain(history.stalls.iter().copied());
    let mut parts = vec![stretch];
    for stop in stops {
        // It needs a moment to see that its leases are lost.
        let stop = stop.and_after(history.terms.overlap_max);
        parts = parts.into_iter().flat_map(|part| without(part, stop)).collect();
    }
    parts
}

fn without(part: Stretch, gap: Stretch) -> Vec<Stretch> {
    let before = Stretch {
        to: part.to.min(gap.from),
        ..part
    };
    let after = Stretch {
        from: part.from.max(gap.to),
        ..part
    };
    [before, after]
        .into_iter()
        .filter(|part| part.from < part.to)
        .collect()
}

fn hits_of<'a>(history: &'a History, agent: &'a str) -> impl Iterator<Item = &'a Hit> {
    history
        .hits
        .iter()
        .filter(move |hit| matches!(&hit.target, Target::Agent(name) if name == agent))
}

/// When attempts ran by their own marks. A gap between two marks counts as running only while it is short: a frozen
/// command leaves none.
fn marked(history: &History) -> BTreeMap<(&str, u32), Vec<Stretch>> {
    let mut agents: BTreeMap<(&str, u32), &str> = BTreeMap::new();
    for fact in &history.facts {
        if let What::Claimed { attempt, agent, .. } = &fact.what {
            agents.insert((&fact.job, *attempt), agent);
        }
    }
    let mut marks: BTreeMap<(&str, u32), Vec<Moment>> = BTreeMap::new();
    for mark in &history.marks {
        marks.entry((&mark.job, mark.attempt)).or_default().push(mark.at);
    }
    let stretches = marks.into_iter().map(|(run, mut at)| {
        at.sort();
        let close = at.windows(2).filter_map(|pair| match pair {
            [from, to] if to.since(*from) <= history.terms.overlap_max => Some((*from, *to)),
            _ => None,
        });
        let mut ran: Vec<Stretch> = Vec::new();
        for (from, to) in close {
            match ran.last_mut().filter(|last| last.to == from) {
                Some(last) => last.to = to,
                None => ran.push(Stretch { from, to }),
            }
        }
        let fenced = match agents.get(&run) {
            Some(agent) => ran
                .into_iter()
                .flat_map(|part| fenced(history, agent, part))
                .collect(),
            None => ran,
        };
        (run, fenced)
    });
    stretches.collect()
}

/// Nothing of a run outlives it.
pub(super) fn left_over(history: &History, found: &mut Found) {
    for process in &history.left_over {
        found.add("P7", process);
    }
}
