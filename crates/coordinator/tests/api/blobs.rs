//! Blobs: verified, idempotent, resumable.

use domain::Digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::wire::Reply;
use crate::world::{ADMIN, World, eventually};

fn path(content: &[u8]) -> String {
    format!("/v1/blobs/{}", Digest::of(content))
}

async fn head(world: &World, content: &[u8]) -> Reply {
    world.say("HEAD", &path(content)).send().await
}

#[tokio::test]
async fn a_blob_is_stored_once_and_read_as_it_was() {
    let world = World::start().await;
    let content = b"some content";
    assert_eq!(head(&world, content).await.status, 404);
    let put = || world.say("PUT", &path(content)).body(&content[..]).send();
    assert_eq!(put().await.status, 201);
    assert_eq!(put().await.status, 200);
    let found = head(&world, content).await;
    assert_eq!(
        (found.status.as_u16(), found.header("content-length")),
        (200, "12")
    );
    let read = world.say("GET", &path(content)).send().await;
    assert_eq!(&read.body[..], content);
}

#[tokio::test]
async fn the_empty_blob_is_a_blob() {
    let world = World::start().await;
    assert_eq!(world.say("PUT", &path(b"")).send().await.status, 201);
    assert_eq!(world.say("GET", &path(b"")).send().await.body.len(), 0);
}

#[tokio::test]
async fn content_that_is_not_what_was_announced_leaves_nothing() {
    let world = World::start().await;
    let reply = world.say("PUT", &path(b"this")).body("that").send().await;
    assert_eq!(
        (reply.status.as_u16(), reply.problem().code.as_str()),
        (400, "digest_mismatch")
    );
    let found = head(&world, b"this").await;
    assert_eq!((found.status.as_u16(), found.header("upload-offset")), (404, ""));
}

#[tokio::test]
async fn a_blob_over_the_limit_is_refused() {
    let world = World::start().await;
    let content = vec![7; (1 << 20) + 1];
    let reply = world.say("PUT", &path(&content)).body(content).send().await;
    assert_eq!(
        (reply.status.as_u16(), reply.problem().code.as_str()),
        (413, "blob_too_large")
    );
}

#[tokio::test]
async fn an_upload_that_broke_off_goes_on_where_it_stopped() {
    let world = World::start().await;
    let content: Vec<u8> = (0..900_000_u32).map(|n| n as u8).collect();
    let mut broken = TcpStream::connect(world.address).await.unwrap();
    let head_text = format!(
        "PUT {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN}\r\ncontent-length: {}\r\n\r\n",
        path(&content),
        content.len()
    );
    broken.write_all(head_text.as_bytes()).await.unwrap();
    broken.write_all(&content[..600_000]).await.unwrap();
    broken.shutdown().await.unwrap();
    // Whatever the reply is, the connection ends.
    drop(broken.read_to_end(&mut Vec::new()).await);
    let stored = eventually("a part is stored", || async {
        head(&world, &content)
            .await
            .header("upload-offset")
            .parse::<usize>()
            .ok()
    })
    .await;
    assert!(stored > 0 && stored <= 600_000, "{stored}");
    let wrong = world
        .say("PUT", &path(&content))
        .header("upload-offset", (stored + 1).to_string())
        .body(content[stored..].to_vec());
    let reply = wrong.send().await;
    assert_eq!(
        (reply.status.as_u16(), reply.problem().code.as_str()),
        (409, "blob_offset")
    );
    let rest = world
        .say("PUT", &path(&content))
        .header("upload-offset", stored.to_string())
        .body(content[stored..].to_vec());
    assert_eq!(rest.send().await.status, 201);
    assert!(world.say("GET", &path(&content)).send().await.body == content);
}
