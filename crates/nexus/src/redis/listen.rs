//! Hints from Redis: one connection that only listens, to the channels of the spaces that somebody watches.
//!
//! Whenever the link comes up, first or again, watchers are told that they may have missed something; only then can they
//! rely on hearing what is published. So a lost link costs a look, never a wake-up.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::Msg;
use redis::aio::PubSubSink;
use tokio::sync::Notify;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep, timeout};

use super::config::ServerAddr;
use super::directory::Directory;
use super::keys::Keys;
use crate::hints::HintBoard;
use crate::{BackendError, Space};

/// How long the listener rests after its first failure in a row, and at most.
const REST_MIN: Duration = Duration::from_millis(50);
const REST_MAX: Duration = Duration::from_secs(1);
/// How often the link is tried, for one that is half open looks like one on which nobody says anything.
const PING_EVERY: Duration = Duration::from_secs(1);
/// How long a reply may take.
const REPLY_MAX: Duration = Duration::from_secs(2);

/// What a listener needs to know.
pub(super) struct Listener {
    pub(super) directory: Arc<Directory>,
    pub(super) board: Arc<HintBoard>,
    pub(super) prefix: String,
    /// Told whenever somebody begins to watch.
    pub(super) watching: Arc<Notify>,
}

/// The channels that are listened to.
type Channels = BTreeMap<Vec<u8>, Space>;

impl Listener {
    /// Listens for ever, through any number of links.
    pub(super) async fn keep_listening(self: Arc<Self>) {
        let mut rest = REST_MIN;
        loop {
            let Some(first) = self.board.watched().into_iter().next() else {
                self.watching.notified().await;
                continue;
            };
            match self.listen(&first, &mut rest).await {
                Ok(()) => {}
                Err(why) => tracing::debug!(%why, "not listening for hints"),
            }
            sleep(rest).await;
            rest = (rest * 2).min(REST_MAX);
        }
    }

    /// Listens until the link breaks or somebody else is the primary.
    async fn listen(&self, first: &Space, rest: &mut Duration) -> Result<(), Arc<BackendError>> {
        let slot = Keys::new(&self.prefix, first).slot();
        let server = self.directory.primary(slot).await?.server().clone();
        let (mut sink, mut heard) = self.directory.dialer().listen(&server).await?.split();
        let mut channels = Channels::new();
        let mut pings = every(PING_EVERY);
        self.follow(&mut sink, &mut channels, &server).await?;
        *rest = REST_MIN;
        loop {
            tokio::select! {
                message = heard.next() => match message {
                    Some(message) => self.pass_on(&channels, &message),
                    None => return Ok(()),
                },
                () = self.watching.notified() => self.follow(&mut sink, &mut channels, &server).await?,
                _ = pings.tick() => {
                    let pong = within(&server, sink.ping::<redis::Value>()).await?;
                    drop(pong);
                    self.follow(&mut sink, &mut channels, &server).await?;
                    if *self.directory.primary(slot).await?.server() != server {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Listens to what is watched now, and no longer to what is not.
    async fn follow(
        &self,
        sink: &mut PubSubSink,
        channels: &mut Channels,
        server: &ServerAddr,
    ) -> Result<(), Arc<BackendError>> {
        let channel = |space: Space| (Keys::new(&self.prefix, &space).channel(), space);
        let watched: Channels = self.board.watched().into_iter().map(channel).collect();
        let gone: Vec<Vec<u8>> = channels
            .keys()
            .filter(|channel| !watched.contains_key(*channel))
            .cloned()
            .collect();
        for channel in gone {
            within(server, sink.unsubscribe(&channel)).await?;
            channels.remove(&channel);
        }
        for (channel, space) in watched {
            if let Entry::Vacant(new) = channels.entry(channel) {
                within(server, sink.subscribe(new.key())).await?;
                self.board.miss(&space);
                new.insert(space);
            }
        }
        Ok(())
    }

    fn pass_on(&self, channels: &Channels, message: &Msg) {
        let Some(space) = channels.get(message.get_channel_name().as_bytes()) else {
            return;
        };
        let text = String::from_utf8_lossy(message.get_payload_bytes());
        let hints: Vec<String> = text.split('\0').map(str::to_owned).collect();
        self.board.publish(space, &hints);
    }
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn within<T>(
    server: &ServerAddr,
    reply: impl Future<Output = Result<T, redis::RedisError>>,
) -> Result<T, Arc<BackendError>> {
    match timeout(REPLY_MAX, reply).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(source)) => Err(Arc::new(BackendError::Redis {
            server: server.to_string(),
            source,
        })),
        Err(_) => Err(Arc::new(BackendError::NoAnswer { limit: REPLY_MAX })),
    }
}
