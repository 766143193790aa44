//! What is stored of a job and of its history: fixed bytes for fixed values, so that old data stays readable.
//!
//! The bytes lie in `golden/records.txt`, CBOR in hex: what a store out there contains. They must be read for as long
//! as such a store may exist. When a field is added and the writing changes with it, the old line stays, under a name
//! of its own, and is read beside the new one. A record of a newer minor version, with fields unknown here, is read too.

use ciborium::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;

use domain::job::{GiveBack, Report, RunEnd};
use domain::{Cause, Entity as _, Job, JobEvent, JobFact};

use crate::sample::{
    self, accepted, after, agent, cancel_requested, claimed, evidence, finished, given_back, lease_taken,
    spec, step,
};
use crate::situation;

const GOLDEN: &str = include_str!("golden/records.txt");
/// What a queued job's record may take: many of them wait at once.
const QUEUED_BYTES_MAX: usize = 260;

fn cbor(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("a vector takes all");
    bytes
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> T {
    ciborium::from_reader(bytes).expect("a record that can be read")
}

/// A job in each state, with all that such a job can carry.
fn jobs() -> [(&'static str, Job); 9] {
    let plain = accepted(&spec("")).next;
    let full = "priority = -7\nmax_attempts = 3\ntimeout = \"2m\"\nrequires = [\"os = linux\"]\n\
        limits = { cpus = 2, memory = \"1GiB\" }\ngroup = { name = \"licence\", limit = 2 }\nname = \"train\"";
    let waiting = accepted(&spec(full)).next;
    let timed = accepted(&spec("not_before = 2027-01-01T00:00:00Z")).next;
    let retried = after(
        waiting.clone(),
        [
            JobEvent::Admitted,
            claimed(1),
            given_back(1),
            claimed(1),
            lease_taken(2, Cause::LeaseLost),
        ],
    );
    let running = after(retried.clone(), [claimed(2)]);
    let cancelling = after(running.clone(), [cancel_requested()]);
    [
        ("queued", plain),
        ("queued-until", timed),
        ("queued-group", waiting),
        ("queued-again", retried),
        ("running", running.clone()),
        ("running-cancel", cancelling.clone()),
        (
            "succeeded",
            after(running.clone(), [finished(3, RunEnd::Succeeded)]),
        ),
        (
            "failed",
            after(running, [finished(3, RunEnd::Failed(Cause::Exit { code: 2 }))]),
        ),
        ("cancelled", after(cancelling, [finished(3, RunEnd::Cancelled)])),
    ]
}

/// A fact of each kind.
fn facts() -> [(&'static str, JobFact); 11] {
    let report = Report {
        end: RunEnd::Succeeded,
        evidence: Some(evidence()),
    };
    let by = "bob".parse().expect("a principal");
    [
        ("fact-submitted", accepted(&spec("")).fact),
        ("fact-due", JobFact::Due),
        ("fact-admitted", JobFact::Admitted),
        (
            "fact-claimed",
            JobFact::Claimed {
                attempt: 1,
                agent: agent(1),
            },
        ),
        ("fact-finished", JobFact::Finished { attempt: 1, report }),
        (
            "fact-given-back",
            JobFact::GivenBack {
                attempt: 1,
                why: GiveBack::HeldAhead,
            },
        ),
        (
            "fact-lease-taken",
            JobFact::LeaseTaken {
                attempt: 1,
                cause: Cause::LeaseLost,
            },
        ),
        (
            "fact-cancel-requested",
            JobFact::CancelRequested {
                by,
                reason: Some("why".to_owned()),
            },
        ),
        (
            "fact-rejected",
            JobFact::Rejected {
                cause: Cause::InputMissing { path: "a".to_owned() },
            },
        ),
        (
            "fact-quarantined",
            JobFact::Quarantined {
                from: "timers".to_owned(),
                why: "damaged".to_owned(),
            },
        ),
        ("fact-restored", JobFact::Restored),
    ]
}

/// Each cause, with a name for its line.
fn causes() -> Vec<(String, Cause)> {
    let named = |(n, cause)| (format!("cause-{n}"), cause);
    sample::causes().into_iter().enumerate().map(named).collect()
}

fn golden(name: &str) -> Vec<u8> {
    let line = GOLDEN
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    hex::decode(line.unwrap_or_default()).expect("hex")
}

fn as_stored(name: &str, value: &impl Serialize) -> String {
    format!("{name} {}\n", hex::encode(cbor(value)))
}

#[test]
fn jobs_facts_and_causes_are_written_as_ever() {
    let jobs = jobs().map(|(name, job)| as_stored(name, &job)).concat();
    let facts = facts().map(|(name, fact)| as_stored(name, &fact)).concat();
    let causes: String = causes()
        .iter()
        .map(|(name, cause)| as_stored(name, cause))
        .collect();
    assert_eq!([jobs, facts, causes].concat(), GOLDEN);
}

#[test]
fn jobs_facts_and_causes_that_were_written_are_still_read() {
    for (name, job) in jobs() {
        assert_eq!(read::<Job>(&golden(name)), job, "{name}");
    }
    for (name, fact) in facts() {
        assert_eq!(read::<JobFact>(&golden(name)), fact, "{name}");
    }
    for (name, cause) in causes() {
        assert_eq!(read::<Cause>(&golden(&name)), cause, "{name}");
    }
}

#[test]
fn a_job_in_every_situation_survives_being_stored() {
    for situation in situation::all() {
        assert_eq!(
            read::<Job>(&cbor(&situation.job)),
            situation.job,
            "{}",
            situation.title()
        );
        assert_eq!(
            read::<Job>(&cbor(&situation.job)).places(),
            situation.job.places()
        );
    }
}

/// Adds a field to every map, at every depth, as a newer minor version might; a map of one variant stays one.
fn with_newer_fields(value: Value, variants: &[&str]) -> Value {
    match value {
        Value::Map(entries) => {
            let is_variant = matches!(
                entries.as_slice(),
                [(Value::Text(key), _)] if variants.contains(&key.as_str())
            );
            let inner = entries.into_iter();
            let mut entries: Vec<_> = inner
                .map(|(key, value)| (key, with_newer_fields(value, variants)))
                .collect();
            if !is_variant {
                entries.push(("newer".into(), Value::Array(vec![1.into(), "x".into()])));
            }
            Value::Map(entries)
        }
        other => other,
    }
}

#[test]
fn fields_that_a_newer_minor_version_added_are_passed_over() {
    let variants = [
        "queued",
        "until",
        "running",
        "succeeded",
        "failed",
        "cancelled",
        "submitted",
        "claimed",
        "finished",
        "given_back",
        "lease_taken",
        "cancel_requested",
        "rejected",
        "quarantined",
    ];
    for (name, job) in jobs() {
        let newer = with_newer_fields(read(&cbor(&job)), &variants);
        assert_eq!(read::<Job>(&cbor(&newer)), job, "{name}");
    }
    for (name, fact) in facts() {
        let newer = with_newer_fields(read(&cbor(&fact)), &variants);
        assert_eq!(read::<JobFact>(&cbor(&newer)), fact, "{name}");
    }
}

#[test]
fn the_record_of_a_typical_queued_job_is_small() {
    let job = accepted(&spec("name = \"compile1\"")).next;
    let Value::Map(fields) = read::<Value>(&cbor(&job)) else {
        panic!("a record is a map")
    };
    let sizes = fields
        .iter()
        .map(|(key, value)| (key.as_text().unwrap(), cbor(key).len() + cbor(value).len()));
    let sizes: Vec<_> = sizes.collect();
    println!("{} bytes: {sizes:?}", cbor(&job).len());
    assert!(cbor(&job).len() <= QUEUED_BYTES_MAX, "{sizes:?}");
}

#[test]
fn a_fact_is_stored_with_what_it_tells_and_nothing_else() {
    let queued = accepted(&spec("env = { PASSWORD = \"hunter2\" }"));
    let claimed = step(&queued.next, claimed(1));
    for (fact, job) in [(&queued.fact, &queued.next), (&claimed.fact, &claimed.next)] {
        let stored = [cbor(fact), cbor(job)].concat();
        assert!(!stored.windows(7).any(|part| part == b"hunter2"));
    }
}
