//! Following a log: everything once, in order, from anywhere, until the end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::job::RunEnd;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use protocol::client::Options;
use protocol::jobs::LogEvent;
use protocol::leases::Lease;

use crate::agent::{Agent, finish, framed, report};
use crate::fragile::{FragileNexus, Presence};
use crate::world::{SOON, World};

/// A reader of server-sent events.
struct Follower {
    body: Incoming,
    text: String,
}

/// One event: its name, id and data.
#[derive(Debug, PartialEq)]
struct Event {
    name: String,
    id: String,
    data: String,
}

impl Follower {
    async fn begin(world: &World, lease: &Lease, after: Option<&str>) -> Self {
        let path = format!("/v1/jobs/{}/attempts/{}/log", lease.job, lease.attempt);
        let options = match after {
            Some(id) => Options::default().header("last-event-id", id),
            None => Options::default(),
        };
        let response = world
            .person
            .stream(&path, "text/event-stream", options)
            .await
            .unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            body: response.into_body(),
            text: String::new(),
        }
    }

    /// The next event; none at the end of the stream. Comments are left out.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let lines = event.lines().map(str::to_owned).collect::<Vec<_>>();
                self.text = rest.to_owned();
                let field = |name: &str| {
                    let value = lines.iter().find_map(|line| line.strip_prefix(name));
                    value.unwrap_or_default().to_owned()
                };
                let (name, id, data) = (field("event: "), field("id: "), field("data: "));
                if !name.is_empty() {
                    return Some(Event { name, id, data });
                }
                continue;
            }
            let frame = tokio::time::timeout(SOON, self.body.frame())
                .await
                .unwrap()?
                .unwrap();
            self.text
                .push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
        }
    }

    /// The text of the next frame, and its id.
    async fn text(&mut self) -> (Bytes, String) {
        let event = self.next().await.unwrap();
        assert_eq!(event.name, "frame");
        let data: LogEvent = serde_json::from_str(&event.data).unwrap();
        (data.data, event.id)
    }
}

async fn running(world: &World) -> (Agent, Lease) {
    let agent = world.agent("forge").await;
    world.submit().await;
    let lease = agent.one().await;
    (agent, lease)
}

#[tokio::test]
async fn a_follower_sees_what_is_there_then_what_comes_then_the_end() {
    let world = World::start().await;
    let (agent, lease) = running(&world).await;
    let (one, two) = (framed(b"one\n"), framed(b"two\n"));
    agent.log(&lease, 0, one.clone()).await.unwrap();
    let mut follower = Follower::begin(&world, &lease, None).await;
    assert_eq!(follower.text().await, ("one\n".into(), one.len().to_string()));
    // Half a frame is nothing yet.
    agent.log(&lease, one.len(), two.slice(..15)).await.unwrap();
    agent.log(&lease, one.len() + 15, two.slice(15..)).await.unwrap();
    let total = one.len() + two.len();
    assert_eq!(follower.text().await, ("two\n".into(), total.to_string()));
    let all = [one, two].concat();
    let mut over = finish(&lease, RunEnd::Succeeded, Bytes::new());
    (over.report, over.log) = (report(RunEnd::Succeeded, &all), None);
    agent.finish(vec![over]).await;
    assert_eq!(follower.next().await.unwrap().name, "end");
    assert_eq!(follower.next().await, None);
}

#[tokio::test]
async fn a_follower_that_was_cut_off_goes_on_where_it_was() {
    let world = World::start().await;
    let (agent, lease) = running(&world).await;
    let lines: Vec<String> = (0..3_000)
        .map(|n| format!("line {n:05} {}\n", "x".repeat(60)))
        .collect();
    let log: Bytes = lines.iter().flat_map(|line| framed(line.as_bytes())).collect();
    let write = async {
        let mut offset = 0;
        // In pieces that fit neither frames nor the tail, so that the log is rolled under the reader.
        for chunk in log.chunks(10_007) {
            agent
                .log(&lease, offset, Bytes::copy_from_slice(chunk))
                .await
                .unwrap();
            offset += chunk.len();
        }
        let mut over = finish(&lease, RunEnd::Succeeded, Bytes::new());
        (over.report, over.log) = (report(RunEnd::Succeeded, &log), None);
        agent.finish(vec![over]).await;
    };
    let read = async {
        let (mut seen, mut after) = (Vec::new(), "0".to_owned());
        'connections: loop {
            let mut follower = Follower::begin(&world, &lease, Some(&after)).await;
            for _ in 0..700 {
                let Some(event) = follower.next().await else {
                    continue 'connections;
                };
                if event.name == "end" {
                    return seen;
                }
                let data: LogEvent = serde_json::from_str(&event.data).unwrap();
                seen.push(String::from_utf8(data.data.to_vec()).unwrap());
                after = event.id;
            }
        }
    };
    let ((), seen) = tokio::join!(write, read);
    assert_eq!(seen.len(), lines.len());
    assert!(seen == lines);
}

#[tokio::test]
async fn a_long_log_of_segments_and_a_tail_is_followed_without_a_gap_from_anywhere() {
    let world = World::start().await;
    let (agent, lease) = running(&world).await;
    // Lines of all lengths, so that neither pieces of the log nor parts of a reply end where frames do.
    let lines: Vec<String> = (0..6_000)
        .map(|n| format!("line {n:05} {}\n", "x".repeat(n * 37 % 1_999)))
        .collect();
    let log: Bytes = lines.iter().flat_map(|line| framed(line.as_bytes())).collect();
    assert!(log.len() > 5 << 20);
    let mut offset = 0;
    for chunk in log.chunks(300_007) {
        let chunk = Bytes::copy_from_slice(chunk);
        offset += chunk.len();
        agent.log(&lease, offset - chunk.len(), chunk).await.unwrap();
    }
    let mut over = finish(&lease, RunEnd::Succeeded, Bytes::new());
    (over.report, over.log) = (report(RunEnd::Succeeded, &log), None);
    agent.finish(vec![over]).await;
    let mut ends = vec![0];
    for line in &lines {
        ends.push(ends.last().unwrap() + framed(line.as_bytes()).len());
    }
    for first in [0, 1, 2_345, 5_999, 6_000] {
        let mut follower = Follower::begin(&world, &lease, Some(&ends[first].to_string())).await;
        for (line, end) in lines.iter().zip(&ends[1..]).skip(first) {
            assert!(follower.text().await == (line.clone().into(), end.to_string()));
        }
        assert_eq!(follower.next().await.unwrap().name, "end");
        assert_eq!(follower.next().await, None);
    }
}

#[tokio::test]
async fn a_follower_of_an_ended_attempt_gets_all_of_it_at_once() {
    let world = World::start().await;
    let (agent, lease) = running(&world).await;
    agent
        .finish(vec![finish(&lease, RunEnd::Succeeded, framed(b"done\n"))])
        .await;
    let mut follower = Follower::begin(&world, &lease, None).await;
    let began = tokio::time::Instant::now();
    assert_eq!(follower.text().await.0, "done\n");
    assert_eq!(follower.next().await.unwrap().name, "end");
    assert!(began.elapsed() < Duration::from_millis(900));
}

#[tokio::test]
async fn an_outage_is_not_the_end_of_a_log() {
    let nexus = Arc::new(FragileNexus::new());
    let world = World::over(Arc::clone(&nexus) as _).await;
    let (agent, lease) = running(&world).await;
    let mut follower = Follower::begin(&world, &lease, None).await;
    let log = framed(b"before\n");
    agent.log(&lease, 0, log.clone()).await.unwrap();
    assert_eq!(follower.text().await.0, "before\n");
    nexus.is(Presence::Refusing);
    nexus.missed(&format!("fetch job/{}", lease.job.ulid())).await;
    nexus.is(Presence::Here);
    agent.log(&lease, log.len(), framed(b"after\n")).await.unwrap();
    assert_eq!(follower.text().await.0, "after\n");
}

#[tokio::test]
async fn a_place_that_no_event_had_is_refused() {
    let world = World::start().await;
    let (_agent, lease) = running(&world).await;
    let path = format!("/v1/jobs/{}/attempts/1/log", lease.job);
    let reply = world
        .say("GET", &path)
        .header("accept", "text/event-stream")
        .header("last-event-id", "x");
    assert_eq!(reply.send().await.problem().code, "bad_event_id");
}
