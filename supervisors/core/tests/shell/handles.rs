//! Handles: bounded, and stable over restarts.
//!
//! What a sender hears when nobody is there, when there is no room, and when the actor dies with the question.

use std::time::Duration;

use supervision::{AskError, Refused, Strategy};

use crate::probe::{Child, Log, Msg, SECOND, start, tree};

#[tokio::test(start_paused = true)]
async fn a_handle_survives_the_restart_of_its_actor() {
    let log = Log::default();
    let child = Child::new("a", &log);
    assert_eq!(child.handle.try_tell(Msg::Leave), Err(Refused::Down));
    let tree = start(tree(Strategy::OneForOne, 3, [&child])).await;
    assert_eq!(child.handle.ask(Msg::Ping, SECOND).await, Ok(1));
    child.tell(Msg::Fail);
    assert_eq!(child.reborn_after(1).await, 2);
    tree.stop(SECOND).await;
    assert_eq!(child.handle.try_tell(Msg::Leave), Err(Refused::Down));
    assert_eq!(child.handle.ask(Msg::Ping, SECOND).await, Err(AskError::Down));
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_refuses_and_has_room_again_when_it_was_read() {
    let log = Log::default();
    let child = Child::new("a", &log);
    let tree = start(tree(Strategy::OneForOne, 3, [&child])).await;
    let slow = child.handle.clone();
    let slow = slow.ask(|reply| Msg::Slow(reply, SECOND), 60 * SECOND);
    let fill = async {
        child.has_read_all().await;
        for _ in 0..4 {
            child.handle.ask(Msg::Ping, Duration::ZERO).await.unwrap_err();
        }
        assert_eq!(child.handle.depth(), 4);
        assert_eq!(child.handle.ask(Msg::Ping, SECOND).await, Err(AskError::Busy));
        assert_eq!(child.handle.try_tell(Msg::Leave), Err(Refused::Busy));
    };
    let (answer, ()) = tokio::join!(slow, fill);
    assert_eq!(answer, Ok(1));
    tokio::time::sleep(SECOND).await;
    assert_eq!(child.handle.depth(), 0);
    let mailbox = tree.directory().find("root/a").unwrap().mailbox;
    assert_eq!((mailbox.sent, mailbox.handled, mailbox.capacity), (5, 5, 4));
    // 2^20 us is the first bound above a second.
    assert_eq!(
        (mailbox.waits.counts[20], mailbox.waits.quantile(1.0)),
        (4, Some(Duration::from_micros(1 << 20)))
    );
}

#[tokio::test(start_paused = true)]
async fn an_edge_may_wait_for_room() {
    let log = Log::default();
    let child = Child::new("a", &log);
    let tree = start(tree(Strategy::OneForOne, 3, [&child])).await;
    child
        .handle
        .ask(|reply| Msg::Slow(reply, SECOND), Duration::ZERO)
        .await
        .unwrap_err();
    child.has_read_all().await;
    for _ in 0..4 {
        child.handle.ask(Msg::Ping, Duration::ZERO).await.unwrap_err();
    }
    let before = tokio::time::Instant::now();
    assert_eq!(child.handle.tell_waiting(Msg::Leave).await, Ok(()));
    assert_eq!(before.elapsed(), SECOND);
    tree.stop(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn waiting_for_room_ends_with_the_actor() {
    let log = Log::default();
    let child = Child::new("a", &log);
    let tree = start(tree(Strategy::OneForOne, 3, [&child])).await;
    child.tell(Msg::Hang);
    child.has_read_all().await;
    for _ in 0..4 {
        child.tell(Msg::Leave);
    }
    let (told, _) = tokio::join!(child.handle.tell_waiting(Msg::Leave), tree.stop(SECOND));
    assert_eq!(told, Err(Refused::Down));
}

#[tokio::test(start_paused = true)]
async fn an_asker_hears_of_a_crash_at_once() {
    let log = Log::default();
    let child = Child::new("a", &log);
    let tree = start(tree(Strategy::OneForOne, 3, [&child])).await;
    let before = tokio::time::Instant::now();
    let (asked, queued) = tokio::join!(
        child.handle.ask(Msg::FailAsked, 60 * SECOND),
        child.handle.ask(Msg::Ping, 60 * SECOND)
    );
    assert_eq!((asked, queued), (Err(AskError::Down), Err(AskError::Down)));
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(child.reborn_after(1).await, 2);
    tree.stop(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn an_asker_does_not_wait_longer_than_its_limit() {
    let log = Log::default();
    let child = Child::new("a", &log);
    let tree = start(tree(Strategy::OneForOne, 3, [&child])).await;
    let question = child.handle.ask(|reply| Msg::Slow(reply, 9 * SECOND), 2 * SECOND);
    assert_eq!(question.await, Err(AskError::TimedOut));
    tree.stop(SECOND).await;
}
