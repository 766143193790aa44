//! One round of one mode: a load, a calamity, and a count of what was acknowledged and is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nexus::{Key, Nexus, RedisConfig, RedisNexus, RedisServers, Space};
use servers::{Flow, LIMIT, Proxy, Redis, RedisOptions, within};
use tokio::time::sleep;

use crate::load::{Acknowledged, BATCH, Ids, Load};
use crate::mode::{Calamity, Mode, Promise, Replication};

/// Acknowledged records before anything happens.
const BEFORE: u64 = 2_000;
/// How long that may take on a slow disk.
const BEFORE_MAX: Duration = Duration::from_secs(3);
/// Acknowledged records between a cut and a kill.
const AFTER_CUT: u64 = 4_000;
/// How long that may take.
const AFTER_CUT_MAX: Duration = Duration::from_secs(2);
/// How long a primary that wants a replica may take to find out that it has none: far beyond the second that is configured.
const REFUSAL_MAX: Duration = Duration::from_secs(30);
/// How long Redis holds back what it is to write while it syncs (two seconds), and one more for what is under way.
const HELD_BACK_MAX: Duration = Duration::from_secs(3);
/// How long a sync is looked for.
const SYNC_SEEN_MAX: Duration = Duration::from_secs(4);
/// Long enough for a replica on a busy machine: without a calamity nothing falls short of it.
const WAIT_MAX_HEALTHY: Duration = Duration::from_secs(10);
/// How long an acknowledgement waits for a replica that is cut off.
const WAIT_MAX_CUT: Duration = Duration::from_millis(300);
/// Records that are looked for at a time.
const FETCH: usize = 200;
/// The pause between two tries to reach the store after the calamity.
const PAUSE: Duration = Duration::from_millis(20);

/// What one round cost, in records.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Toll {
    /// Those that were acknowledged.
    pub(crate) acknowledged: u64,
    /// Of these, those that are gone.
    pub(crate) lost: u64,
    /// Of those that are gone, the ones that the mode does not excuse.
    pub(crate) broken: u64,
    /// Of those that were acknowledged, the ones that were reported as having fewer replicas than asked for.
    pub(crate) short: u64,
    /// Those whose commit failed, so that nobody relies on them.
    pub(crate) failed: u64,
}

/// What the writers know when it is over, and when the excuse of the mode began to hold.
struct Aftermath {
    known: Acknowledged,
    excused_from: Instant,
    /// Records that fell short of replicas before then.
    short_before: u64,
    /// The same in all.
    short: u64,
}

/// A primary, perhaps a replica, and the wire between them.
struct Stage {
    primary: Redis,
    replica: Option<(Redis, Proxy)>,
}

/// Plays one round.
pub(crate) async fn play(mode: &Mode, seed: u64) -> Result<Toll> {
    let stage = Stage::set(mode)?;
    let space = Space::new("durability").context("a valid name")?;
    let nexus = connect(&stage.primary, mode)?;
    let load = Load::start(&nexus, &space, &Ids::new(seed));
    let began = load.go_on(BEFORE, BEFORE_MAX).await;
    ensure!(
        began > 0,
        "nothing was acknowledged: {:?}",
        nexus.standing().await
    );
    let aftermath = befall(mode, &stage, load, &*nexus).await?;
    nexus.close().await?;
    let missing = missing(stage.survivor(mode)?, mode, &space, &aftermath.known).await?;
    Ok(toll(mode, &aftermath, &missing))
}

/// Lets happen what the mode says, and ends the load.
async fn befall(mode: &Mode, stage: &Stage, load: Load, nexus: &dyn Nexus) -> Result<Aftermath> {
    if mode.promise == Promise::LosesTheLastSeconds {
        load.go_on(u64::MAX, HELD_BACK_MAX + BEFORE_MAX).await;
    }
    let short_before = short(nexus).await?;
    let now = Instant::now();
    match mode.calamity {
        Calamity::KilledAndRestarted | Calamity::KilledWhileItSyncs | Calamity::KilledAndReplaced => {
            if mode.calamity == Calamity::KilledWhileItSyncs {
                until_it_syncs(&stage.primary)?;
            }
            let now = Instant::now();
            stage.primary.kill9()?;
            let excused_from = match mode.promise {
                Promise::LosesTheLastSeconds => now - HELD_BACK_MAX,
                Promise::LosesNothing
                | Promise::LosesWhatFellShort
                | Promise::StopsWhenAlone
                | Promise::None => now,
            };
            let known = load.stop().await?;
            Ok(Aftermath {
                known,
                excused_from,
                short_before,
                short: short_before,
            })
        }
        Calamity::CutOffAndReplaced => {
            stage.cut()?;
            match mode.wants_replica {
                true => load.go_on_until_refused(REFUSAL_MAX).await,
                false => drop(load.go_on(AFTER_CUT, AFTER_CUT_MAX).await),
            }
            // The writers end first, so that what fell short is counted to the end.
            let known = load.stop().await?;
            let short = short(nexus).await?;
            stage.primary.kill9()?;
            Ok(Aftermath {
                known,
                excused_from: now,
                short_before,
                short,
            })
        }
    }
}

/// Waits until Redis syncs its file in the background, which it does about once a second. A sync that is over too soon to
/// be seen is no error: then the kill hits a moment without one.
fn until_it_syncs(primary: &Redis) -> Result<()> {
    let began_at = Instant::now();
    let mut client = primary.client()?;
    while began_at.elapsed() < SYNC_SEEN_MAX {
        let persistence = client.command(&["INFO", "persistence"])?.text();
        if !persistence.contains("aof_pending_bio_fsync:0") {
            break;
        }
    }
    Ok(())
}

/// Records that fell short of replicas so far, in whole commits.
async fn short(nexus: &dyn Nexus) -> Result<u64> {
    let standing = nexus.standing().await.context("ask the primary")?;
    Ok(standing.short_replications * BATCH)
}

fn toll(mode: &Mode, aftermath: &Aftermath, missing: &[(Key, Instant)]) -> Toll {
    let Aftermath {
        known,
        excused_from,
        short_before,
        short,
    } = aftermath;
    let lost = missing.len() as u64;
    let lost_before = missing.iter().filter(|(_, at)| at < excused_from).count() as u64;
    let broken = match mode.promise {
        Promise::LosesNothing => lost.saturating_sub(*short_before),
        Promise::LosesTheLastSeconds => lost_before,
        Promise::LosesWhatFellShort => {
            let before = lost_before.saturating_sub(*short_before);
            before.max(lost.saturating_sub(*short))
        }
        Promise::StopsWhenAlone | Promise::None => 0,
    };
    Toll {
        acknowledged: known.records.len() as u64,
        lost,
        broken,
        short: *short,
        failed: known.n_failed,
    }
}

impl Stage {
    fn set(mode: &Mode) -> Result<Self> {
        let options = RedisOptions {
            append_only: mode.append_only,
            ..RedisOptions::default()
        };
        let wanted = mode.wants_replica.then_some((1, 1));
        let primary = Redis::start(RedisOptions {
            replicas_min: wanted,
            ..options.clone()
        })?;
        let replica = match mode.replication {
            Replication::None => None,
            Replication::Async | Replication::Wait => {
                let wire = Proxy::start(primary.addr())?;
                let replica_of = Some(wire.addr());
                Some((
                    primary.replica(RedisOptions {
                        replica_of,
                        ..options
                    })?,
                    wire,
                ))
            }
        };
        Ok(Self { primary, replica })
    }

    /// Nothing passes between primary and replica any more, and neither is told.
    fn cut(&self) -> Result<()> {
        let (_, wire) = self.replica.as_ref().context("there is a replica to cut off")?;
        wire.set_both(Flow::Drop);
        Ok(())
    }

    /// Who answers from now on.
    fn survivor(&self, mode: &Mode) -> Result<&Redis> {
        match mode.calamity {
            Calamity::KilledAndRestarted | Calamity::KilledWhileItSyncs => {
                self.primary.restart()?;
                Ok(&self.primary)
            }
            Calamity::KilledAndReplaced | Calamity::CutOffAndReplaced => {
                let (replica, _) = self.replica.as_ref().context("there is a replica to promote")?;
                replica.promote()?;
                within("the replica is a primary", LIMIT, || {
                    let role = replica.info("replication")?.remove("role");
                    Ok((role.as_deref() == Some("master")).then_some(()))
                })?;
                Ok(replica)
            }
        }
    }
}

fn connect(redis: &Redis, mode: &Mode) -> Result<Arc<dyn Nexus>> {
    let mut config = RedisConfig::new(RedisServers::Single(redis.addr().to_string().parse()?));
    config.replication.wait_for = match mode.replication {
        Replication::None => None,
        Replication::Async => Some(0),
        Replication::Wait => Some(1),
    };
    config.replication.wait_max = match mode.calamity {
        Calamity::KilledAndRestarted | Calamity::KilledWhileItSyncs | Calamity::KilledAndReplaced => {
            WAIT_MAX_HEALTHY
        }
        Calamity::CutOffAndReplaced => WAIT_MAX_CUT,
    };
    Ok(Arc::new(RedisNexus::open(config)?))
}

/// The acknowledged records that the survivor does not have.
async fn missing(
    survivor: &Redis,
    mode: &Mode,
    space: &Space,
    known: &Acknowledged,
) -> Result<Vec<(Key, Instant)>> {
    let nexus = connect(survivor, mode)?;
    let began_at = Instant::now();
    while let Err(error) = nexus.now().await {
        ensure!(
            began_at.elapsed() < LIMIT,
            "the survivor does not answer: {error}"
        );
        sleep(PAUSE).await;
    }
    let mut missing = Vec::new();
    for records in known.records.chunks(FETCH) {
        let keys: Vec<Key> = records.iter().map(|(key, _)| key.clone()).collect();
        let found = nexus.fetch(space, &keys).await?;
        let gone = records.iter().zip(found).filter(|(_, found)| found.is_none());
        missing.extend(gone.map(|(record, _)| record.clone()));
    }
    nexus.close().await?;
    Ok(missing)
}
