//! Blobs on their way to and from the coordinator's vault, by digest and in pieces.
//!
//! A blob that is there already is not sent again. What arrives is hashed while it is written, and whoever puts it in
//! place does so only after the digest was right.

use std::fs::File;
use std::io::{Read as _, Write};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use domain::Digest;
use http::header::CONTENT_TYPE;
use protocol::client::{Client, Options, Upload};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::failure::Failure;

/// Bytes that are read at once.
const PIECE_BYTES: usize = 256 << 10;
/// What any upload may take, however small.
const UPLOAD_TIME_MIN: Duration = Duration::from_secs(60);
/// The slowest upload that is waited for, in bytes a second.
const UPLOAD_RATE_MIN: u64 = 64 << 10;
/// How often an upload is tried.
const UPLOAD_TRIES_MAX: u32 = 6;
/// How long the first pause is; each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
/// The code for a blob that is being uploaded by somebody else.
const BLOB_BUSY: &str = "blob_busy";
/// How long a download may stand still.
pub(crate) const STALL_MAX: Duration = Duration::from_secs(60);

/// The digest and length of a local file.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn digest_of(path: &Path) -> Result<(Digest, u64), Failure> {
    let unreadable = |why| Failure::file("read", path, why);
    let mut file = File::open(path).map_err(unreadable)?;
    let mut sha = Sha256::new();
    let mut buffer = vec![0; PIECE_BYTES];
    let mut length = 0;
    loop {
        match file.read(&mut buffer).map_err(unreadable)? {
            0 => return Ok((Digest::from_bytes(sha.finalize().into()), length)),
            read => {
                sha.update(buffer.get(..read).unwrap_or_default());
                length += read as u64;
            }
        }
    }
}

/// Uploads a file whose digest is known, unless the coordinator has it. Tries again when another upload of the same
/// blob, or anything else that passes, is in the way.
///
/// # Errors
/// The file cannot be read or has changed, or the coordinator refuses.
pub(crate) async fn upload(client: &Client, path: &Path, digest: Digest, length: u64) -> Result<(), Failure> {
    let mut pause = PAUSE_FIRST;
    for _ in 1..UPLOAD_TRIES_MAX {
        match upload_once(client, path, digest, length).await {
            Err(Failure::Client(error)) if error.is_transient() || error.code() == Some(BLOB_BUSY) => {
                tokio::time::sleep(pause).await;
            }
            result => return result,
        }
        pause *= 2;
    }
    upload_once(client, path, digest, length).await
}

async fn upload_once(client: &Client, path: &Path, digest: Digest, length: u64) -> Result<(), Failure> {
    let place = format!("/v1/blobs/{digest}");
    if client.head(&place).await?.is_some() {
        return Ok(());
    }
    let file = File::open(path).map_err(|why| Failure::file("read", path, why))?;
    let limit = UPLOAD_TIME_MIN + Duration::from_secs(length / UPLOAD_RATE_MIN);
    let options = Options::default()
        .header(CONTENT_TYPE.as_str(), "application/octet-stream")
        .timeout(limit);
    if length == 0 {
        return Ok(client.put(&place, Upload::empty(), options).await?);
    }
    let (pieces, body) = Upload::chunks(length);
    let (sent, fed) = tokio::join!(client.put(&place, body, options), feed(file, pieces));
    // A file that cannot be read to its end breaks the request off: then the file is what to speak of.
    fed.map_err(|why| Failure::file("read", path, why))?;
    Ok(sent?)
}

async fn feed(mut file: File, pieces: mpsc::Sender<std::io::Result<Bytes>>) -> std::io::Result<()> {
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let length = match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(why) => {
                let kind = why.kind();
                drop(pieces.send(Err(why)).await);
                return Err(kind.into());
            }
        };
        let piece = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
        // A closed channel means that the request has its answer already.
        if pieces.send(Ok(piece)).await.is_err() {
            return Ok(());
        }
    }
}

/// Downloads `path` into `out` and checks that it is `expected`. What was written is worthless after an error.
///
/// # Errors
/// The coordinator refuses, the connection breaks, `out` cannot be written, or the content is another.
pub(crate) async fn download(
    client: &Client,
    path: &str,
    expected: Digest,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    let mut reply = client
        .stream(path, "application/octet-stream", Options::default())
        .await?;
    let mut sha = Sha256::new();
    while let Some(piece) = reply.piece(STALL_MAX).await? {
        sha.update(&piece);
        out.write_all(&piece).map_err(Failure::output)?;
    }
    out.flush().map_err(Failure::output)?;
    let found = Digest::from_bytes(sha.finalize().into());
    if found == expected {
        Ok(())
    } else {
        let what = path.trim_start_matches("/v1/").to_owned();
        Err(Failure::Damaged {
            what,
            expected,
            found,
        })
    }
}
