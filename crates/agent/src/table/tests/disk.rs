//! A disk that stands still: nobody who needs the table may wait for it.

use std::sync::mpsc;
use std::thread;

use super::*;

/// How long anything that touches no disk may take on a busy machine.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn while_a_log_waits_for_the_disk_the_table_is_open_and_leases_are_renewed() {
    let table = table(1, None);
    table.admit(vec![lease(1, 0)], now());
    let executor = forever();
    let run = start(&table, 0, &executor).await;
    let frame = [0; 1000];
    run.spool
        .append(protocol::frame::Stream::Stdout, crate::clock::wall(), &frame)
        .unwrap();
    let stalled = run.spool.take_turn();
    let (done, is_done) = mpsc::channel();
    let (watched, held) = (Arc::clone(&table), Arc::clone(&run));
    let later = Instant::now() + TTL;
    let looking = thread::spawn(move || {
        let due = now().plus(TTL.mul_f64(0.9));
        assert!(watched.shippable(0, later).is_some());
        assert_eq!(watched.all_renewals().len(), 1);
        assert!(watched.due_renewals(due).is_some());
        assert!(watched.freeze_due(due, later).is_some());
        end(&watched, 0, &held);
        assert_eq!(watched.batch(1).runs.len(), 1);
        done.send(()).unwrap();
    });
    let looked = is_done.recv_timeout(SOON);
    drop(stalled);
    looking.join().unwrap();
    looked.expect("the table waits for the disk");
    assert_eq!(executor.asked()[1..], [Asked::Freeze(1)]);
}
