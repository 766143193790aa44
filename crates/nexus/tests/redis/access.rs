//! Who may come in: users, passwords, certificates; and servers that must not be used as they are set up.

use std::fs;

use hiveforge_nexus::{
    Durability, Nexus as _, NexusError, OpenError, Outcome, Password, RedisNexus, RedisTls, TlsIdentity,
};
use servers::{AclUser, Redis, RedisOptions, Transport, redis_or_skip};

use crate::world::{
    chain, commit, commit_at_last, config, demand, eventually, open, space, standing, submit, try_commit,
    world,
};

/// What docs/operations.md tells people to allow.
const RULES: &str = "~{hf:* &{hf:* +@read +@write -@dangerous +@pubsub +evalsha +script|load +wait +time +ping +info \
                     +config|get +cluster|slots";

fn with_user(rules: &str) -> RedisOptions {
    RedisOptions {
        users: vec![AclUser {
            name: "hive".to_owned(),
            password: "open-sesame".to_owned(),
            rules: rules.to_owned(),
        }],
        ..RedisOptions::default()
    }
}

fn open_as(redis: &Redis, user: &str, password: &str) -> RedisNexus {
    let mut config = config(redis.addr());
    config.user = Some(user.to_owned());
    config.password = Some(Password::new(password));
    open(config)
}

async fn failure(nexus: &RedisNexus) -> NexusError {
    try_commit(nexus, submit(1, 9), Durability::Process)
        .await
        .unwrap_err()
}

#[tokio::test]
async fn a_user_that_may_what_is_documented_can_do_everything() {
    if !redis_or_skip() {
        return;
    }
    let redis = Redis::start(with_user(RULES)).unwrap();
    let nexus = open_as(&redis, "hive", "open-sesame");
    let mut hints = nexus.watch(&space());
    assert_eq!(hints.next().await, Some(hiveforge_nexus::Hint::Missed(0)));
    let mut tx = submit(1, 9);
    tx.hints = vec!["lane/a".to_owned()];
    assert_eq!(commit(&nexus, tx).await, Outcome::Applied);
    assert_eq!(
        hints.next().await,
        Some(hiveforge_nexus::Hint::Said("lane/a".into()))
    );
    assert_eq!(nexus.take(&space(), vec![demand(1)]).await.unwrap()[0].len(), 1);
    assert_eq!(nexus.heads(&space(), "lane", 9).await.unwrap(), []);
    assert!(nexus.now().await.is_ok());
    assert_eq!(nexus.dump(&space()).await.unwrap().records.len(), 1);
    let standing = standing(&nexus).await;
    assert!(
        standing.description.contains("redis 7") || standing.description.contains("redis "),
        "{standing:?}"
    );
    assert_eq!(standing.unfit, None);
}

#[tokio::test]
async fn a_wrong_password_is_said_without_showing_it() {
    if !redis_or_skip() {
        return;
    }
    let redis = Redis::start(with_user(RULES)).unwrap();
    for (user, password) in [("hive", "close-sesame"), ("nobody", "open-sesame")] {
        let nexus = open_as(&redis, user, password);
        let error = failure(&nexus).await;
        assert!(error.unfit().is_some(), "{error:?}");
        let text = chain(&error);
        assert!(
            text.contains("refuses the user or the password") && !text.contains("sesame"),
            "{text}"
        );
        assert!(
            nexus
                .standing()
                .await
                .unwrap()
                .unfit
                .unwrap()
                .contains("password")
        );
    }
}

#[tokio::test]
async fn a_missing_right_is_named() {
    if !redis_or_skip() {
        return;
    }
    let redis = Redis::start(with_user("~{hf:* &{hf:* +@read +info")).unwrap();
    let error = failure(&open_as(&redis, "hive", "open-sesame")).await;
    let text = chain(&error);
    assert!(error.unfit().is_some() && text.contains("evalsha"), "{text}");
    let redis = Redis::start(with_user("~{other:* &{hf:* +@all")).unwrap();
    let error = failure(&open_as(&redis, "hive", "open-sesame")).await;
    assert!(
        error.unfit().is_some() && chain(&error).contains("keys"),
        "{}",
        chain(&error)
    );
}

/// Within a script it would look like damage to what is stored, and without replicas like nothing at all.
#[tokio::test]
async fn a_right_that_is_missed_only_later_is_named_at_once_and_nothing_is_written() {
    if !redis_or_skip() {
        return;
    }
    for missing in ["publish", "zadd", "rpush", "mset", "wait"] {
        let redis = Redis::start(with_user(&format!("{RULES} -{missing}"))).unwrap();
        let nexus = open_as(&redis, "hive", "open-sesame");
        let mut tx = submit(1, 9);
        tx.hints = vec!["lane/a".to_owned()];
        let error = try_commit(&nexus, tx, Durability::Process).await.unwrap_err();
        assert!(error.unfit().is_some(), "{error:?}");
        assert!(chain(&error).contains(missing), "{}", chain(&error));
        let keys = redis.command(&["KEYS", "*"]).unwrap();
        assert_eq!(keys.items().len(), 0, "without {missing}: {keys:?}");
    }
}

#[tokio::test]
async fn without_the_right_to_hear_hints_work_goes_on_and_a_warning_says_what_is_missing() {
    if !redis_or_skip() {
        return;
    }
    let redis = Redis::start(with_user(&format!("{RULES} -subscribe"))).unwrap();
    let nexus = open_as(&redis, "hive", "open-sesame");
    assert_eq!(commit(&nexus, submit(1, 9)).await, Outcome::Applied);
    let standing = nexus.standing().await.unwrap();
    assert_eq!(standing.unfit, None);
    let names_it = |warning: &String| warning.contains("may not use subscribe");
    assert!(standing.warnings.iter().any(names_it), "{:?}", standing.warnings);
}

#[tokio::test]
async fn a_server_that_wants_a_password_refuses_those_without() {
    if !redis_or_skip() {
        return;
    }
    let redis = Redis::start(RedisOptions {
        password: Some("open-sesame".to_owned()),
        ..RedisOptions::default()
    })
    .unwrap();
    let error = failure(&open(config(redis.addr()))).await;
    assert!(error.unfit().is_some(), "{}", chain(&error));
    let mut config = config(redis.addr());
    config.password = Some(Password::new("open-sesame"));
    assert_eq!(commit(&open(config), submit(1, 9)).await, Outcome::Applied);
}

#[tokio::test]
async fn a_policy_that_evicts_is_refused_at_start_and_later() {
    if !redis_or_skip() {
        return;
    }
    let world = world(RedisOptions {
        memory_policy: Some("allkeys-lru".to_owned()),
        ..RedisOptions::default()
    });
    let error = failure(&world.nexus).await;
    let text = chain(&error);
    assert!(
        error.unfit().is_some() && text.contains("allkeys-lru") && text.contains("noeviction"),
        "{text}"
    );
    assert!(
        world
            .nexus
            .standing()
            .await
            .unwrap()
            .unfit
            .unwrap()
            .contains("noeviction")
    );
    world
        .redis
        .command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"])
        .unwrap();
    assert_eq!(commit_at_last(&world.nexus, submit(1, 9)).await, Outcome::Applied);
    world
        .redis
        .command(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"])
        .unwrap();
    eventually("the change is noticed", async || {
        try_commit(&world.nexus, submit(1, 9), Durability::Process)
            .await
            .err()?
            .unfit()
            .map(drop)
    })
    .await;
}

#[tokio::test]
async fn what_weakens_the_promises_is_warned_of() {
    if !redis_or_skip() {
        return;
    }
    let plain = world(RedisOptions::default());
    let standing_of_plain = standing(&plain.nexus).await;
    assert!(
        standing_of_plain
            .warnings
            .iter()
            .any(|text| text.contains("appendonly")),
        "{standing_of_plain:?}"
    );
    assert!(
        standing_of_plain.durability.contains("nothing"),
        "{standing_of_plain:?}"
    );
    let strict = world(RedisOptions {
        append_only: servers::AppendOnly::Always,
        memory_max: Some(64 << 20),
        ..RedisOptions::default()
    });
    let standing = standing(&strict.nexus).await;
    assert_eq!(standing.warnings, [""; 0]);
    assert!(standing.durability.contains("appendfsync always"), "{standing:?}");
}

fn tls_of(redis: &Redis, has_identity: bool) -> RedisTls {
    let files = redis.certificates().unwrap();
    RedisTls {
        ca: fs::read(&files.ca).unwrap(),
        identity: has_identity.then(|| TlsIdentity {
            certificates: fs::read(&files.client_cert).unwrap(),
            key: fs::read(&files.client_key).unwrap(),
        }),
    }
}

#[tokio::test]
async fn connections_are_encrypted_and_both_sides_are_known() {
    if !redis_or_skip() {
        return;
    }
    let redis = Redis::start(RedisOptions {
        transport: Transport::MutualTls,
        ..RedisOptions::default()
    })
    .unwrap();
    let mut config = config(redis.addr());
    config.tls = Some(tls_of(&redis, true));
    let nexus = open(config.clone());
    let mut hints = nexus.watch(&space());
    assert_eq!(commit(&nexus, submit(1, 9)).await, Outcome::Applied);
    assert_eq!(hints.next().await, Some(hiveforge_nexus::Hint::Missed(0)));
    config.tls = Some(tls_of(&redis, false));
    let nameless = failure(&open(config.clone())).await;
    assert!(matches!(nameless, NexusError::Unavailable(_)), "{nameless:?}");
    let other = Redis::start(RedisOptions {
        transport: Transport::Tls,
        ..RedisOptions::default()
    })
    .unwrap();
    config.tls = Some(tls_of(&other, false));
    let stranger = failure(&open(config)).await;
    assert!(chain(&stranger).contains("certificate"), "{}", chain(&stranger));
}

#[test]
fn certificates_that_are_none_are_refused_before_anything_is_dialled() {
    let mut config = config("127.0.0.1:1".parse().unwrap());
    config.tls = Some(RedisTls {
        ca: b"no certificate".to_vec(),
        identity: None,
    });
    let refused = RedisNexus::open(config);
    assert!(matches!(refused, Err(OpenError::Tls { .. })), "{refused:?}");
}
