//! A nexus that is away or full: a state to report, never a crash, a lie or a lost lease.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::job::RunEnd;
use domain::{Digest, JobSpec};
use nexus::{Clock, MemoryNexus, Timestamp};
use protocol::client::{ClientError, Options};
use protocol::jobs::Submitted;
use protocol::leases::{FinishResult, Standing};
use supervision::Directory;
use tokio::time::{Instant, sleep, sleep_until};

use crate::agent::{Agent, finish, framed, proof, success};
use crate::fragile::{FragileNexus, Presence};
use crate::waiting::are_parked;
use crate::world::{World, eventually, spec};

/// How long everybody must do without the nexus.
const TEN_MINUTES: Duration = Duration::from_secs(600);

/// Fails if any actor of a tree ever crashed, was killed, got stuck, could not be ended, or was started again.
pub(crate) fn calm(directory: &Directory) {
    let totals = directory.totals();
    let ended = totals.failed_starts + totals.crashes + totals.kills + totals.gave_up;
    let trouble = ended + totals.stuck + totals.abandoned;
    assert_eq!(trouble, 0, "an outage is no crash: {totals:?}");
    for actor in directory.list() {
        assert_eq!(actor.restarts, 0, "{}", actor.path);
    }
}

async fn ready(world: &World, status: u16) {
    eventually(&format!("/readyz answers {status}"), || async {
        (world.ask("GET", "/readyz").send().await.status == status).then_some(())
    })
    .await;
}

#[tokio::test]
async fn while_the_nexus_is_away_everybody_is_told_to_come_again() {
    let (world, nexus) = World::with_nexus().await;
    let agent = world.agent("forge").await;
    let id = world.submit().await;
    let lease = agent.one().await;
    ready(&world, 200).await;
    nexus.set_available(false);
    for (method, path, body) in [
        ("GET", "/v1/jobs".to_owned(), ""),
        ("POST", "/v1/jobs".to_owned(), r#"{"command": ["true"]}"#),
        ("GET", format!("/v1/jobs/{id}"), ""),
        ("POST", format!("/v1/jobs/{id}/cancel"), ""),
        ("POST", format!("/v1/jobs/{id}/rerun"), ""),
        ("GET", format!("/v1/jobs/{id}/why"), ""),
        ("GET", format!("/v1/jobs/{id}/events"), ""),
        ("GET", format!("/v1/jobs/{id}/attempts/1/log"), ""),
        ("GET", format!("/v1/jobs/{id}/attempts/1/artifacts"), ""),
        ("GET", format!("/v1/jobs/{id}/attempts/1/artifacts/out"), ""),
        ("GET", "/v1/agents".to_owned(), ""),
        ("GET", "/v1/agents/forge".to_owned(), ""),
        ("POST", "/v1/agents/forge/drain".to_owned(), ""),
        ("POST", "/v1/agents/forge/resume".to_owned(), ""),
        ("GET", "/v1/quarantine".to_owned(), ""),
    ] {
        let reply = world.say(method, &path).body(body).send().await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("retry-after")),
            (503, "1"),
            "{method} {path}"
        );
        assert_eq!(reply.problem().code, "nexus_unavailable");
    }
    // Who may not come in is still told so, and nobody else is.
    assert_eq!(world.ask("GET", "/v1/jobs").send().await.status, 401);
    assert_eq!(
        agent.ask(&agent.wish(1, 0)).await.unwrap_err().code(),
        Some("nexus_unavailable")
    );
    let shipped = agent.log(&lease, 0, framed(b"x")).await.unwrap_err();
    assert_eq!(shipped.code(), Some("nexus_unavailable"));
    let finished = agent.finish(vec![success(&lease)]).await;
    let FinishResult::Refused(problem) = &finished[0] else {
        panic!("a finish that nobody recorded was acknowledged")
    };
    assert_eq!(
        (problem.status, problem.code.as_str()),
        (503, "nexus_unavailable")
    );
    assert_eq!(world.ask("GET", "/livez").send().await.status, 200);
    ready(&world, 503).await;
    let metrics = world.ask("GET", "/metrics").send().await;
    assert!(metrics.text().contains("hiveforge_nexus_up 0\n"));
    nexus.set_available(true);
    ready(&world, 200).await;
    assert_eq!(agent.renew(&[proof(&lease)]).await.standings, [Standing::Live]);
    assert_eq!(agent.finish(vec![success(&lease)]).await, [FinishResult::Done]);
    calm(&world.tree.directory());
}

#[tokio::test]
async fn a_parked_claim_outlives_an_outage() {
    let nexus = Arc::new(FragileNexus::new());
    let world = World::over(Arc::clone(&nexus) as _).await;
    let agent = world.agent("forge").await;
    let outage = async {
        are_parked(&world, "claims", 1).await;
        nexus.is(Presence::Refusing);
        nexus.missed("heads lane").await;
        nexus.is(Presence::Here);
        world.submit().await
    };
    let (reply, id) = tokio::join!(agent.claim(1, 30_000), outage);
    assert_eq!(reply.leases[0].job, id);
}

#[tokio::test]
async fn who_waits_at_a_coordinator_that_must_no_longer_use_its_nexus_gets_nothing_there_and_is_let_go() {
    let shared = Arc::new(MemoryNexus::new(Clock::system()));
    let nexus = Arc::new(FragileNexus::before(Arc::clone(&shared)));
    let world = World::over(Arc::clone(&nexus) as _).await;
    let other = World::over(shared).await;
    let agent = world.agent("forge").await;
    let closing = async {
        are_parked(&world, "claims", 1).await;
        nexus.is_unfit(Some("it may evict jobs"));
        ready(&world, 503).await;
        other.submit().await
    };
    let began = Instant::now();
    let (reply, id) = tokio::join!(agent.claim(1, 30_000), closing);
    assert!(reply.leases.is_empty(), "{reply:?}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let refused = agent.ask(&agent.wish(1, 0)).await.unwrap_err();
    assert_eq!(refused.code(), Some("not_ready"));
    nexus.is_unfit(None);
    ready(&world, 200).await;
    let lease = agent.one().await;
    assert_eq!((lease.job, lease.attempt), (id, 1));
    calm(&world.tree.directory());
}

#[tokio::test]
async fn a_full_nexus_takes_no_new_work_and_lets_running_work_end() {
    let (world, nexus) = World::with_nexus().await;
    let agent = world.agent("forge").await;
    let id = world.submit().await;
    let lease = agent.one().await;
    nexus.set_full(true);
    let refused = world
        .say("POST", "/v1/jobs")
        .body(r#"{"command": ["true"]}"#)
        .send()
        .await;
    assert_eq!(
        (refused.status.as_u16(), refused.header("retry-after")),
        (507, "1")
    );
    assert_eq!(refused.problem().code, "nexus_full");
    let keyed = world
        .say("POST", "/v1/jobs")
        .header("idempotency-key", "k")
        .body(r#"{"command": ["true"]}"#);
    assert_eq!(keyed.send().await.problem().code, "nexus_full");
    assert_eq!(agent.renew(&[proof(&lease)]).await.standings, [Standing::Live]);
    let over = finish(&lease, RunEnd::Succeeded, framed(b"done\n"));
    assert_eq!(agent.finish(vec![over]).await, [FinishResult::Done]);
    assert_eq!(world.job(&id).await.state.as_str(), "succeeded");
    nexus.set_full(false);
    let keyed = world
        .say("POST", "/v1/jobs")
        .header("idempotency-key", "k")
        .body(r#"{"command": ["true"]}"#);
    assert_eq!(keyed.send().await.status, 201);
}

#[tokio::test]
async fn an_empty_log_needs_no_room() {
    let (world, nexus) = World::with_nexus().await;
    let agent = world.agent("forge").await;
    world.submit().await;
    let lease = agent.one().await;
    nexus.set_full(true);
    let over = finish(&lease, RunEnd::Succeeded, Bytes::new());
    assert_eq!(agent.finish(vec![over]).await, [FinishResult::Done]);
}

async fn try_submit(world: &World) -> Result<Submitted, ClientError> {
    let job = JobSpec::command(["true"]);
    world.person.post("/v1/jobs", &job, Options::default()).await
}

/// Asks now and then until the outage is over. Everybody is answered, in the coordinator's own words.
async fn refused_until<T>(over: Instant, mut ask: impl AsyncFnMut() -> Result<T, ClientError>) {
    let mut refusals = 0;
    while Instant::now() < over {
        match ask().await {
            Ok(_) => assert!(Instant::now() >= over, "answered without a nexus"),
            Err(error) => {
                assert_eq!(error.code(), Some("nexus_unavailable"), "{error}");
                refusals += 1;
            }
        }
        sleep(Duration::from_secs(1)).await;
    }
    assert!(refusals > 10, "{refusals}");
}

/// How long it takes until a job is accepted and given to an agent.
async fn time_to_serve(world: &World, agent: &Agent) -> Duration {
    let began = Instant::now();
    let retry = Duration::from_millis(100);
    while try_submit(world).await.is_err() {
        sleep(retry).await;
    }
    loop {
        match agent.ask(&agent.wish(1, 500)).await {
            Ok(reply) if !reply.leases.is_empty() => return began.elapsed(),
            Ok(_) | Err(_) => sleep(retry).await,
        }
    }
}

/// Ten minutes without the nexus, with a job that runs, jobs that wait, an agent that is parked, agents that ask and
/// people who submit.
async fn outlives_ten_minutes(absence: Presence, service_within: Duration) {
    let start = Timestamp(1_790_000_000_000);
    let nexus = Arc::new(FragileNexus::by(Clock::tokio(start)));
    let world = World::over(Arc::clone(&nexus) as _).await;
    let (busy, idle, fresh) = (
        world.agent("busy").await,
        world.agent("idle").await,
        world.agent("fresh").await,
    );
    world.submit().await;
    let lease = busy.one().await;
    for _ in 0..3 {
        world
            .submit_spec(&spec(r#"{"command": ["true"], "requires": ["gpu exists"]}"#))
            .await;
    }
    ready(&world, 200).await;
    let over = Instant::now() + TEN_MINUTES;
    let outage = async {
        are_parked(&world, "claims", 1).await;
        nexus.is(absence);
        tokio::join!(
            refused_until(over, async || idle.ask(&idle.wish(1, 0)).await),
            refused_until(over, async || try_submit(&world).await),
            refused_until(over, async || {
                let jobs = world
                    .person
                    .get::<serde_json::Value>("/v1/jobs", Options::default());
                jobs.await
            }),
            async {
                sleep_until(over).await;
                nexus.is(Presence::Here);
                let took = time_to_serve(&world, &fresh).await;
                assert!(took <= service_within, "{took:?}");
            }
        );
    };
    let (parked, ()) = tokio::join!(idle.claim(1, 15_000), outage);
    assert_eq!(parked.leases, []);
    ready(&world, 200).await;
    assert_eq!(busy.renew(&[proof(&lease)]).await.standings, [Standing::Live]);
    assert_eq!(busy.finish(vec![success(&lease)]).await, [FinishResult::Done]);
    calm(&world.tree.directory());
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_with_a_nexus_that_refuses_restart_nobody() {
    Box::pin(outlives_ten_minutes(Presence::Refusing, Duration::from_secs(2))).await;
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_with_a_nexus_that_stands_still_restart_nobody() {
    Box::pin(outlives_ten_minutes(Presence::Frozen, Duration::from_secs(2))).await;
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_with_a_nexus_that_never_answers_restart_nobody() {
    // What was asked of it before it came back is given up after ten seconds.
    Box::pin(outlives_ten_minutes(Presence::Lost, Duration::from_secs(12))).await;
}

#[tokio::test]
async fn a_vault_that_is_away_is_reported_to_whoever_needs_it_and_to_nobody_else() {
    let world = World::start().await;
    let agent = world.agent("forge").await;
    let content = Bytes::from_static(b"content");
    let blob = format!("/v1/blobs/{}", Digest::of(&content));
    let put = || world.say("PUT", &blob).body(content.clone()).send();
    assert_eq!(put().await.status, 201);
    let (vault, aside) = (
        world.vault_dir.path(),
        world.vault_dir.path().with_extension("aside"),
    );
    fs::rename(vault, &aside).unwrap();
    fs::write(vault, "no directory").unwrap();
    for _ in 0..3 {
        let failed = world.say("GET", &blob).send().await;
        assert_eq!(failed.problem().code, "vault_failed");
        assert_eq!(put().await.problem().code, "vault_failed");
        // Work that needs no blob goes on.
        world.submit().await;
        let lease = agent.one().await;
        assert_eq!(agent.finish(vec![success(&lease)]).await, [FinishResult::Done]);
    }
    fs::remove_file(vault).unwrap();
    fs::rename(&aside, vault).unwrap();
    assert_eq!(world.say("GET", &blob).send().await.body, content);
    calm(&world.tree.directory());
}
