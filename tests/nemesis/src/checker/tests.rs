//! A checker that finds nothing proves nothing: each promise that it checks is broken here, and it must say so.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::job::StateName::{Failed, Queued, Running, Succeeded};
use domain::{Cause, Timestamp};

use super::check;
use super::sample::{claimed, fact, good, mark, ms, sight, submit, turn};
use crate::history::{
    Blow, History, Hit, Job, Moment, Reply, Request, RunEvent, Step, Stretch, Target, What,
};
use crate::promises::{PROMISES, Shown};

/// A way to break one promise.
type Breaks = (&'static str, fn(&mut History));

const BREAKS: &[Breaks] = &[
    ("I1", |history| history.calls.push(submit("key-lost", "01z"))),
    ("I2", |history| history.calls.push(submit("key-01a", "01b"))),
    ("I2", |history| {
        let mut call = submit("key-01a", "01a");
        call.request = Request::Submit {
            key: "key-01a".to_owned(),
            is_another: true,
        };
        history.calls.push(call);
    }),
    ("P8", |history| {
        let mut call = submit("key-01a", "01a");
        call.reply = Reply::Refused("unauthorized".to_owned());
        history.calls.push(call);
    }),
    // A job that ended goes on.
    ("P4", |history| {
        history.facts.push(fact(70_000, "01a", Running, claimed(2, "a")));
    }),
    ("I3", |history| {
        history.facts.push(fact(70_000, "01a", Running, claimed(2, "a")));
    }),
    // Somebody has seen an end that is not the end.
    ("I3", |history| history.sights.push(sight("01a", Failed, None))),
    // The same attempt is given out twice.
    ("I4", |history| {
        at(history, "01b@9100").what = claimed(1, "a");
    }),
    // Somebody has seen an attempt that is forgotten.
    ("I4", |history| {
        let mut sight = sight("01a", Running, None);
        sight.attempt = 2;
        history.sights.push(sight);
    }),
    // Two live leases.
    ("P3", |history| {
        history
            .facts
            .insert(5, fact(1_450, "01b", Running, claimed(2, "a")));
    }),
    // The older attempt's end is recorded for the newer one's job.
    ("I6", |history| at(history, "01b@9900").what = What::Finished(1)),
    ("I18", |history| drop(job(history, "01a").events.pop())),
    // A trail was rewritten after somebody had seen it.
    ("I17", |history| {
        history
            .sights
            .push(sight("01a", Succeeded, Some(vec!["other".to_owned()])));
    }),
    // A cancel is acknowledged, and forgotten.
    ("I16", |history| {
        let mut call = submit("", "");
        call.request = Request::Cancel {
            job: "01a".to_owned(),
        };
        call.reply = Reply::Done;
        history.calls.push(call);
    }),
    ("I16", |history| {
        history.facts.push(fact(70_000, "01c", Running, claimed(1, "a")));
    }),
    // A cancel takes for ever.
    ("I16", |history| {
        at(history, "01d@60100").at = Timestamp(95_000);
        history
            .facts
            .insert(12, fact(60_050, "01d", Running, What::CancelRequested));
    }),
    ("I9", |history| {
        job(history, "01a").zone = Some("south".to_owned());
    }),
    ("I13", |history| {
        job(history, "01a").not_before = Some(Timestamp(50_000));
    }),
    ("I11", |history| {
        for id in ["01a", "01b"] {
            job(history, id).group = Some(("g".to_owned(), 1));
        }
    }),
    // Attempt 2 is recorded with what attempt 1 wrote.
    ("I5", |history| {
        drop(job(history, "01b").logs.insert(2, "01b 1\n".to_owned()));
    }),
    // Attempt 2 is recorded as over while its program was still at it.
    ("I5", |history| history.marks.retain(|mark| mark.at != ms(9_800))),
    ("I20", |history| {
        history.marks.push(mark(1_400, "01a", 1, Step::First));
    }),
    ("I20", |history| {
        history.turns.push(turn(1_400, "b", "01a", 1, RunEvent::Started));
    }),
    // Attempt 1 goes on beside attempt 2, by its agent's word: it was cut off and never froze it.
    ("I7", |history| {
        history.hits[0].blow = Blow::CutOff;
        history.turns.push(turn(12_000, "b", "01b", 1, RunEvent::Ended));
        stretch_second_attempt(history);
    }),
    // The same by the job's own marks.
    ("I7", |history| {
        history
            .marks
            .extend((0..20).map(|n| mark(9_120 + n * 200, "01b", 1, Step::More)));
        history
            .marks
            .extend((0..20).map(|n| mark(9_120 + n * 200, "01b", 2, Step::More)));
    }),
    ("P7", |history| {
        history.left_over.push("01a.1: sleep 600".to_owned());
    }),
    ("I8", |history| job(history, "01b").charged = 4),
    // The machinery's failure ends a job that had attempts left.
    ("I8", |history| {
        let job = job(history, "01b");
        (job.state, job.cause) = (Failed, Some(Cause::LeaseLost));
    }),
    // A failure of the machinery is taken for the program's.
    ("I8", |history| {
        let job = job(history, "01b");
        (job.state, job.cause) = (Failed, Some(Cause::Signal { signal: 9 }));
    }),
    ("I19", |history| {
        history
            .findings
            .push("01a: stands in lane/x without a reason".to_owned());
    }),
    // Nothing was wrong with the agent, whatever was wrong with the nexus.
    ("L5", |history| history.hits[0].target = Target::Nexus),
    ("L1", |history| job(history, "01a").state = Queued),
    ("L2", |history| {
        at(history, "01d@60010").at = Timestamp(66_000);
    }),
];

fn at<'a>(history: &'a mut History, digest: &str) -> &'a mut crate::history::Fact {
    history
        .facts
        .iter_mut()
        .find(|fact| fact.digest == digest)
        .unwrap()
}

fn job<'a>(history: &'a mut History, id: &str) -> &'a mut Job {
    history.jobs.get_mut(id).unwrap()
}

/// Lets attempt 2 of `01b` last until 12 s.
fn stretch_second_attempt(history: &mut History) {
    for turn in &mut history.turns {
        if turn.agent == "a" && turn.job == "01b" && turn.event == RunEvent::Ended {
            turn.at = ms(12_000);
        }
    }
}

#[test]
fn a_good_history_has_no_violation() {
    assert_eq!(check(&good()), []);
}

#[test]
fn each_promise_that_is_checked_is_found_broken() {
    for (nth, (code, breaks)) in BREAKS.iter().enumerate() {
        let mut history = good();
        breaks(&mut history);
        let found = check(&history);
        let codes: Vec<&str> = found.iter().map(|violation| violation.promise).collect();
        assert!(
            codes.contains(code),
            "break {nth} of {code} is found as {found:?}"
        );
    }
    let checked = PROMISES
        .iter()
        .filter(|promise| matches!(promise.shown, Shown::Here(_)));
    let checked: BTreeSet<&str> = checked.map(|promise| promise.code).collect();
    let broken: BTreeSet<&str> = BREAKS.iter().map(|(code, _)| *code).collect();
    assert_eq!(broken, checked, "what is checked and what is broken here");
}

#[test]
fn an_agent_that_was_stopped_may_lose_its_lease_and_run_on_for_nobody_could_freeze_it() {
    let mut history = good();
    history.hits[0].blow = Blow::Stopped;
    history.hits[0].stretch.to = ms(11_000);
    history.turns.push(turn(11_500, "b", "01b", 1, RunEvent::Ended));
    stretch_second_attempt(&mut history);
    assert_eq!(check(&history), []);
}

#[test]
fn a_frozen_attempt_does_not_run() {
    let mut history = good();
    history.hits[0].blow = Blow::CutOff;
    history.hits[0].stretch.to = ms(11_000);
    history.turns.push(turn(6_500, "b", "01b", 1, RunEvent::Frozen));
    history.turns.push(turn(11_500, "b", "01b", 1, RunEvent::Ended));
    stretch_second_attempt(&mut history);
    assert_eq!(check(&history), []);
}

#[test]
fn a_machine_that_stood_still_is_no_fault_of_ours() {
    let mut history = good();
    history.hits.clear();
    let stall = Stretch {
        from: ms(2_000),
        to: ms(8_000),
    };
    history.stalls.push(stall);
    history.turns.push(turn(1_900, "b", "01b", 1, RunEvent::Ended));
    assert_eq!(check(&history), []);
}

#[test]
fn refusals_that_must_be_are_in_order() {
    let mut history = good();
    let mut mismatch = submit("key-01a", "01a");
    mismatch.request = Request::Submit {
        key: "key-01a".to_owned(),
        is_another: true,
    };
    mismatch.reply = Reply::Refused("idempotency_mismatch".to_owned());
    let mut late = mismatch.clone();
    late.request = Request::Cancel {
        job: "01a".to_owned(),
    };
    late.reply = Reply::Refused("job_ended".to_owned());
    let mut unknown = submit("key-never", "");
    unknown.reply = Reply::Unknown("cut".to_owned());
    history.calls.extend([mismatch, late, unknown]);
    assert_eq!(check(&history), []);
}

#[test]
fn calm_time_is_what_hits_and_their_aftermath_leave() {
    let mut history = good();
    let hit = |from, to| Hit {
        target: Target::Nexus,
        blow: Blow::Killed,
        stretch: Stretch {
            from: ms(from),
            to: ms(to),
        },
    };
    // With the life of a lease each: 10 s to 18 s and 15 s to 22 s.
    history.hits = vec![hit(15_000, 16_000), hit(10_000, 12_000)];
    let calm = |from, to| {
        history.calm(Stretch {
            from: ms(from),
            to: ms(to),
        })
    };
    assert_eq!(calm(0, 30_000), Duration::from_secs(18));
    assert_eq!(calm(11_000, 17_000), Duration::ZERO);
    assert_eq!(calm(17_000, 24_000), Duration::from_secs(2));
    assert_eq!(Moment::default(), ms(0));
}
