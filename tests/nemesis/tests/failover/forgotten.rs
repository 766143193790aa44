//! The new primary has never heard of what was claimed and finished last, and the agents tell it.
//!
//! Nobody waits for the replica, which is cut off once it has all the jobs. Whatever agents then claim, run and finish,
//! and even that they exist, is acknowledged by a primary that is about to die. After the failover each agent renews what it
//! holds and tells its finishes again, so every job ends well. One that another agent claims before it is told of may run
//! once more: that is what this arrangement does not promise.

use anyhow::Result;
use servers::{Door, Flow, LIMIT, Proxy, Redis, RedisOptions, within};
use tokio::task::block_in_place;

use crate::clients::Clients;
use crate::coordinators::Coordinators;
use crate::crew::Crew;
use crate::verdict::{check_books, complaints, not_started_once};

/// Jobs of the run.
const N_JOBS: usize = 1_000;
/// Jobs that were started when the primary dies.
const N_FORGOTTEN: usize = 400;

/// A primary and its replica, the wire between them, and the wire to whoever is the primary.
struct Arrangement {
    primary: Redis,
    replica: Redis,
    between: Proxy,
    front: Proxy,
}

impl Arrangement {
    fn start() -> Result<Self> {
        let primary = Redis::start(RedisOptions::default())?;
        let (between, front) = (Proxy::start(primary.addr())?, Proxy::start(primary.addr())?);
        let replica_of = Some(between.addr());
        let replica = primary.replica(RedisOptions {
            replica_of,
            ..RedisOptions::default()
        })?;
        Ok(Self {
            primary,
            replica,
            between,
            front,
        })
    }

    /// Waits until the replica has everything, and cuts it off.
    fn cut_off(&self) -> Result<()> {
        within("the replica has everything", LIMIT, || {
            let (ours, theirs) = (
                self.primary.info("replication")?,
                self.replica.info("replication")?,
            );
            let offset = ours.get("master_repl_offset");
            Ok((offset.is_some() && offset == theirs.get("slave_repl_offset")).then_some(()))
        })?;
        self.between.set_both(Flow::Drop);
        Ok(())
    }

    /// Kills the primary and puts the replica into its place.
    fn fail_over(&self) -> Result<()> {
        self.primary.kill9()?;
        self.front.set_door(Door::Refuse)?;
        self.replica.promote()?;
        self.front.retarget(self.replica.addr());
        self.front.cut_all();
        self.front.set_door(Door::Open)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failover_forgets_the_agents_tell_again() {
    if !servers::redis_or_skip() {
        return;
    }
    let arrangement = block_in_place(Arrangement::start).unwrap();
    let url = format!("redis://{}", arrangement.front.addr());
    let options = ["--nexus", &url, "--nexus-replicas", "0"];
    let coordinators = block_in_place(|| Coordinators::start(2, &options)).unwrap();
    let acknowledged = Clients::start(&coordinators, N_JOBS)
        .unwrap()
        .acknowledged()
        .await
        .unwrap();
    block_in_place(|| arrangement.cut_off()).unwrap();

    let crew = Crew::start(&coordinators).await.unwrap();
    crew.until_started(N_FORGOTTEN).await.unwrap();
    block_in_place(|| arrangement.fail_over()).unwrap();

    crew.until_started(N_JOBS).await.unwrap();
    let jobs = coordinators.all_ended().await.unwrap();
    assert_eq!(complaints(&acknowledged, &jobs), Vec::<String>::new());
    let n_again = not_started_once(&acknowledged, &crew.started()).len();
    println!("{n_again} of {N_JOBS} jobs were run more than once, for all that was forgotten");
    crew.stop().await.unwrap();
    drop(coordinators);
    check_books(arrangement.replica.addr()).await.unwrap();
}
