//! One step of bringing a log to the coordinator: the next chunk, by offset.
//!
//! The coordinator's answer says how much it has, whether it took the chunk or had another idea of the offset; either way
//! the next step goes on from there. So a lost answer costs one chunk, and nothing is ever doubled.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use protocol::client::{ClientError, Options};
use protocol::leases::{LEASE_HEADER, LogReceived};
use protocol::limits::LOG_CHUNK_BYTES_MAX;

use crate::Station;
use crate::blocking::blocking;
use crate::run::Run;

/// Why a chunk did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    /// The spool cannot be read.
    #[error("cannot read the spool: {0}")]
    Spool(#[from] io::Error),
    /// The request failed, or was refused for a reason other than the offset.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Sends the next chunk. Returns whether there is more. A lease that seems to be lost is renewed, which tells.
pub(crate) async fn ship_chunk(station: &Station, run: &Arc<Run>) -> Result<bool, ShipError> {
    let Some((offset, chunk)) = next_chunk(run).await? else {
        return Ok(false);
    };
    let path = format!("/v1/leases/log?job={}&offset={offset}", run.held.job);
    // Offsets make it repeatable.
    let options = Options::default()
        .repeatable()
        .header(LEASE_HEADER, run.proof.token.expose())
        .header("content-type", "application/octet-stream");
    let answer = station
        .client
        .post_bytes::<LogReceived>(&path, chunk, options)
        .await;
    station.heard(&answer);
    match answer {
        Ok(received) => run.spool.stored(received.stored),
        Err(ClientError::Problem(problem)) if problem.code == "log_offset" => {
            let Ok(there) = serde_json::from_str::<LogReceived>(&problem.detail) else {
                return Err(ClientError::Problem(problem).into());
            };
            run.spool.stored(there.stored);
        }
        Err(error) => {
            if matches!(error.code(), Some("lease_lost" | "job_unknown")) {
                // A renewal decides that: after writes were lost, it can bring the lease back.
                station.table.bells.renew.notify_one();
            }
            return Err(error.into());
        }
    }
    Ok(run.spool.backlog() > 0)
}

async fn next_chunk(run: &Arc<Run>) -> io::Result<Option<(u64, Bytes)>> {
    match run.spool.try_next_chunk(LOG_CHUNK_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let run = Arc::clone(run);
            blocking(move || run.spool.next_chunk(LOG_CHUNK_BYTES_MAX)).await
        }
        chunk => chunk,
    }
}
