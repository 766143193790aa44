//! Logs that are small, large, over their limit, and on disks that fail.

use protocol::frame::Decoder;
use tempfile::TempDir;

use super::*;

const AT: Timestamp = Timestamp(7);

fn spool(dir: &TempDir, limit: u64) -> Spool {
    Spool::new(dir.path().join("log"), ByteSize(limit))
}

fn read_all(spool: &Spool) -> Vec<u8> {
    let mut log = Vec::new();
    while let Some((offset, chunk)) = spool.next_chunk(1000).unwrap() {
        log.extend_from_slice(&chunk);
        spool.stored(offset + chunk.len() as u64);
    }
    log
}

#[test]
fn a_small_log_touches_no_disk_and_travels_with_the_finish() {
    let dir = TempDir::new().unwrap();
    let spool = spool(&dir, 1 << 20);
    spool.append(Stream::Stdout, AT, b"hello").unwrap();
    let log = spool.inline().unwrap();
    assert_eq!(Digest::of(&log), spool.digest());
    assert_eq!(log.len() as u64, spool.len());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_large_log_becomes_a_file_without_losing_a_byte_and_the_file_goes_with_it() {
    let dir = TempDir::new().unwrap();
    let spool = spool(&dir, 1 << 20);
    let piece: Vec<u8> = (0..=255).cycle().take(9_000).collect();
    for _ in 0..10 {
        spool.append(Stream::Stderr, AT, &piece).unwrap();
    }
    assert_eq!(spool.inline(), None);
    assert!(!spool.is_delivered_by_finish());
    let log = read_all(&spool);
    assert_eq!(Digest::of(&log), spool.digest());
    assert!(spool.is_delivered_by_finish());
    let mut decoder = Decoder::default();
    decoder.push(&log);
    let mut data = Vec::new();
    while let Some(frame) = decoder.next_frame().unwrap() {
        data.extend_from_slice(&frame.data);
    }
    assert_eq!(data, piece.repeat(10));
    drop(spool);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn output_over_the_limit_is_counted_and_one_last_frame_says_so() {
    let dir = TempDir::new().unwrap();
    let spool = spool(&dir, 8);
    for _ in 0..3 {
        spool.append(Stream::Stdout, AT, b"12345").unwrap();
    }
    spool.close(AT);
    spool.close(AT);
    let mut decoder = Decoder::default();
    decoder.push(&spool.inline().unwrap());
    let frames: Vec<_> = std::iter::from_fn(|| decoder.next_frame().unwrap()).collect();
    let texts: Vec<_> = frames
        .iter()
        .map(|frame| (frame.stream, String::from_utf8_lossy(&frame.data).into_owned()))
        .collect();
    let note = "log limit of 8B reached: 7 more bytes were dropped\n";
    let expected = [
        (Stream::Stdout, "12345"),
        (Stream::Stdout, "123"),
        (Stream::Agent, note),
    ];
    assert_eq!(texts, expected.map(|(stream, text)| (stream, text.to_owned())));
}

#[test]
fn once_a_chunk_was_sent_the_log_is_shipped_to_its_end_from_where_the_coordinator_is() {
    let dir = TempDir::new().unwrap();
    let spool = spool(&dir, 1 << 20);
    spool.append(Stream::Stdout, AT, b"abc").unwrap();
    let (offset, chunk) = spool.next_chunk(4).unwrap().unwrap();
    assert_eq!((offset, chunk.len()), (0, 4));
    assert_eq!(spool.inline(), None);
    spool.stored(10);
    assert_eq!(spool.next_chunk(100).unwrap().unwrap().0, 10);
    spool.stored(2);
    assert_eq!(spool.backlog(), spool.len() - 2);
}

#[test]
fn a_log_that_cannot_be_written_is_refused_whole_until_it_is_given_up() {
    let spool = Spool::new("/nowhere/log".into(), ByteSize(1 << 20));
    spool.append(Stream::Stdout, AT, b"kept").unwrap();
    let (len, digest) = (spool.len(), spool.digest());
    let large = [0; INLINE_LOG_BYTES_MAX];
    spool.append(Stream::Stdout, AT, &large).unwrap_err();
    assert_eq!((spool.len(), spool.digest()), (len, digest));
    spool.refuse_more();
    spool.append(Stream::Stdout, AT, &large).unwrap();
    spool.close(AT);
    assert_eq!((spool.len(), spool.digest()), (len, digest));
}

#[test]
fn what_does_not_wait_takes_all_or_nothing_and_leaves_the_rest_to_what_does() {
    let dir = TempDir::new().unwrap();
    let spool = spool(&dir, 100 << 10);
    let kind = |result: io::Result<()>| result.map_err(|error| error.kind());
    let blocked = Err(io::ErrorKind::WouldBlock);
    let half = [7; INLINE_LOG_BYTES_MAX / 2];
    spool.try_append(Stream::Stdout, AT, &half).unwrap();
    let (len, digest) = (spool.len(), spool.digest());
    assert_eq!(kind(spool.try_append(Stream::Stdout, AT, &half)), blocked);
    assert_eq!((spool.len(), spool.digest()), (len, digest));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    for _ in 0..3 {
        spool.append(Stream::Stdout, AT, &half).unwrap();
    }
    let read = spool.try_next_chunk(1).map(drop);
    assert_eq!(kind(read), blocked);
    assert_eq!((kind(spool.try_close(AT)), spool.is_closed()), (blocked, false));
    spool.close(AT);
    assert_eq!((kind(spool.try_close(AT)), spool.is_closed()), (Ok(()), true));
    assert_eq!(Digest::of(&read_all(&spool)), spool.digest());
}

#[test]
fn while_the_disk_stands_still_all_that_is_known_of_a_log_can_be_asked() {
    let dir = TempDir::new().unwrap();
    let spool = spool(&dir, 1 << 20);
    spool.append(Stream::Stdout, AT, b"abc").unwrap();
    let stalled = spool.take_turn();
    let refused = spool.try_append(Stream::Stdout, AT, b"d").unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
    assert_eq!(spool.try_close(AT).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert!(spool.is_delivered_by_finish() && !spool.is_closed() && !spool.is_empty());
    assert_eq!(Digest::of(&spool.inline().unwrap()), spool.digest());
    let chunk = spool.try_next_chunk(5).unwrap().unwrap();
    spool.stored(chunk.1.len() as u64);
    assert_eq!(spool.backlog(), spool.len() - 5);
    spool.refuse_more();
    drop(stalled);
}

#[test]
fn a_log_that_was_thrown_away_leaves_no_file_whatever_comes_late() {
    let dir = TempDir::new().unwrap();
    let spool = spool(&dir, 1 << 20);
    let large = [0; INLINE_LOG_BYTES_MAX];
    spool.append(Stream::Stdout, AT, &large).unwrap();
    spool.discard();
    spool.append(Stream::Stdout, AT, &large).unwrap();
    assert_eq!(
        (spool.backlog(), fs::read_dir(dir.path()).unwrap().count()),
        (0, 0)
    );
}
