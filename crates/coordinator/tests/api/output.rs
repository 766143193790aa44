//! What a run wrote and left, as people read it.

use bytes::Bytes;
use domain::Digest;
use domain::job::RunEnd;
use protocol::frame::Stream;
use protocol::leases::Finish;

use crate::agent::{artifact, finish, frames, success};
use crate::wire::Reply;
use crate::world::World;

/// An ended job whose log has text of all three streams. Returns the path of its attempt.
async fn ended(world: &World) -> String {
    let agent = world.agent("forge").await;
    world.submit().await;
    let lease = agent.one().await;
    let log = frames(&[
        (Stream::Stdout, b"out 1\n"),
        (Stream::Stderr, b"err 1\n"),
        (Stream::Agent, b"a note\n"),
        (Stream::Stdout, b"out 2\n"),
    ]);
    agent.finish(vec![finish(&lease, RunEnd::Succeeded, log)]).await;
    format!("/v1/jobs/{}/attempts/1", lease.job)
}

async fn range(world: &World, path: &str, range: &str) -> Reply {
    world.say("GET", path).header("range", range).send().await
}

#[tokio::test]
async fn the_text_is_what_the_command_wrote_in_the_order_in_which_it_was_read() {
    let world = World::start().await;
    let log = format!("{}/log", ended(&world).await);
    let reply = world.say("GET", &log).send().await;
    assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(reply.text(), "out 1\nerr 1\nout 2\n");
    for (stream, text) in [
        ("stdout", "out 1\nout 2\n"),
        ("stderr", "err 1\n"),
        ("agent", "a note\n"),
    ] {
        assert_eq!(
            world
                .say("GET", &format!("{log}?stream={stream}"))
                .send()
                .await
                .text(),
            text
        );
    }
}

#[tokio::test]
async fn a_range_of_the_text_says_where_it_is() {
    let world = World::start().await;
    let log = format!("{}/log", ended(&world).await);
    for (wanted, said, text) in [
        ("bytes=6-11", "bytes 6-11/18", "err 1\n"),
        ("bytes=12-", "bytes 12-17/18", "out 2\n"),
        ("bytes=-2", "bytes 16-17/18", "2\n"),
        ("bytes=0-999", "bytes 0-17/18", "out 1\nerr 1\nout 2\n"),
    ] {
        let reply = range(&world, &log, wanted).await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("content-range"), reply.text()),
            (206, said, text)
        );
    }
    let beyond = range(&world, &log, "bytes=18-").await;
    assert_eq!(
        (beyond.status.as_u16(), beyond.header("content-range")),
        (416, "bytes */18")
    );
    assert_eq!(beyond.problem().code, "bad_range");
    let strange = range(&world, &log, "lines=1-2").await;
    assert_eq!((strange.status.as_u16(), strange.body.len()), (200, 18));
}

#[tokio::test]
async fn there_is_no_log_of_an_attempt_that_has_not_begun() {
    let world = World::start().await;
    let id = world.submit().await;
    for attempt in [0, 1, 2] {
        let reply = world
            .say("GET", &format!("/v1/jobs/{id}/attempts/{attempt}/log"))
            .send()
            .await;
        assert_eq!(
            (reply.status.as_u16(), reply.problem().code.as_str()),
            (404, "attempt_unknown")
        );
    }
}

#[tokio::test]
async fn an_artifact_is_sent_as_a_file_and_never_as_a_page() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    let id = world.submit().await;
    let lease = agent.one().await;
    let content = b"<script>alert(1)</script>";
    world
        .vault
        .put_bytes(Bytes::from_static(content), None)
        .await
        .unwrap();
    let artifacts = vec![artifact("out/page one.html", content)];
    agent
        .finish(vec![Finish {
            artifacts,
            ..success(&lease)
        }])
        .await;
    let place = format!("/v1/jobs/{id}/attempts/1/artifacts");
    let listed = world.say("GET", &place).send().await.value();
    assert_eq!(listed["items"][0]["size"], content.len());
    let file = world
        .say("GET", &format!("{place}/out/page%20one.html"))
        .send()
        .await;
    assert_eq!((file.status.as_u16(), &file.body[..]), (200, &content[..]));
    assert_eq!(file.header("content-disposition"), "attachment");
    assert_eq!(file.header("content-type"), "application/octet-stream");
    assert_eq!(file.header("content-length"), content.len().to_string());
    assert_eq!(file.header("etag"), format!("\"{}\"", Digest::of(content)));
    let missing = world.say("GET", &format!("{place}/out/other")).send().await;
    assert_eq!(missing.problem().code, "artifact_unknown");
}
