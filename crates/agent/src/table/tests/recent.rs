//! What is told again after the nexus may have forgotten it: bounded, in order, and until it is answered.

use domain::job::{Evidence, Report};
use domain::{Digest, Span};
use protocol::leases::{Finish, Proof};

use super::super::recent::{AGAIN_MAX, TOLD_BYTES_MAX, TOLD_FOR, TOLD_MAX, Word};
use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn finish(number: u128, log_bytes: usize) -> Finish {
    let lease = lease(number, 0);
    let log = bytes::Bytes::from(vec![b'x'; log_bytes]);
    let evidence = Evidence {
        log_bytes: log_bytes as u64,
        log_digest: Digest::of(&log),
        artifacts: 0,
        ran: Span::from_millis(1),
        usage: domain::job::Usage::default(),
    };
    Finish {
        job: lease.job,
        token: lease.token,
        report: Report {
            end: RunEnd::Succeeded,
            evidence: Some(evidence),
        },
        log: Some(log),
        artifacts: Vec::new(),
    }
}

fn remember(table: &RunTable, finishes: Vec<Finish>, at: BootTime) {
    let results = vec![FinishResult::Done; finishes.len()];
    table.remember(finishes, &results, at);
}

fn refused(status: u16, code: &str) -> FinishResult {
    FinishResult::Refused(Problem::new(status, code, "no"))
}

/// The jobs of what is due, by number.
fn due(table: &RunTable, now: BootTime) -> Vec<u128> {
    let number = |word: &Word| match word {
        Word::Finish(finish) => finish.job.ulid().parse().unwrap(),
        Word::Release(..) => 0,
    };
    table.again(now).iter().map(|(_, word)| number(word)).collect()
}

/// Answers everything that is due, and returns how many batches that took.
fn answer_all(table: &RunTable, now: BootTime) -> usize {
    let mut n_batches = 0;
    loop {
        let batch = table.again(now);
        if batch.is_empty() {
            return n_batches;
        }
        assert!(batch.len() <= AGAIN_MAX);
        n_batches += 1;
        for (number, _) in batch {
            table.told_again(number, &FinishResult::Done).unwrap();
        }
    }
}

#[test]
fn nothing_is_told_again_before_it_must_be_and_then_once() {
    let (table, now) = (table(1, None), now());
    remember(&table, (1..=100).map(|n| finish(n, 10)).collect(), now);
    assert!(table.again(now).is_empty());
    assert_eq!(table.tell_again(now), 100);
    assert_eq!(due(&table, now), (37..=100).rev().collect::<Vec<_>>());
    assert_eq!(answer_all(&table, now), 2);
    // What is reported from now on was told to the new nexus.
    remember(&table, vec![finish(200, 10)], now);
    assert!(table.again(now).is_empty());
    assert_eq!(table.tell_again(now), 101);
}

#[test]
fn only_what_was_recorded_and_only_the_last_minutes_are_told_again() {
    let (table, now) = (table(1, None), now());
    let results = [FinishResult::Done, refused(409, "lease_lost")];
    table.remember(vec![finish(1, 0), finish(2, 0)], &results, now);
    remember(&table, vec![finish(3, 0)], now.plus(5 * MINUTE));
    assert_eq!(table.tell_again(now.plus(TOLD_FOR)), 2);
    let later = now.plus(TOLD_FOR + MINUTE);
    assert_eq!(due(&table, later), [3]);
    assert_eq!(table.tell_again(later), 1);
}

#[test]
fn memory_is_bounded_in_number_and_in_bytes_and_the_newest_are_kept() {
    let (many, now) = (table(1, None), now());
    let n_many = TOLD_MAX as u128 + 10;
    remember(&many, (1..=n_many).map(|n| finish(n, 0)).collect(), now);
    assert_eq!(many.tell_again(now), TOLD_MAX);
    assert_eq!(due(&many, now)[0], n_many);
    let large = table(1, None);
    let log = TOLD_BYTES_MAX / 100;
    remember(&large, (1..=200).map(|n| finish(n, log)).collect(), now);
    let n_kept = large.tell_again(now);
    assert!((98..=100).contains(&n_kept), "{n_kept}");
    // Few in a request, because each is large.
    assert!(due(&large, now).len() < 20);
    assert!(answer_all(&large, now) > 5);
}

#[test]
fn what_is_put_off_stays_due_and_what_is_refused_for_good_does_not() {
    let (table, now) = (table(1, None), now());
    remember(&table, (1..=3).map(|n| finish(n, 10)).collect(), now);
    table.tell_again(now);
    let numbers: Vec<u64> = table.again(now).iter().map(|(number, _)| *number).collect();
    table
        .told_again(numbers[0], &refused(503, "nexus_unavailable"))
        .unwrap_err();
    table.told_again(numbers[1], &refused(409, "lease_lost")).unwrap();
    // Its log was shipped before its end, and is gone on both sides.
    table
        .told_again(numbers[2], &refused(409, "log_incomplete"))
        .unwrap();
    assert_eq!(due(&table, now), [3, 1]);
    let Some((_, Word::Finish(without_log))) = table.again(now).pop() else {
        panic!("it is a finish")
    };
    assert_eq!((without_log.report.evidence, without_log.log), (None, None));
    table
        .told_again(numbers[2], &refused(409, "log_incomplete"))
        .unwrap();
    assert_eq!(due(&table, now), [3]);
}

#[test]
fn a_lease_that_was_given_back_is_given_back_again() {
    let (table, now) = (table(1, None), now());
    let proof = {
        let lease = lease(1, 0);
        Proof {
            job: lease.job,
            token: lease.token,
        }
    };
    table.remember_returned(GiveBack::Drain, std::slice::from_ref(&proof), now);
    assert_eq!(table.tell_again(now), 1);
    let again = table.again(now);
    let [(number, Word::Release(GiveBack::Drain, same))] = again.as_slice() else {
        panic!("it is a return: {again:?}")
    };
    assert_eq!(*same, proof);
    table.returned_again(&[*number]);
    assert!(table.again(now).is_empty());
}

#[test]
fn a_lease_of_which_the_end_is_remembered_is_told_of_again_and_not_run_again_though_no_era_was_heard_of() {
    let (table, before) = (table(2, None), now());
    table.admit(vec![lease(1, 0)], before);
    let proofs = table.all_renewals();
    table.renewed(&proofs, &[Standing::Lost], before, Instant::now());
    remember(&table, vec![finish(1, 10)], now());
    assert!(table.again(now()).is_empty());
    let after = now().plus(MILLIS);
    assert_eq!(table.admit(vec![lease(1, 0)], before), 0);
    assert!(table.again(now()).is_empty(), "the reply was late");
    for _ in 0..2 {
        assert_eq!(table.admit(vec![lease(1, 0)], after), 0);
        assert_eq!(due(&table, now()), [1]);
    }
    let (number, _) = table.again(now())[0];
    table.told_again(number, &FinishResult::Done).unwrap();
    assert!(table.again(now()).is_empty() && table.is_empty());
}

#[test]
fn what_the_nexus_has_lost_may_be_granted_again_but_not_what_is_being_told_again() {
    let (table, now) = (table(2, None), now());
    for number in [1, 2] {
        table.admit(vec![lease(number, 0)], now);
        let proofs = table.all_renewals();
        table.renewed(&proofs, &[Standing::Lost], now, Instant::now());
    }
    remember(&table, vec![finish(1, 10)], now);
    assert_eq!(table.admit(vec![lease(1, 0), lease(2, 0)], now), 0);
    table.tell_again(now);
    assert_eq!(table.admit(vec![lease(1, 0)], now), 0);
    assert_eq!(table.admit(vec![lease(2, 0)], now), 1);
    let (number, _) = table.again(now)[0];
    table.told_again(number, &refused(409, "blob_missing")).unwrap();
    // A reply to what was sent before that may still be an echo.
    assert_eq!(table.admit(vec![lease(1, 0)], now), 0);
    let later = super::now().plus(MILLIS);
    assert_eq!(table.admit(vec![lease(1, 0)], later), 1);
}
