//! A small campaign in which all went well, for tests that break one thing in it.
//!
//! `01a` runs once. `01b` is taken from agent `b`, which was killed, and runs again at `a`. `01c` is cancelled while it
//! waits. `01d` is the probe at the end. Facts are 100 ms apart, and the nexus's time is the host's.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::job::StateName;
use domain::job::StateName::{Cancelled, Queued, Running, Succeeded};
use domain::{Cause, Timestamp};

use crate::history::{
    Blow, Call, Fact, History, Hit, Job, Mark, Moment, Reply, Request, RunEvent, Sight, Step, Stretch,
    Target, Terms, Turn, What,
};

/// The moment of so many milliseconds.
pub(super) const fn ms(ms: u64) -> Moment {
    Moment(ms * 1_000_000)
}

/// A claim.
pub(super) fn claimed(attempt: u32, agent: &str) -> What {
    What::Claimed {
        attempt,
        agent: agent.to_owned(),
        agent_id: format!("{agent}1"),
    }
}

/// A fact at so many milliseconds.
pub(super) fn fact(at: u64, job: &str, state: StateName, what: What) -> Fact {
    Fact {
        job: job.to_owned(),
        at: Timestamp(at),
        state,
        digest: format!("{job}@{at}"),
        what,
    }
}

/// What an agent logs at so many milliseconds.
pub(super) fn turn(at: u64, agent: &str, job: &str, attempt: u32, event: RunEvent) -> Turn {
    Turn {
        agent: agent.to_owned(),
        agent_id: format!("{agent}1"),
        job: job.to_owned(),
        attempt,
        event,
        at: ms(at),
    }
}

/// What a job writes at so many milliseconds.
pub(super) fn mark(at: u64, job: &str, attempt: u32, step: Step) -> Mark {
    Mark {
        job: job.to_owned(),
        attempt,
        step,
        at: ms(at),
    }
}

/// A submit that was acknowledged.
pub(super) fn submit(key: &str, id: &str) -> Call {
    Call {
        request: Request::Submit {
            key: key.to_owned(),
            is_another: false,
        },
        invoked_at: ms(0),
        returned_at: ms(1),
        reply: Reply::Submitted(id.to_owned()),
    }
}

/// What a reader saw.
pub(super) fn sight(job: &str, state: StateName, facts: Option<Vec<String>>) -> Sight {
    Sight {
        job: job.to_owned(),
        at: ms(5_000),
        state,
        attempt: 1,
        facts,
    }
}

/// The campaign.
pub(super) fn good() -> History {
    let facts = facts();
    let jobs = jobs(&facts);
    History {
        terms: Terms {
            lease_ttl: Duration::from_secs(6),
            claimed_within: Duration::from_secs(5),
            cancelled_within: Duration::from_secs(20),
            overlap_max: Duration::from_secs(1),
        },
        nexus_zero_ms: 0,
        collected_at: ms(100_000),
        calls: jobs.iter().map(|(id, job)| submit(&job.name, id)).collect(),
        sights: vec![
            sight(
                "01a",
                Succeeded,
                Some(vec!["01a@1000".to_owned(), "01a@1300".to_owned()]),
            ),
            sight("01b", Running, None),
        ],
        zones: [("a", "north"), ("b", "south")]
            .map(|(name, zone)| (name.to_owned(), zone.to_owned()))
            .into(),
        turns: turns(),
        marks: marks(),
        hits: vec![Hit {
            target: Target::Agent("b".to_owned()),
            blow: Blow::Killed,
            stretch: Stretch {
                from: ms(2_000),
                to: ms(4_000),
            },
        }],
        stalls: Vec::new(),
        facts,
        jobs,
        probes: vec!["01d".to_owned()],
        findings: Vec::new(),
        left_over: Vec::new(),
    }
}

fn facts() -> Vec<Fact> {
    vec![
        fact(1_000, "01a", Queued, What::Submitted),
        fact(1_100, "01b", Queued, What::Submitted),
        fact(1_200, "01c", Queued, What::Submitted),
        fact(1_300, "01a", Running, claimed(1, "a")),
        fact(1_400, "01b", Running, claimed(1, "b")),
        fact(1_500, "01c", Cancelled, What::CancelRequested),
        fact(1_600, "01a", Succeeded, What::Finished(1)),
        fact(9_000, "01b", Queued, What::Taken(1, Cause::LeaseLost)),
        fact(9_100, "01b", Running, claimed(2, "a")),
        fact(9_900, "01b", Succeeded, What::Finished(2)),
        fact(60_000, "01d", Queued, What::Submitted),
        fact(60_010, "01d", Running, claimed(1, "a")),
        fact(60_100, "01d", Succeeded, What::Finished(1)),
    ]
}

fn turns() -> Vec<Turn> {
    let started = |at, agent, job, attempt| turn(at, agent, job, attempt, RunEvent::Started);
    let ended = |at, agent, job, attempt| turn(at, agent, job, attempt, RunEvent::Ended);
    vec![
        started(1_310, "a", "01a", 1),
        ended(1_590, "a", "01a", 1),
        started(1_410, "b", "01b", 1),
        started(9_110, "a", "01b", 2),
        ended(9_890, "a", "01b", 2),
        started(60_020, "a", "01d", 1),
        ended(60_090, "a", "01d", 1),
    ]
}

fn marks() -> Vec<Mark> {
    vec![
        mark(1_320, "01a", 1, Step::First),
        mark(1_325, "01a", 1, Step::Last),
        mark(1_420, "01b", 1, Step::First),
        mark(1_700, "01b", 1, Step::More),
        mark(9_120, "01b", 2, Step::First),
        mark(9_800, "01b", 2, Step::Last),
        mark(60_030, "01d", 1, Step::First),
        mark(60_040, "01d", 1, Step::Last),
    ]
}

fn jobs(facts: &[Fact]) -> BTreeMap<String, Job> {
    let jobs = [
        ("01a", Succeeded, 1, vec![(1, "01a 1\n")]),
        ("01b", Succeeded, 2, vec![(2, "01b 2\n01b 2\n")]),
        ("01c", Cancelled, 0, vec![]),
        ("01d", Succeeded, 1, vec![(1, "01d 1\n")]),
    ];
    let jobs = jobs.into_iter();
    jobs.map(|(id, state, attempt, logs)| (id.to_owned(), job(id, state, attempt, &logs, facts)))
        .collect()
}

fn job(id: &str, state: StateName, attempt: u32, logs: &[(u32, &str)], facts: &[Fact]) -> Job {
    let events = facts.iter().filter(|fact| fact.job == id);
    Job {
        name: format!("key-{id}"),
        state,
        attempt,
        charged: attempt,
        max_attempts: 3,
        cause: None,
        exit: 0,
        not_before: None,
        zone: None,
        group: None,
        logs: logs
            .iter()
            .map(|(attempt, log)| (*attempt, (*log).to_owned()))
            .collect(),
        events: events.map(|fact| fact.digest.clone()).collect(),
    }
}
