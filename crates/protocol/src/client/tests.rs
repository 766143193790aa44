//! The client against a coordinator that goes silent in the middle of a reply, and between several ([`failover`]).

mod coordinator;
mod failover;

use std::time::Duration;

use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Client, ClientError, Options, Upload};

/// The time limit of a call.
const LIMIT: Duration = Duration::from_millis(200);
/// How long a call may take at most, on a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// A client of somebody who answers each request with the head of a reply and no more, and keeps the connection for
/// as long as the second value lives.
async fn client_of_a_silent_coordinator(status: &'static str) -> (Client, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut coordinator = JoinSet::new();
    coordinator.spawn(async move {
        let mut open = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 4_096]).await.unwrap() > 0);
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: 10\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            open.push(stream);
        }
    });
    (Client::new([url], "token").unwrap(), coordinator)
}

fn limited() -> Options {
    Options::default().timeout(LIMIT)
}

async fn assert_times_out<T>(call: impl Future<Output = Result<T, ClientError>>) {
    let answer = timeout(SOON, call).await.expect("the call ends by itself");
    assert!(matches!(answer, Err(ClientError::TimedOut { limit: LIMIT, .. })));
}

#[tokio::test]
async fn the_time_limit_covers_the_body_of_a_reply() {
    let (client, _coordinator) = client_of_a_silent_coordinator("200 OK").await;
    assert_times_out(client.get::<String>("/", limited())).await;
    assert_times_out(client.post::<String>("/", &"body", limited())).await;
    assert_times_out(client.post_bytes::<String>("/", "body".into(), limited())).await;
    assert_times_out(client.put("/", Upload::bytes("body".into()), limited())).await;
}

#[tokio::test]
async fn the_time_limit_covers_the_body_of_a_refusal_whatever_was_asked() {
    let (client, _coordinator) = client_of_a_silent_coordinator("503 Service Unavailable").await;
    assert_times_out(client.get::<String>("/", limited())).await;
    assert_times_out(client.stream("/", "*/*", limited())).await;
}

#[tokio::test]
async fn a_stream_may_go_on_beyond_the_time_limit() {
    let (client, _coordinator) = client_of_a_silent_coordinator("200 OK").await;
    let reply = timeout(SOON, client.stream("/", "*/*", limited())).await.unwrap();
    let mut body = reply.unwrap().into_body();
    let nothing_yet = timeout(LIMIT * 2, body.frame()).await;
    assert!(nothing_yet.is_err());
}
