//! The pulse: looks about once a second whether the primaries are still those, and how full they are.
//!
//! It makes nothing happen that a call would not find out by itself; it makes it known before a call has to suffer for it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{MissedTickBehavior, interval};

use super::directory::Directory;

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks for ever.
pub(super) async fn keep_looking(directory: Arc<Directory>) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match directory.all().await {
            Ok(primaries) => {
                for why in join_all(primaries.iter().map(|primary| primary.look()))
                    .await
                    .into_iter()
                    .filter_map(Result::err)
                {
                    tracing::debug!(%why, "a primary does not say how it is");
                }
            }
            Err(why) => tracing::debug!(%why, "nobody says who the primary is"),
        }
    }
}
