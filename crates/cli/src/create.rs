//! Creating things exactly once: an `Idempotency-Key` on every create, so that it may be asked for again.
//!
//! The same key with the same body gives the same job, so a lost reply costs another try and never a second job. A few
//! quick tries only: a coordinator that is not there should be told at once.

use std::time::Duration;

use bytes::Bytes;
use protocol::client::{Client, ClientError, Options};
use protocol::jobs::IDEMPOTENCY_KEY;
use serde::de::DeserializeOwned;
use ulid::Ulid;

use crate::failure::Failure;

/// How often a create is tried.
const TRIES_MAX: u32 = 4;
/// How long the first pause is; each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// Longest pause, even when the coordinator asks for a longer one.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// What makes two requests one.
pub(crate) struct Key(String);

impl Key {
    /// One that was never used.
    pub(crate) fn fresh() -> Self {
        Self(Ulid::generate().to_string())
    }
}

/// Posts a JSON body that creates something.
///
/// # Errors
/// The coordinator refuses, or cannot be reached for a few tries.
pub(crate) async fn create<R: DeserializeOwned>(
    client: &Client,
    path: &str,
    body: Bytes,
) -> Result<R, Failure> {
    create_once(client, path, body, &Key::fresh()).await
}

/// Posts a JSON body that creates something, unless that has been created with this key before.
///
/// # Errors
/// The coordinator refuses, or cannot be reached for a few tries.
pub(crate) async fn create_once<R: DeserializeOwned>(
    client: &Client,
    path: &str,
    body: Bytes,
    key: &Key,
) -> Result<R, Failure> {
    let mut pause = PAUSE_FIRST;
    for _ in 1..TRIES_MAX {
        match once(client, path, &body, key).await {
            Err(error) if error.is_transient() => {
                tokio::time::sleep(asked_pause(&error).unwrap_or(pause)).await;
            }
            result => return Ok(result?),
        }
        pause *= 2;
    }
    Ok(once(client, path, &body, key).await?)
}

async fn once<R: DeserializeOwned>(
    client: &Client,
    path: &str,
    body: &Bytes,
    key: &Key,
) -> Result<R, ClientError> {
    let options = Options::default().header(IDEMPOTENCY_KEY, &key.0);
    client.post_bytes(path, body.clone(), options).await
}

fn asked_pause(error: &ClientError) -> Option<Duration> {
    let ClientError::Problem(problem) = error else {
        return None;
    };
    let asked = Duration::from_secs(problem.retry_after?);
    Some(asked.min(PAUSE_MAX))
}
