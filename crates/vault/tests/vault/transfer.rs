//! The async calls: the same promises, and what happens when a stream breaks or a future is dropped.

use std::io;

use bytes::Bytes;
use domain::Digest;
use futures_util::future;
use futures_util::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use tokio::sync::Notify;
use vault::{Presence, Stored, VaultError};

use crate::{Home, NOTHING, bytes};

/// A body of `content` in pieces of `piece` bytes.
fn body(content: &[u8], piece: usize) -> impl Stream<Item = io::Result<Bytes>> + use<> {
    let pieces: Vec<_> = content
        .chunks(piece)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    stream::iter(pieces)
}

fn broken() -> impl Stream<Item = io::Result<Bytes>> {
    stream::once(future::ready(Err(io::Error::from(
        io::ErrorKind::ConnectionReset,
    ))))
}

#[tokio::test]
async fn a_stream_comes_back_as_it_went_in() {
    let home = Home::new();
    let content = bytes(1_000_000);
    let digest = Digest::of(&content);
    let stored = home
        .vault
        .put_stream(body(&content, 7_000), Some(digest))
        .await
        .unwrap();
    assert_eq!(
        stored,
        Stored {
            digest,
            size: 1_000_000
        }
    );

    let chunks: Vec<Bytes> = home
        .vault
        .stream(digest)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(chunks.concat(), content);
    assert_eq!(home.vault.read_to_vec(digest, 1_000_000).await.unwrap(), content);
}

#[tokio::test]
async fn a_range_can_be_streamed() {
    let home = Home::new();
    let digest = home
        .vault
        .put_bytes(Bytes::from_static(b"hello world"), None)
        .await
        .unwrap()
        .digest;
    let part = home.vault.stream_range(digest, 6..9).await.unwrap();
    assert_eq!(part.try_collect::<Vec<Bytes>>().await.unwrap().concat(), b"wor");
}

#[tokio::test]
async fn the_last_chunk_of_a_damaged_blob_is_an_error() {
    let home = Home::new();
    let content = bytes(600_000);
    let digest = home
        .vault
        .put_bytes(Bytes::from(content), None)
        .await
        .unwrap()
        .digest;
    home.flip_bit(digest, 0);
    let chunks: Vec<_> = home.vault.stream(digest).await.unwrap().collect().await;
    let (last, before) = chunks.split_last().unwrap();
    assert!(
        matches!(last, Err(VaultError::Damaged { digest: damaged }) if *damaged == digest),
        "{last:?}"
    );
    assert!(before.iter().all(Result::is_ok));
    let refused = home.vault.read_to_vec(digest, 1 << 20).await.unwrap_err();
    assert!(matches!(refused, VaultError::Damaged { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_blob_is_not_read_into_less_memory_than_it_needs() {
    let home = Home::new();
    let digest = home
        .vault
        .put_bytes(Bytes::from_static(b"abc"), None)
        .await
        .unwrap()
        .digest;
    let refused = home.vault.read_to_vec(digest, 2).await.unwrap_err();
    assert!(
        matches!(refused, VaultError::TooLarge { bytes_max: 2 }),
        "{refused:?}"
    );
}

#[tokio::test]
async fn announced_content_is_checked_in_both_ways_in() {
    let home = Home::new();
    let announced = Some(Digest::of(b"abc"));
    let of_bytes = home
        .vault
        .put_bytes(Bytes::from_static(b"abd"), announced)
        .await
        .unwrap_err();
    let of_stream = home
        .vault
        .put_stream(body(b"abd", 1), announced)
        .await
        .unwrap_err();
    assert!(matches!(of_bytes, VaultError::Mismatch { .. }), "{of_bytes:?}");
    assert!(matches!(of_stream, VaultError::Mismatch { .. }), "{of_stream:?}");
    assert_eq!(home.files(), NOTHING);
}

#[tokio::test]
async fn a_broken_plain_stream_leaves_nothing() {
    let home = Home::new();
    let refused = home
        .vault
        .put_stream(body(b"hello ", 2).chain(broken()), None)
        .await
        .unwrap_err();
    assert!(matches!(refused, VaultError::Interrupted { .. }), "{refused:?}");
    assert_eq!(home.files(), NOTHING);
}

#[tokio::test]
async fn a_broken_resumable_stream_keeps_every_byte_that_arrived() {
    let home = Home::new();
    let digest = Digest::of(b"hello world");
    assert_eq!(home.vault.presence(digest).await.unwrap(), Presence::Absent);

    let content = body(b"hello ", 2).chain(broken());
    let refused = home.vault.resume_stream(digest, 0, content).await.unwrap_err();
    assert!(matches!(refused, VaultError::Interrupted { .. }), "{refused:?}");
    assert_eq!(home.vault.presence(digest).await.unwrap(), Presence::Partial(6));

    let wrong = home
        .vault
        .resume_stream(digest, 5, body(b" world", 2))
        .await
        .unwrap_err();
    assert!(
        matches!(wrong, VaultError::Offset { offset: 5, stored: 6 }),
        "{wrong:?}"
    );

    let stored = home
        .vault
        .resume_stream(digest, 6, body(b"world", 2))
        .await
        .unwrap();
    assert_eq!(stored, Stored { digest, size: 11 });
    assert_eq!(home.vault.presence(digest).await.unwrap(), Presence::Whole(11));
    assert_eq!(home.files(), [home.blob(digest)]);
}

#[tokio::test]
async fn an_upload_may_start_over_at_the_first_byte() {
    let home = Home::new();
    let digest = Digest::of(b"hello world");
    let content = body(b"hello ", 2).chain(broken());
    home.vault.resume_stream(digest, 0, content).await.unwrap_err();
    let stored = home
        .vault
        .resume_stream(digest, 0, body(b"hello world", 3))
        .await
        .unwrap();
    assert_eq!(stored.size, 11);
}

#[tokio::test]
async fn a_dropped_upload_leaves_nothing_and_frees_its_digest() {
    let home = Home::new();
    let digest = Digest::of(b"hello world");
    let stuck = Notify::new();
    // Says when it is asked for bytes that never come.
    let stuck_body = || {
        let tail = stream::once(async {
            stuck.notify_one();
            future::pending().await
        });
        body(b"hello ", 6).chain(tail)
    };
    tokio::select! {
        done = home.vault.resume_stream(digest, 0, stuck_body()) => panic!("{done:?}"),
        () = stuck.notified() => {}
    }
    tokio::select! {
        done = home.vault.put_stream(stuck_body(), None) => panic!("{done:?}"),
        () = stuck.notified() => {}
    }
    home.vault
        .resume_stream(digest, 0, body(b"hello world", 3))
        .await
        .unwrap();
    assert_eq!(home.files(), [home.blob(digest)]);
}
