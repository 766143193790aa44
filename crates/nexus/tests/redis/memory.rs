//! Memory that runs out: growth stops early, and what frees memory or ends work passes to the very end.

use futures_util::future::join_all;
use hiveforge_nexus::{Class, Discard, Durability, Guard, Nexus as _, Outcome, RedisNexus};
use servers::{AclUser, RedisOptions, redis_or_skip};

use crate::world::{
    apply, commit, config, demand, eventually, finish, open, place, space, standing, submit, tx, value, world,
};

const MEMORY_MAX: u64 = 8 << 20;
const RECORD: usize = 16 << 10;

fn small() -> RedisOptions {
    RedisOptions {
        memory_max: Some(MEMORY_MAX),
        ..RedisOptions::default()
    }
}

/// Submits until it is refused for want of room; how many are in.
async fn fill(nexus: &RedisNexus) -> u64 {
    for id in 1.. {
        match commit(nexus, submit(id, RECORD)).await {
            Outcome::Applied => {}
            Outcome::Full => return id - 1,
            other => panic!("{other:?}"),
        }
    }
    unreachable!("memory is bounded")
}

#[tokio::test]
async fn growth_stops_before_memory_does_and_goes_on_when_there_is_room_again() {
    if !redis_or_skip() {
        return;
    }
    let world = world(small());
    let stored = fill(&world.nexus).await;
    let room = standing(&world.nexus).await.room.unwrap();
    assert_eq!(room.max, MEMORY_MAX);
    assert!(room.growth_max < room.max && room.used < room.max, "{room:?}");
    for id in 1..=stored {
        let mut drop_it = tx(10_000 + id, Class::Relief);
        drop_it.drops = vec![Discard::Record(format!("job/{id}"))];
        apply(&world.nexus, drop_it).await;
    }
    eventually("growth is let in again", async || {
        (commit(&world.nexus, submit(stored + 1, RECORD)).await == Outcome::Applied).then_some(())
    })
    .await;
}

/// What was sent since the last look is counted until the next one, and looks that overlap must not take it off twice.
#[tokio::test]
async fn asking_often_at_once_how_full_it_is_does_not_stop_growth() {
    if !redis_or_skip() {
        return;
    }
    let world = world(RedisOptions {
        memory_max: Some(64 << 20),
        ..RedisOptions::default()
    });
    for round in 1..20 {
        apply(&world.nexus, submit(round, RECORD)).await;
        let looks = join_all((0..20).map(|_| world.nexus.standing())).await;
        assert!(looks.iter().all(Result::is_ok), "{looks:?}");
        apply(&world.nexus, submit(1_000 + round, RECORD)).await;
    }
}

#[tokio::test]
async fn while_room_is_short_what_was_applied_and_what_is_refused_come_before_full() {
    if !redis_or_skip() {
        return;
    }
    let world = world(small());
    let stored = fill(&world.nexus).await;
    assert_eq!(commit(&world.nexus, submit(1, RECORD)).await, Outcome::Already);
    let mut taken_id = submit(stored + 1, RECORD);
    taken_id.guards = vec![Guard::Record("job/1".to_owned(), None)];
    assert!(matches!(
        commit(&world.nexus, taken_id).await,
        Outcome::Refused { guard: 0, .. }
    ));
    // The order is kept, also when only one of the two may pass.
    let mixed = vec![
        submit(stored + 2, RECORD),
        finish(20_000, 1, 5),
        submit(stored + 3, RECORD),
    ];
    let outcomes = world
        .nexus
        .commit(&space(), mixed, Durability::Disk)
        .await
        .unwrap();
    assert_eq!(outcomes, [Outcome::Full, Outcome::Applied, Outcome::Full]);
}

/// Uses up all of memory with relief, and then does everything that relief is for.
async fn relief_passes_at_the_limit(nexus: &RedisNexus, is_over: impl Fn() -> bool) {
    for id in 0.. {
        if is_over() {
            break;
        }
        let mut more = tx(30_000 + id, Class::Relief);
        more.puts = vec![(format!("filler/{id}"), vec![b'z'; 4 * RECORD])];
        apply(nexus, more).await;
    }
    assert_eq!(commit(nexus, submit(9_999, RECORD)).await, Outcome::Full);
    assert_eq!(commit(nexus, submit(1, RECORD)).await, Outcome::Already);
    let taken = nexus.take(&space(), vec![demand(1)]).await.unwrap();
    assert_eq!(taken[0].len(), 1);
    let mut renew = tx(50_000, Class::Relief);
    renew.moves = vec![place("leases/a", "1", Some(7))];
    apply(nexus, renew).await;
    apply(nexus, finish(50_001, 2, 500)).await;
    let mut trim = tx(50_002, Class::Relief);
    trim.trims = vec![("journal".to_owned(), 2)];
    apply(nexus, trim).await;
    let mut retention = tx(50_003, Class::Relief);
    retention.drops = vec![Discard::Record("filler/0".to_owned())];
    apply(nexus, retention).await;
    assert_eq!(value(nexus, "filler/0").await, None);
}

#[tokio::test]
async fn at_the_limit_of_memory_relief_passes_and_growth_does_not() {
    if !redis_or_skip() {
        return;
    }
    let world = world(small());
    fill(&world.nexus).await;
    let used = || {
        world.redis.info("memory").unwrap()["used_memory"]
            .parse::<u64>()
            .unwrap()
    };
    relief_passes_at_the_limit(&world.nexus, || used() > MEMORY_MAX).await;
    // Redis itself refuses whatever has no leave.
    let refused = world.redis.command(&["SET", "somebody", "else"]);
    assert!(format!("{refused:?}").contains("OOM"), "{refused:?}");
}

/// Without `INFO` nobody sees memory run out; then Redis's own refusal is what stops growth, and guards still come first.
#[tokio::test]
async fn where_memory_cannot_be_seen_the_refusal_of_redis_stops_growth() {
    if !redis_or_skip() {
        return;
    }
    let world = world(RedisOptions {
        users: vec![AclUser {
            name: "blind".to_owned(),
            password: "a-password".to_owned(),
            rules: "~{hf:* &{hf:* +@all -info -config".to_owned(),
        }],
        ..small()
    });
    let mut config = config(world.redis.addr());
    config.user = Some("blind".to_owned());
    config.password = Some(hiveforge_nexus::Password::new("a-password"));
    let nexus = open(config);
    fill(&nexus).await;
    let used = || {
        world.redis.info("memory").unwrap()["used_memory"]
            .parse::<u64>()
            .unwrap()
    };
    assert!(used() > MEMORY_MAX / 10 * 9);
    relief_passes_at_the_limit(&nexus, || used() > MEMORY_MAX).await;
}
