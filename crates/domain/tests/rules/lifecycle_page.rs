//! The generated parts of docs/job-lifecycle.md, made by asking `apply` in every situation.
//!
//! The page fails its test when it says something else than the rules do. `HIVEFORGE_UPDATE_DOCS=1` rewrites it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use domain::job::{RunEnd, State, StateName, Waits, apply};
use domain::{Cause, Job, JobEvent, JobFact, Step};

use crate::sample::{
    NOW, accepted, agent_fault, cancel_requested, causes, claimed, finished, given_back, lease_taken,
    rejected, spec,
};
use crate::situation;

/// What can happen to a job, in a reader's words.
struct Happening {
    words: &'static str,
    /// The same, short enough for an arrow.
    short: &'static str,
    event: fn(&Job) -> JobEvent,
}

const HAPPENINGS: [Happening; 12] = [
    Happening {
        words: "its time comes",
        short: "time comes",
        event: |_| JobEvent::Due,
    },
    Happening {
        words: "its group has room",
        short: "group has room",
        event: |_| JobEvent::Admitted,
    },
    Happening {
        words: "an agent claims it",
        short: "claimed",
        event: |_| claimed(1),
    },
    Happening {
        words: "the agent reports success",
        short: "success",
        event: |job| finished(job.attempt, RunEnd::Succeeded),
    },
    Happening {
        words: "the agent reports a failure of the program",
        short: "program failed",
        event: |job| finished(job.attempt, RunEnd::Failed(Cause::Exit { code: 1 })),
    },
    Happening {
        words: "the agent reports a failure of the machinery",
        short: "machinery failed",
        event: |job| finished(job.attempt, RunEnd::Failed(agent_fault())),
    },
    Happening {
        words: "the agent confirms that it killed the run",
        short: "kill confirmed",
        event: |job| finished(job.attempt, RunEnd::Cancelled),
    },
    Happening {
        words: "the agent gives the lease back unstarted",
        short: "given back",
        event: |job| given_back(job.attempt),
    },
    Happening {
        words: "the reaper takes the lease of a silent agent",
        short: "lease lost",
        event: |job| lease_taken(job.attempt, Cause::LeaseLost),
    },
    Happening {
        words: "a renewal finds the run overdue, and its lease is taken",
        short: "overdue",
        event: |job| lease_taken(job.attempt, Cause::Timeout),
    },
    Happening {
        words: "somebody cancels it",
        short: "cancel",
        event: |_| cancel_requested(),
    },
    Happening {
        words: "it is found that it can never run",
        short: "can never run",
        event: |_| rejected(),
    },
];

/// One way from a state to a state.
struct Transition {
    from: StateName,
    to: StateName,
    happening: &'static Happening,
    /// The conditions under which it goes this way; empty when it always does.
    when: BTreeSet<&'static str>,
    fact: String,
    charged: bool,
}

/// What the outcome of an event may depend on.
fn condition(job: &Job, event: &JobEvent) -> &'static str {
    match (&job.state, event) {
        (
            State::Queued {
                waits: Waits::Nothing,
            },
            _,
        ) => "it is in its lane",
        (
            State::Queued {
                waits: Waits::Until(_),
            },
            _,
        ) => "it waits for a time",
        (
            State::Queued {
                waits: Waits::ForGroup,
            },
            _,
        ) => "it waits for its group",
        (State::Running(running), _) if running.cancel.is_some() => "a cancel is requested",
        (State::Running(_), JobEvent::CancelRequested { .. }) => "no cancel is requested yet",
        (State::Running(_), JobEvent::GivenBack { .. }) if job.given_back >= domain::job::GIVEN_BACK_MAX => {
            "it came back 16 times before"
        }
        (State::Running(_), JobEvent::GivenBack { .. }) => "it came back less often",
        (
            State::Running(_),
            JobEvent::LeaseTaken {
                cause: Cause::Timeout,
                ..
            },
        ) => "no cancel is requested",
        (State::Running(_), _) if job.charged + 1 < job.max_attempts => "an attempt is left",
        (State::Running(_), _) => "no attempt is left",
        _ => "it has ended",
    }
}

fn transitions() -> Vec<Transition> {
    let mut found = Vec::new();
    for from in StateName::ALL {
        for happening in &HAPPENINGS {
            found.extend(ways(from, happening));
        }
    }
    found
}

/// Where this leads from a state, over all situations of that state.
fn ways(from: StateName, happening: &'static Happening) -> Vec<Transition> {
    let mut ways: BTreeMap<StateName, Transition> = BTreeMap::new();
    let mut conditions = BTreeSet::new();
    let jobs = situation::all().into_iter().map(|situation| situation.job);
    for job in jobs.filter(|job| job.state.name() == from) {
        let event = (happening.event)(&job);
        let condition = condition(&job, &event);
        conditions.insert(condition);
        let Ok(Step::Moved(step)) = apply(&job, event, NOW) else {
            continue;
        };
        let to = step.next.state.name();
        let way = ways.entry(to).or_insert_with(|| Transition {
            from,
            to,
            happening,
            when: BTreeSet::new(),
            fact: kind(&step.fact),
            charged: step.next.charged > job.charged,
        });
        way.when.insert(condition);
        assert_eq!(
            (&way.fact, way.charged),
            (&kind(&step.fact), step.next.charged > job.charged)
        );
    }
    for way in ways.values_mut().filter(|way| way.when == conditions) {
        way.when.clear();
    }
    ways.into_values().collect()
}

/// The name of a fact, as the journal and the API have it.
fn kind(fact: &JobFact) -> String {
    match serde_json::to_value(fact).expect("a fact is JSON") {
        serde_json::Value::String(kind) => kind,
        serde_json::Value::Object(fields) => fields.into_iter().next().expect("a variant").0,
        other => panic!("{other} is no variant"),
    }
}

fn diagram() -> String {
    let mut labels: BTreeMap<(StateName, StateName), Vec<&str>> = BTreeMap::new();
    for transition in transitions() {
        let ends = (transition.from, transition.to);
        labels.entry(ends).or_default().push(transition.happening.short);
    }
    let first = accepted(&spec("")).next.state.name();
    let arrow = |((from, to), labels): (&(StateName, StateName), &Vec<&str>)| {
        format!("    {from} --> {to}: {}\n", labels.join("<br/>"))
    };
    let arrows: String = labels.iter().map(arrow).collect();
    let is_left = |state: &StateName| labels.keys().any(|(from, _)| from == state);
    let ends = StateName::ALL.iter().filter(|state| !is_left(state));
    let ends: String = ends.map(|state| format!("    {state} --> [*]\n")).collect();
    format!("```mermaid\nstateDiagram-v2\n    [*] --> {first}: submitted\n{arrows}{ends}```\n")
}

fn table() -> String {
    let row = |way: &Transition| {
        let when = way.when.iter().copied().collect::<Vec<_>>().join(", or ");
        let charged = if way.charged { "yes" } else { "" };
        let (words, fact) = (way.happening.words, &way.fact);
        format!(
            "| {} | {words} | {when} | {} | `{fact}` | {charged} |\n",
            way.from, way.to
        )
    };
    let submitted = kind(&accepted(&spec("")).fact);
    let rows: String = transitions().iter().map(row).collect();
    format!(
        "| from | what happens | only when | to | fact in the journal | charged |\n|---|---|---|---|---|---|\n\
         | | it is submitted | | queued | `{submitted}` | |\n{rows}"
    )
}

fn cause_table() -> String {
    let row = |cause: &Cause| {
        let value = serde_json::to_value(cause).expect("a cause is JSON");
        let kind = value
            .get("kind")
            .and_then(|kind| kind.as_str())
            .expect("a kind")
            .to_owned();
        let whose = if cause.is_infrastructure() {
            "the machinery's: may be tried again"
        } else {
            "final"
        };
        (
            cause.is_infrastructure(),
            format!("| `{kind}` | {cause} | {whose} |\n"),
        )
    };
    let mut rows: Vec<(bool, String)> = causes().iter().map(row).collect();
    rows.sort_by_key(|(tried_again, _)| *tried_again);
    let rows: String = rows.into_iter().map(|(_, row)| row).collect();
    format!("| cause | as it is shown, for example | |\n|---|---|---|\n{rows}")
}

/// The page with one generated part replaced.
fn with_part(page: &str, name: &str, content: &str) -> String {
    let begin = format!("<!-- generated: {name} -->\n");
    let (before, rest) = page
        .split_once(&begin)
        .unwrap_or_else(|| panic!("the page lacks {begin}"));
    let (_, after) = rest
        .split_once("<!-- end -->")
        .expect("a generated part has an end");
    format!("{before}{begin}{content}<!-- end -->{after}")
}

#[test]
fn the_page_on_the_life_of_a_job_says_what_the_rules_do() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/job-lifecycle.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let parts = [
        ("state diagram", diagram()),
        ("transition table", table()),
        ("causes", cause_table()),
    ];
    let parts = parts.iter();
    let wanted = parts.fold(page.clone(), |page, (name, content)| {
        with_part(&page, name, content)
    });
    if std::env::var_os("HIVEFORGE_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    } else {
        assert!(
            page == wanted,
            "docs/job-lifecycle.md is not what the rules do: run with HIVEFORGE_UPDATE_DOCS=1"
        );
    }
}

#[test]
fn every_state_can_be_reached_and_only_the_terminal_ones_are_never_left() {
    for state in StateName::ALL {
        let left = transitions().iter().any(|way| way.from == state);
        let reached = state == StateName::Queued || transitions().iter().any(|way| way.to == state);
        assert_eq!((left, reached), (!state.is_terminal(), true), "{state}");
    }
}
