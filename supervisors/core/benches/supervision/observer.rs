//! What the observer costs those whom it reads: the time of a reading, and the rate of messages while it reads.

use std::time::{Duration, Instant};

use supervision::Directory;
use tokio::task::JoinSet;

use crate::counter::{BURST, Ours};
use crate::idle::Crowd;
use crate::report::{Row, Section, quantile};
use crate::{LIMIT, Scale, THREADS, on_threads, tree_of};

/// Readings in one flow of messages; with flows of a second, as often as the terminal view reads.
const READINGS: u32 = 2;
/// Readings of one round with nothing else going on.
const QUIET_READINGS: usize = 20;

pub(crate) fn measure(scale: Scale) -> Section {
    let Scale {
        observed,
        rounds,
        flow,
        ..
    } = scale;
    Section {
        what: format!("{observed} idle actors, messages to one more for {flow:?} at a time, {rounds} rounds"),
        rows: on_threads(THREADS, rounds_of(scale)),
    }
}

async fn rounds_of(scale: Scale) -> Vec<Row> {
    let (crowd, counter) = (Crowd::new(), Ours::new());
    let tree = tree_of([crowd.spec(scale.observed), counter.spec()]).await;
    let _handles = crowd.fill(scale.observed).await;
    let directory = tree.directory();
    let (mut quiet, mut busy) = (Vec::new(), Vec::new());
    let (mut alone, mut read) = (Vec::new(), Vec::new());
    for round in 0..=scale.rounds {
        let times: Vec<f64> = (0..QUIET_READINGS).map(|_| reading(&directory)).collect();
        let rate_alone = flow(&counter, scale.flow).await;
        let mut reader = JoinSet::new();
        reader.spawn(readings(directory.clone(), scale.flow));
        let rate_read = flow(&counter, scale.flow).await;
        let while_flowing = reader.join_next().await.expect("it was begun");
        if round > 0 {
            quiet.push(quantile(&times, 0.5));
            alone.push(rate_alone);
            read.push(rate_read);
            busy.push(while_flowing.expect("reading does not panic"));
        }
    }
    assert!(tree.stop(LIMIT).await.is_empty(), "everything stops");
    let ratio = read
        .iter()
        .zip(&alone)
        .map(|(read, alone)| read / alone)
        .collect();
    vec![
        Row::new("a reading of all, nothing else going on", "ms", quiet),
        Row::new("a reading of all, while messages flow", "ms", busy),
        Row::new("messages, nobody reads", "1/s", alone),
        Row::new("messages, read twice a second", "1/s", read),
        Row::new("messages, read twice a second, of nobody reads", "x", ratio),
    ]
}

/// Returns how many messages were handled in a second.
async fn flow(counter: &Ours, time: Duration) -> f64 {
    let started_at = Instant::now();
    let mut bursts = 0;
    while started_at.elapsed() < time {
        counter.bursts(1).await;
        bursts += 1;
    }
    f64::from(bursts) * BURST as f64 / started_at.elapsed().as_secs_f64()
}

/// Reads [`READINGS`] times in the middle of a flow, and returns the mean time in milliseconds.
async fn readings(directory: Directory, flow: Duration) -> f64 {
    let pause = flow / READINGS;
    let mut total = 0.0;
    tokio::time::sleep(pause / 2).await;
    for number in 1..=READINGS {
        total += reading(&directory);
        if number < READINGS {
            tokio::time::sleep(pause).await;
        }
    }
    total / f64::from(READINGS)
}

/// Returns the time of one reading in milliseconds, its list thrown away included.
fn reading(directory: &Directory) -> f64 {
    let started_at = Instant::now();
    drop(directory.list());
    started_at.elapsed().as_secs_f64() * 1e3
}
