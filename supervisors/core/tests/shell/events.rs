//! What a tree tells of its past, to whoever reads it without asking an actor.

use supervision::{Happening, Strategy, WindowInfo};

use crate::probe::{Log, Msg, SECOND, children, start, tree};

#[tokio::test(start_paused = true)]
async fn starts_ends_and_failed_starts_are_told_in_their_order() {
    let log = Log::default();
    let children @ [a, b] = &children(["a", "b"], &log);
    let tree = start(tree(Strategy::RestForOne, 3, children)).await;
    a.fail_starts(1);
    a.tell(Msg::Fail);
    b.reborn_after(1).await;
    tree.stop(SECOND).await;
    let told: Vec<String> = tree
        .directory()
        .events()
        .iter()
        .map(|event| format!("{}#{} {}", event.path, event.incarnation, event.what))
        .collect();
    assert_eq!(
        told[2].split('#').next(),
        Some("root"),
        "its number is that of the tree in this process"
    );
    assert_eq!(told[..2], ["root/a#1 started", "root/b#1 started"]);
    assert_eq!(
        told[3..],
        [
            "root/a#1 ended: crashed: boom",
            "root/b#1 ended: shutdown",
            "root/a#2 did not start: no luck",
            "root/a#3 started",
            "root/b#2 started",
            "root/b#2 ended: shutdown",
            "root/a#3 ended: shutdown",
            "root#1 ended: shutdown",
        ]
    );
    let totals = tree.directory().totals();
    assert_eq!(
        (
            totals.starts,
            totals.restarts,
            totals.failed_starts,
            totals.crashes
        ),
        (5, 2, 1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_shows_how_near_it_is_to_giving_up() {
    let log = Log::default();
    let children @ [a] = &children(["a"], &log);
    let tree = start(tree(Strategy::OneForOne, 3, children)).await;
    let window = |restarts| {
        Some(WindowInfo {
            restarts,
            max: 3,
            within: 5 * SECOND,
        })
    };
    let shown = || tree.directory().find("root").unwrap().window;
    assert_eq!(shown(), window(0));
    a.tell(Msg::Fail);
    a.reborn_after(1).await;
    assert_eq!(shown(), window(1));
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!(shown(), window(0));
    assert_eq!(tree.directory().totals().gave_up, 0);
    assert!(
        tree.directory()
            .events()
            .iter()
            .any(|event| matches!(event.what, Happening::Ended(_)))
    );
}
