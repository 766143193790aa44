//! The rules of the table, without actors and without a coordinator.

mod disk;
mod recent;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use domain::job::{GiveBack, RunEnd};
use domain::plan::AHEAD_MAX;
use domain::{Cause, JobSpec};
use executor::fake::{Asked, FakeExecutor, Script};
use executor::{End, Executor as _, ExitStatus, Launch, Limits, OutputEnd, Usage};
use futures_util::FutureExt as _;
use protocol::leases::{FinishResult, Lease, Standing};
use protocol::{LeaseToken, Problem};
use tokio::time::Instant;

use super::*;

const TTL: Duration = Duration::from_secs(30);
const MILLIS: Duration = Duration::from_millis(1);

fn table(slots: usize, quota: Option<usize>) -> Arc<RunTable> {
    let capacity = Resources {
        cpu_millis: 2000,
        memory_bytes: 1 << 30,
    };
    RunTable::new(Shape {
        agent: format!("{:026}", 7).parse().unwrap(),
        slots,
        capacity,
        quota,
        places: Places::within(Path::new("/nowhere")),
    })
}

fn lease(number: u128, cpu_millis: u32) -> Lease {
    let ttl_ms = u64::try_from(TTL.as_millis()).unwrap();
    Lease {
        job: JobId::new("default".parse().unwrap(), &format!("{number:026}")).unwrap(),
        attempt: 1,
        token: LeaseToken::new(1, &"0".repeat(26).parse().unwrap(), "seal"),
        lane: Lane::new(
            Resources {
                cpu_millis,
                memory_bytes: 0,
            },
            [],
        ),
        ttl_ms,
        cancel: false,
        spec: JobSpec::command(["/bin/true"]),
    }
}

fn now() -> BootTime {
    BootTime::now()
}

/// Lets the run of a slot start by `executor`.
async fn start(table: &RunTable, slot: usize, executor: &FakeExecutor) -> Arc<Run> {
    let Duty::Prepare(run) = table.duty(slot, Instant::now()) else {
        panic!("nothing to prepare")
    };
    let launch = Launch {
        argv: vec!["x".to_owned()],
        env: Vec::new(),
        workdir: "/".into(),
        limits: Limits::default(),
    };
    let command = executor.start(launch).await.unwrap();
    let started = Arc::clone(&command);
    table.starting(&run, async move { Ok(started) }.boxed().shared());
    table.running(&run, command, Instant::now());
    run
}

fn forever() -> FakeExecutor {
    FakeExecutor::new(|_| Ok(Script::default()))
}

/// Lets a running command end well, and its slot be free.
fn end(table: &RunTable, slot: usize, run: &Arc<Run>) {
    let end = End {
        status: ExitStatus::Exited(0),
        usage: Usage::default(),
        output: OutputEnd::Complete,
    };
    table.over(run, end, Instant::now());
    let Duty::Collect(_, outcome) = table.duty(slot, Instant::now()) else {
        panic!("nothing to collect")
    };
    table.ended(run, outcome, Vec::new(), false);
}

#[test]
fn no_slot_is_asked_for_twice_and_none_is_forgotten() {
    let table = table(3, None);
    let room = table.room_for_poll().unwrap();
    assert_eq!(room.slots, 3);
    assert!(table.room_for_poll().is_none());
    assert_eq!(table.admit(vec![lease(1, 0)], now()), 1);
    drop(room);
    assert_eq!(table.room_for_poll().map(|room| room.slots), Some(2));
}

#[tokio::test(start_paused = true)]
async fn while_a_run_is_to_be_reported_the_report_carries_the_claim() {
    let table = table(2, None);
    table.admit(vec![lease(1, 0)], now());
    let run = start(&table, 0, &forever()).await;
    assert_eq!(table.room_for_poll().map(|room| room.slots), Some(1));
    end(&table, 0, &run);
    assert!(table.room_for_poll().is_none());
    assert_eq!(table.room_for_report().map(|room| room.slots), Some(2));
}

#[tokio::test(start_paused = true)]
async fn only_short_jobs_are_held_ahead_and_never_more_than_allowed() {
    let table = table(2, None);
    for number in 0..20 {
        table.admit(vec![lease(number, 0)], now());
        let run = start(&table, 0, &forever()).await;
        tokio::time::advance(MILLIS * 200 / u32::try_from(number + 1).unwrap().pow(3)).await;
        let long = number < 4;
        end(&table, 0, &run);
        let room = table.room_for_report().unwrap();
        assert!(
            room.ahead
                .as_ref()
                .is_none_or(|ahead| !long && ahead.n <= AHEAD_MAX),
            "{number}"
        );
        assert!(
            table.room_for_report().is_none_or(|second| second.slots == 0),
            "{number}"
        );
    }
    let ahead = table.room_for_report().unwrap().ahead.clone().unwrap();
    assert!(ahead.n > 10, "{ahead:?}");
}

#[test]
fn a_lease_that_is_known_is_left_alone_and_one_that_was_forgotten_is_an_echo_of_older_requests_only() {
    let table = table(2, None);
    let before = now();
    assert_eq!(table.admit(vec![lease(1, 0)], before), 1);
    assert_eq!(table.admit(vec![lease(1, 0)], now()), 0);
    let proofs = table.all_renewals();
    table.renewed(&proofs, &[Standing::Lost], now(), Instant::now());
    assert!(table.is_empty());
    assert_eq!(table.admit(vec![lease(1, 0)], before), 0);
    assert!(table.is_empty());
    // The nexus has forgotten that this attempt was used up, and grants it once more.
    assert_eq!(table.admit(vec![lease(1, 0)], now().plus(MILLIS)), 1);
}

#[test]
fn more_leases_than_can_be_run_are_given_back() {
    let table = table(1, Some(1));
    table.admit(vec![lease(1, 0), lease(2, 0)], now());
    let (why, proofs) = table.returning().unwrap();
    assert_eq!(
        (why, proofs.len(), &proofs[0].job),
        (GiveBack::Undelivered, 1, &lease(2, 0).job)
    );
    table.returned(&proofs);
    assert_eq!((table.returning(), table.len()), (None, 1));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_reserves_waits_until_there_is_room_and_lets_others_pass() {
    let table = table(3, None);
    table.admit(vec![lease(1, 1500), lease(2, 1000), lease(3, 500)], now());
    let executor = forever();
    let first = start(&table, 0, &executor).await;
    let small = start(&table, 1, &executor).await;
    assert_eq!(small.held.job, lease(3, 500).job);
    assert!(matches!(table.duty(2, Instant::now()), Duty::Idle));
    assert_eq!(table.free().cpu_millis, 0);
    end(&table, 0, &first);
    assert_eq!(start(&table, 2, &executor).await.held.job, lease(2, 1000).job);
}

#[tokio::test(start_paused = true)]
async fn what_has_no_renewal_is_frozen_and_goes_on_with_the_next() {
    let (table, executor) = (table(1, None), forever());
    let claimed_at = now();
    table.admit(vec![lease(1, 0)], claimed_at);
    let run = start(&table, 0, &executor).await;
    let asked = || executor.asked().split_off(1);
    table.freeze_due(claimed_at.plus(TTL.mul_f64(0.79)), Instant::now());
    assert_eq!(asked(), []);
    tokio::time::advance(Duration::from_secs(24)).await;
    table.freeze_due(claimed_at.plus(TTL.mul_f64(0.81)), Instant::now());
    assert_eq!(asked(), [Asked::Freeze(1)]);
    tokio::time::advance(Duration::from_secs(100)).await;
    let sent_at = claimed_at.plus(Duration::from_secs(124));
    table.renewed(
        std::slice::from_ref(&run.proof),
        &[Standing::Live],
        sent_at,
        Instant::now(),
    );
    assert_eq!(asked(), [Asked::Freeze(1), Asked::Thaw(1)]);
    // The hundred seconds in between are not running time.
    end(&table, 0, &run);
    let ran = table.batch(1).finishes[0].report.evidence.as_ref().unwrap().ran;
    assert_eq!(ran.duration(), Duration::from_secs(24));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_started_under_a_lease_that_is_about_to_run_out() {
    let table = table(1, None);
    let long_ago = BootTime(now().0.saturating_sub(TTL));
    if now().since(long_ago) < TTL {
        // The machine has only just been started: there is no such time.
        return;
    }
    table.admit(vec![lease(1, 0)], long_ago);
    assert!(matches!(table.duty(0, Instant::now()), Duty::Idle));
    let proof = lease(1, 0);
    let proof = protocol::leases::Proof {
        job: proof.job,
        token: proof.token,
    };
    table.renewed(&[proof], &[Standing::Live], now(), Instant::now());
    assert!(matches!(table.duty(0, Instant::now()), Duty::Prepare(_)));
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_kills_its_run_and_frees_its_slot_when_it_is_dead() {
    let (table, executor) = (table(1, None), forever());
    table.admit(vec![lease(1, 0)], now());
    let run = start(&table, 0, &executor).await;
    table.renewed(
        std::slice::from_ref(&run.proof),
        &[Standing::Lost],
        now(),
        Instant::now(),
    );
    assert_eq!(executor.asked()[1..], [Asked::Kill(1)]);
    assert_eq!(table.len(), 1);
    let end = End {
        status: ExitStatus::Signaled(9),
        usage: Usage::default(),
        output: OutputEnd::Complete,
    };
    table.over(&run, end, Instant::now());
    assert!(table.is_empty());
    assert_eq!(table.reportable(), (0, false));
}

#[tokio::test(start_paused = true)]
async fn a_report_stays_until_it_is_answered() {
    let table = table(1, None);
    table.admit(vec![lease(1, 0)], now());
    let run = start(&table, 0, &forever()).await;
    end(&table, 0, &run);
    let problem = |code: &str| FinishResult::Refused(Problem::new(409, code, r#"{"stored":0}"#));
    for (code, stays) in [("busy", true), ("log_incomplete", true), ("lease_lost", false)] {
        table
            .delivered(std::slice::from_ref(&run), &[problem(code)])
            .unwrap();
        assert_eq!(table.len() == 1, stays, "{code}");
        if code == "log_incomplete" {
            assert!(table.batch(1).runs.is_empty());
            assert_eq!(table.supplies().len(), 1);
            table.supplied(&run);
            assert_eq!(table.batch(1).runs.len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_artifacts_are_gone_is_reported_as_failed() {
    let table = table(1, None);
    table.admit(vec![lease(1, 0)], now());
    let run = start(&table, 0, &forever()).await;
    end(&table, 0, &run);
    let missing = FinishResult::Refused(Problem::new(409, "blob_missing", "gone"));
    table.delivered(std::slice::from_ref(&run), &[missing]).unwrap();
    assert!(table.batch(1).runs.is_empty());
    table.unsuppliable(&run, "it changed");
    let end = table.batch(1).finishes.remove(0).report.end;
    let why = "it changed".to_owned();
    assert_eq!(end, RunEnd::Failed(Cause::AgentFault { why }));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_passes_is_not_counted_and_one_that_lasts_is_told_once() {
    let table = table(1, None);
    table.admit(vec![lease(1, 0)], now());
    let run = start(&table, 0, &forever()).await;
    end(&table, 0, &run);
    let refuse = |status| {
        let problem = FinishResult::Refused(Problem::new(status, "no", "no"));
        table.delivered(std::slice::from_ref(&run), &[problem])
    };
    for status in [401, 403, 429, 500, 503, 507].repeat(10) {
        refuse(status).unwrap_err();
    }
    assert_eq!(table.batch(1).finishes[0].report.end, RunEnd::Succeeded);
    refuse(400).unwrap();
    assert!(matches!(table.batch(1).finishes[0].report.end, RunEnd::Failed(_)));
    refuse(503).unwrap_err();
    refuse(400).unwrap();
    assert!(table.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_every_actor_dies_of_is_given_up() {
    let (table, executor) = (table(1, None), forever());
    table.admit(vec![lease(1, 0)], now());
    start(&table, 0, &executor).await;
    for _ in 0..20 {
        drop(table.serve(0, Instant::now()));
    }
    let end = table.batch(1).finishes[0].report.end.clone();
    assert!(matches!(end, RunEnd::Failed(Cause::AgentFault { .. })), "{end:?}");
    assert!(matches!(table.duty(0, Instant::now()), Duty::Idle));
}

#[tokio::test(start_paused = true)]
async fn stopping_gives_back_what_was_not_started_and_only_now_kills() {
    let (table, executor) = (table(1, None), forever());
    table.admit(vec![lease(1, 0), lease(2, 0)], now());
    let run = start(&table, 0, &executor).await;
    table.stop(Stop::Drain);
    let (why, proofs) = table.returning().unwrap();
    assert_eq!((why, proofs.len()), (GiveBack::Drain, 1));
    assert_eq!(executor.asked().len(), 1);
    table.admit(vec![lease(3, 0)], now());
    assert_eq!(table.returning().unwrap().1.len(), 2);
    table.stop(Stop::Now);
    table.stop(Stop::Drain);
    assert_eq!(executor.asked()[1..], [Asked::Kill(1)]);
    end(&table, 0, &run);
    assert_eq!(
        table.batch(1).finishes[0].report.end,
        RunEnd::Failed(Cause::Preempted)
    );
    assert!(!table.is_done());
}

#[test]
fn slots_are_served_as_far_as_there_is_work_for_them() {
    let table = table(4, None);
    assert_eq!(table.unserved(), [0; 0]);
    table.admit(vec![lease(1, 0), lease(2, 0)], now());
    assert_eq!(table.unserved(), [0, 1]);
    let seat = table.serve(0, Instant::now());
    assert_eq!(table.unserved(), [1]);
    drop(seat);
    assert_eq!(table.unserved(), [0, 1]);
}

proptest::proptest! {
    #[test]
    fn whatever_happens_no_more_is_asked_for_than_there_are_slots(
        steps in proptest::collection::vec((0..5u8, 0..3usize), 1..80),
    ) {
        let table = table(3, None);
        let (mut rooms, mut next) = (Vec::new(), 0);
        for (step, slot) in steps {
            match step {
                0 => rooms.extend(table.room_for_poll()),
                1 => rooms.extend(table.room_for_report()),
                2 => {
                    // A reply to the oldest request.
                    if !rooms.is_empty() {
                        let room = rooms.remove(0);
                        let leases = (0..room.slots.min(slot + 1)).map(|n| lease(next + n as u128, 0)).collect();
                        next += 3;
                        table.admit(leases, now());
                    }
                }
                3 => drop(rooms.pop()),
                _ => {
                    if let Duty::Prepare(run) = table.duty(slot, Instant::now()) {
                        table.not_started(&run, Cause::AgentDied);
                        let Duty::Collect(run, outcome) = table.duty(slot, Instant::now()) else { panic!() };
                        table.ended(&run, outcome, Vec::new(), false);
                        table.delivered(&[run], &[FinishResult::Done]).unwrap();
                    }
                }
            }
            let asked: usize = rooms.iter().map(|room| room.slots).sum();
            let by_attempt: BTreeMap<_, _> = table.held().into_iter().map(|held| (held.job, held.attempt)).collect();
            proptest::prop_assert!(asked + by_attempt.len() <= 3, "{asked} asked for, {} held", by_attempt.len());
        }
    }
}
