//! Watching over a request: is the coordinator that it waits for still there?
//!
//! A process that is stopped, and a machine that is cut off, keep their connections open and say nothing; a parked request
//! would wait for them in vain. So a coordinator of which nothing was heard for a while is asked whether it is ready, on a
//! connection of its own. No answer, or that it is not, means that another should be asked. Where there is only one
//! coordinator there is nothing to find out. All requests of a client share what was heard. How often it is asked is for
//! whoever sends the request ([`super::Options::watched_every`]): thousands of agents that wait for work must not be a load.

use std::future;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http::header::HOST;
use http_body_util::{BodyExt as _, Limited};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::body::Upload;
use super::target::Peer;
use super::{Client, is_elsewhere};

/// The silence after a request after which the coordinator is asked whether it is there.
pub(super) const PATIENCE: Duration = Duration::from_millis(300);
/// The silence after the last sign of life after which it is asked again.
pub(super) const PROBE_EVERY: Duration = Duration::from_millis(500);
/// The shortest time that it may take to say so.
pub(super) const PROBE_MAX: Duration = Duration::from_millis(300);
/// The part of the time between two questions that it may take, if that is longer.
const PROBE_PART: u32 = 5;
/// The part of the time between two questions that is left out, by chance, at most: no two clients ask in step for long.
const JITTER_PART: u32 = 4;
/// Bytes of such an answer.
const PROBE_BYTES_MAX: usize = 16 << 10;
/// Where it is asked.
const READY: &str = "/readyz";

impl Client {
    /// Ends when `peer` is found silent or not ready after `since`. Never, where there is no other. It is asked when nothing
    /// was heard of it for `every`.
    pub(super) async fn silence_of(&self, peer: &Arc<Peer>, since: Instant, every: Duration) {
        if self.is_alone() {
            return future::pending().await;
        }
        let every = every.max(PROBE_EVERY);
        let pause = every - self.roster().part_of(every / JITTER_PART);
        let probe_max = PROBE_MAX.max(every / PROBE_PART);
        // The roster does not know it any more when its name has lost its address.
        let mut heard_here = None;
        loop {
            let heard_at = self.roster().heard_at(peer).max(heard_here);
            let quiet_since = heard_at.map_or(since, |at| at + pause - PATIENCE);
            let due = since.max(quiet_since) + PATIENCE;
            if Instant::now() < due {
                sleep_until(due).await;
                continue;
            }
            if self.roster().len() < 2 {
                // Its name may stand for more sooner or later.
                sleep(PROBE_EVERY).await;
                continue;
            }
            let waits_since = Instant::now();
            let _turn = peer.probing.lock().await;
            // Somebody else may have asked meanwhile.
            if self.roster().heard_at(peer) > heard_at {
                continue;
            }
            if self.roster().failed_at(peer) >= Some(waits_since) {
                return;
            }
            let fit = matches!(timeout(probe_max, self.probe(peer)).await, Ok(true));
            let now = Instant::now();
            if !fit {
                return self.roster().failed(peer, now);
            }
            heard_here = Some(now);
            self.roster().heard(peer, now);
        }
    }

    /// Whether it says that it can be asked.
    async fn probe(&self, peer: &Peer) -> bool {
        let request = Request::get(peer.uri(READY))
            .header(HOST, &peer.base.authority)
            .body(Upload::empty());
        let Ok(request) = request else { return false };
        match self.shared.probes.request(request).await {
            Err(_) => false,
            Ok(response) => {
                let fit = !is_elsewhere(response.status().as_u16());
                // Read to its end, so that the connection can be used again.
                Limited::new(response.into_body(), PROBE_BYTES_MAX)
                    .collect()
                    .await
                    .is_ok()
                    && fit
            }
        }
    }
}
