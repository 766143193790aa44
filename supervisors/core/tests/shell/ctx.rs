//! What an actor does about itself: steps, ticks, tasks.
//!
//! The actor counts what reaches it, and is asked for the counts.

use std::time::Duration;

use supervision::{Actor, ChildSpec, Ctx, Failure, Handle, Intensity, Reply, Strategy, Tree, TreeSpec};
use tokio::time::{Instant, sleep};

use crate::probe::{SECOND, eventually};

/// Counts steps and ticks; runs tasks.
struct Clockwork;

enum Msg {
    Walk(u32),
    Step(u32),
    TickAfter(Duration),
    Tick,
    Wait(Duration),
    Waited,
    PanicInTask,
    Report(Reply<Report>),
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Report {
    steps: u32,
    ticks: Vec<u64>,
    waits: u32,
}

struct State {
    begin: Instant,
    report: Report,
}

impl Actor for Clockwork {
    type Msg = Msg;
    type State = State;

    async fn start(&self, _: &Ctx<Msg>) -> Result<State, Failure> {
        Ok(State {
            begin: Instant::now(),
            report: Report::default(),
        })
    }

    async fn handle(&self, ctx: &Ctx<Msg>, msg: Msg, state: &mut State) -> Result<(), Failure> {
        match msg {
            Msg::Walk(steps) => ctx.tell_self(Msg::Step(steps)),
            Msg::Step(0) => {}
            Msg::Step(left) => {
                state.report.steps += 1;
                ctx.tell_self(Msg::Step(left - 1));
            }
            Msg::TickAfter(delay) => ctx.tick_after(delay, Msg::Tick),
            Msg::Tick => state.report.ticks.push(state.begin.elapsed().as_secs()),
            Msg::Wait(delay) => ctx.task(async move {
                sleep(delay).await;
                Msg::Waited
            })?,
            Msg::Waited => state.report.waits += 1,
            Msg::PanicInTask => ctx.task(async { panic!("boom in a task") })?,
            Msg::Report(reply) => drop(reply.send(state.report.clone())),
        }
        Ok(())
    }
}

async fn start() -> (Tree, Handle<Msg>) {
    let handle = Handle::new("clockwork", 4);
    let child = ChildSpec::worker("clockwork", &handle, || Clockwork);
    let spec = TreeSpec::new(
        Strategy::OneForOne,
        Intensity {
            max: 1,
            within: SECOND,
        },
    )
    .child(child);
    (Tree::start("root", spec).await.unwrap(), handle)
}

async fn report(handle: &Handle<Msg>) -> Report {
    handle.ask(Msg::Report, SECOND).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn long_work_in_steps_is_not_bounded_by_the_mailbox_and_lets_others_in() {
    let (_tree, handle) = start().await;
    handle.try_tell(Msg::Walk(1000)).unwrap();
    let between = report(&handle).await.steps;
    assert!(between < 1000, "the question waited for all steps");
    eventually(async || (report(&handle).await.steps == 1000).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_tick_replaces_the_old_one() {
    let (_tree, handle) = start().await;
    handle.try_tell(Msg::TickAfter(2 * SECOND)).unwrap();
    sleep(SECOND).await;
    handle.try_tell(Msg::TickAfter(4 * SECOND)).unwrap();
    sleep(9 * SECOND).await;
    assert_eq!(report(&handle).await.ticks, [5]);
}

#[tokio::test(start_paused = true)]
async fn a_tick_replaced_while_it_lies_in_the_queue_is_not_delivered() {
    let (_tree, handle) = start().await;
    handle.try_tell(Msg::TickAfter(Duration::ZERO)).unwrap();
    handle.try_tell(Msg::TickAfter(3 * SECOND)).unwrap();
    sleep(9 * SECOND).await;
    assert_eq!(report(&handle).await.ticks, [3]);
}

#[tokio::test(start_paused = true)]
async fn a_task_waits_beside_the_mailbox_and_comes_back_as_a_message() {
    let (_tree, handle) = start().await;
    handle.try_tell(Msg::Wait(5 * SECOND)).unwrap();
    assert_eq!(report(&handle).await.waits, 0);
    sleep(6 * SECOND).await;
    assert_eq!(report(&handle).await.waits, 1);
}

#[tokio::test(start_paused = true)]
async fn ticks_and_tasks_do_not_outlive_their_incarnation() {
    let (tree, handle) = start().await;
    handle.try_tell(Msg::TickAfter(5 * SECOND)).unwrap();
    handle.try_tell(Msg::Wait(5 * SECOND)).unwrap();
    handle.try_tell(Msg::PanicInTask).unwrap();
    sleep(9 * SECOND).await;
    assert_eq!(report(&handle).await, Report::default());
    assert_eq!(tree.directory().find("root/clockwork").unwrap().incarnation, 2);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_task_is_a_crash_of_its_actor() {
    let (tree, handle) = start().await;
    handle.try_tell(Msg::PanicInTask).unwrap();
    eventually(async || {
        tree.directory()
            .find("root/clockwork")
            .filter(|now| now.incarnation == 2)
    })
    .await;
    let exit = tree
        .directory()
        .find("root/clockwork")
        .unwrap()
        .last_exit
        .unwrap();
    assert_eq!(exit.to_string(), "crashed: task panicked: boom in a task");
}

#[tokio::test(start_paused = true)]
async fn more_tasks_than_allowed_are_refused() {
    let (tree, handle) = start().await;
    for _ in 0..=supervision::TASKS_MAX {
        handle.tell_waiting(Msg::Wait(60 * SECOND)).await.unwrap();
    }
    eventually(async || {
        tree.directory()
            .find("root/clockwork")
            .filter(|now| now.incarnation == 2)
    })
    .await;
    let exit = tree
        .directory()
        .find("root/clockwork")
        .unwrap()
        .last_exit
        .unwrap();
    assert_eq!(
        exit.to_string(),
        "crashed: 1024 tasks of this actor are running already"
    );
}
