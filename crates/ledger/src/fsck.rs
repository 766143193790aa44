//! The check of a whole pool: every place of every job against every set, and every chain of facts.
//!
//! What follows from the records must stand in the sets, and nothing else may. A claimable job may stand among the
//! held ones for a moment instead of in its lane. It reads a dump, so it is for tests and for an operator's check of
//! one pool, not for a running coordinator's loop.

use std::collections::{BTreeMap, BTreeSet};

use domain::entity::FOLLOWUPS;
use domain::job::{JOBS, State, TIMERS, Waits};
use domain::{Digest, Entity as _, Followup, Place};
use nexus::Dump;

use crate::chain::{JournalEntry, verify_chain};
use crate::keys;
use crate::record::{self, JobRecord};

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What it is about: a job's ULID or a set.
    pub about: String,
    /// What is wrong.
    pub what: String,
}

/// Families of sets whose members follow from jobs.
const JOB_FAMILIES: [&str; 4] = ["lane/", "leases/", "group/", "waiting/"];

/// Returns everything that is wrong in a pool; empty when all is well.
pub fn fsck(dump: &Dump) -> Vec<Finding> {
    let mut findings = Vec::new();
    let jobs = read_jobs(dump, &mut findings);
    let standing = standing(dump);
    let mut expected: BTreeMap<(String, String), Place> = BTreeMap::new();
    for (ulid, record) in &jobs {
        let held = standing.contains_key(&(keys::HELD.to_owned(), ulid.clone()));
        let lane = record.job.lane.set();
        for ((set, member), place) in record.job.places() {
            if !(held && set == lane) {
                expected.insert((set, member), place);
            }
        }
    }
    for (key, place) in &expected {
        let found = standing.get(key).copied();
        let right = match place {
            Place::At(score) => found == Some(*score),
            Place::Somewhere => found.is_some(),
        };
        if !right {
            findings.push(finding(
                &key.1,
                format!("should stand in {} at {place:?}, stands at {found:?}", key.0),
            ));
        }
    }
    for ((set, member), score) in &standing {
        let derived =
            set == JOBS || set == TIMERS || JOB_FAMILIES.iter().any(|family| set.starts_with(family));
        if derived && !expected.contains_key(&(set.clone(), member.clone())) {
            findings.push(finding(
                member,
                format!("stands in {set} at {score} without a reason"),
            ));
        }
    }
    check_held(&standing, &jobs, &mut findings);
    check_groups(&standing, &jobs, &mut findings);
    check_chains(dump, &jobs, &mut findings);
    findings
}

fn finding(about: &str, what: impl Into<String>) -> Finding {
    Finding {
        about: about.to_owned(),
        what: what.into(),
    }
}

fn read_jobs(dump: &Dump, findings: &mut Vec<Finding>) -> BTreeMap<String, JobRecord> {
    let mut jobs = BTreeMap::new();
    for (key, stored) in &dump.records {
        let Some(ulid) = key.strip_prefix(keys::JOB_PREFIX) else {
            continue;
        };
        match record::decode::<JobRecord>(key, &stored.bytes) {
            Ok(record) => drop(jobs.insert(ulid.to_owned(), record)),
            Err(error) => findings.push(finding(ulid, error.to_string())),
        }
        if !dump.records.contains_key(&keys::spec(ulid)) {
            findings.push(finding(ulid, "has no spec"));
        }
    }
    jobs
}

fn standing(dump: &Dump) -> BTreeMap<(String, String), u64> {
    let entries = dump.sets.iter().flat_map(|(set, members)| {
        members
            .iter()
            .map(move |(score, member)| ((set.clone(), member.clone()), score.get()))
    });
    entries.collect()
}

/// A held job must be there and claimable, or have ended: a cancel may have come while it was held.
fn check_held(
    standing: &BTreeMap<(String, String), u64>,
    jobs: &BTreeMap<String, JobRecord>,
    findings: &mut Vec<Finding>,
) {
    for (set, member) in standing.keys() {
        if set == keys::HELD {
            let state = jobs.get(member).map(|record| &record.job.state);
            let wrong = match state {
                None => Some("is held, but there is no such job"),
                Some(State::Running(_)) => Some("is held, but runs"),
                Some(State::Queued { waits }) if *waits != Waits::Nothing => Some("is held, but waits"),
                Some(
                    State::Queued { .. }
                    | State::Succeeded { .. }
                    | State::Failed { .. }
                    | State::Cancelled { .. },
                ) => None,
            };
            findings.extend(wrong.map(|wrong| finding(member, wrong)));
        }
        if set == FOLLOWUPS && Followup::of_member(member).is_none() {
            findings.push(finding(member, "is no follow-up that this version knows"));
        }
    }
}

/// Who waits for a group needs somebody to serve it: the group's follow-up stands as long as anybody waits.
fn check_groups(
    standing: &BTreeMap<(String, String), u64>,
    jobs: &BTreeMap<String, JobRecord>,
    findings: &mut Vec<Finding>,
) {
    for (ulid, record) in jobs {
        let waits = matches!(
            record.job.state,
            State::Queued {
                waits: Waits::ForGroup
            }
        );
        if let Some(group) = record.job.group.as_ref().filter(|_| waits) {
            let duty = Followup::AdmitFromGroup(group.name.clone()).member();
            if !standing.contains_key(&(FOLLOWUPS.to_owned(), duty)) {
                findings.push(finding(ulid, "waits for its group, which nobody serves"));
            }
        }
    }
}

fn check_chains(dump: &Dump, jobs: &BTreeMap<String, JobRecord>, findings: &mut Vec<Finding>) {
    let mut threads: BTreeMap<String, Vec<(JournalEntry, Digest)>> = BTreeMap::new();
    for entry in dump
        .logs
        .get(keys::JOURNAL)
        .map(|log| log.entries.as_slice())
        .unwrap_or_default()
    {
        match JournalEntry::read(&entry.bytes) {
            Ok(read) => threads.entry(read.0.ulid.clone()).or_default().push(read),
            Err(error) => findings.push(finding(
                keys::JOURNAL,
                format!("entry {}: {error}", entry.position),
            )),
        }
    }
    for (ulid, record) in jobs {
        let facts = threads.remove(ulid).unwrap_or_default();
        if let Some(wrong) = verify_chain(&facts, record.head) {
            findings.push(finding(ulid, wrong));
        }
        let claimed = facts
            .iter()
            .filter(|(entry, _)| matches!(entry.fact, domain::JobFact::Claimed { .. }));
        if claimed.count() != record.job.attempt as usize {
            findings.push(finding(
                ulid,
                "has another number of claims in the journal than attempts",
            ));
        }
        let mut told = facts.iter().filter(|(entry, _)| entry.fact.is_transition());
        let last = told.next_back().map(|(entry, _)| entry.state);
        if last != Some(record.job.state.name()) {
            findings.push(finding(
                ulid,
                format!("is {}, its last fact says {last:?}", record.job.state.name()),
            ));
        }
    }
    let orphans: BTreeSet<&String> = threads.keys().collect();
    findings.extend(
        orphans
            .into_iter()
            .map(|ulid| finding(ulid, "has facts, but no record")),
    );
}
