//! What clients were told, against what became of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::checker::Found;
use crate::history::{History, Reply, Request};

/// The refusal of a key that stands for another job.
const MISMATCH: &str = "idempotency_mismatch";
/// The refusal of a cancel that comes too late.
const ENDED: &str = "job_ended";

/// An acknowledged submit exists, and an acknowledged cancel left its fact.
pub(super) fn acknowledged(history: &History, found: &mut Found) {
    let asked_to_end: BTreeSet<&str> = history
        .facts
        .iter()
        .filter(|fact| fact.what == crate::history::What::CancelRequested)
        .map(|fact| fact.job.as_str())
        .collect();
    for call in &history.calls {
        match (&call.request, &call.reply) {
            (Request::Submit { key, .. }, Reply::Submitted(id)) => match history.jobs.get(id) {
                None => found.add("I1", format!("{id} was acknowledged for {key}, and is not there")),
                Some(job) if job.name != *key => found.add(
                    "I2",
                    format!("{id} was acknowledged for {key}, and is {}", job.name),
                ),
                Some(_) => {}
            },
            (Request::Cancel { job }, Reply::Done) if !asked_to_end.contains(job.as_str()) => {
                found.add(
                    "I16",
                    format!("the cancel of {job} was acknowledged, and left no fact"),
                );
            }
            (Request::Submit { .. } | Request::Cancel { .. }, _) => {}
        }
    }
}

/// One key, one job; and another body under the key is refused once the key is known to stand for something.
pub(super) fn keys(history: &History, found: &mut Found) {
    let mut told: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for call in &history.calls {
        if let (Request::Submit { key, .. }, Reply::Submitted(id)) = (&call.request, &call.reply) {
            told.entry(key).or_default().insert(id);
        }
        if let (
            Request::Submit {
                key,
                is_another: true,
            },
            Reply::Submitted(id),
        ) = (&call.request, &call.reply)
        {
            found.add("I2", format!("another body was accepted under {key} as {id}"));
        }
    }
    for (id, job) in &history.jobs {
        told.entry(&job.name).or_default().insert(id);
    }
    for (key, ids) in told.into_iter().filter(|(_, ids)| ids.len() > 1) {
        found.add("I2", format!("{key} stands for {ids:?}"));
    }
}

/// Nothing is refused but what must be.
pub(super) fn refusals(history: &History, found: &mut Found) {
    for call in &history.calls {
        let Reply::Refused(code) = &call.reply else {
            continue;
        };
        let is_right = match &call.request {
            Request::Submit { is_another, .. } => *is_another && code == MISMATCH,
            Request::Cancel { .. } => code == ENDED,
        };
        if !is_right {
            found.add("P8", format!("{:?} was refused with `{code}`", call.request));
        }
    }
}
