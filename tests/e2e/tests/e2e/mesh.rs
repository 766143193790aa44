//! The mesh between coordinators: who looks at one sees all, hints cross it, drills go to the one that is named, and
//! nothing depends on it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hiveforge_tests_e2e::{Fleet, FleetRecipe, LIMIT, command, eventually};
use protocol::observer::{PeerState, PeerView, Reading};
use rustix::process::Signal;
use servers::{AppendOnly, Redis, RedisOptions, redis_or_skip};

/// Jobs whose way is measured.
const JOBS: usize = 15;

fn redis() -> Result<Redis> {
    Redis::start(RedisOptions {
        append_only: AppendOnly::EverySecond,
        ..RedisOptions::default()
    })
}

/// The peers of a coordinator, as one of them sees them.
fn peers(fleet: &Fleet, n: usize) -> Result<Vec<PeerView>> {
    let reading: Reading = fleet.api(n).get("/v1/observer/tree")?;
    ensure!(
        reading.coordinator.as_deref() == Some(&format!("c{n}")),
        "{reading:?}"
    );
    Ok(reading.peers)
}

/// Checks how many peers a coordinator counts as up and as unreachable.
fn counts(fleet: &Fleet, n: usize, up: usize, unreachable: usize) -> Result<()> {
    let metrics = String::from_utf8(fleet.api(n).bytes("/metrics")?.to_vec())?;
    for line in [
        format!("hiveforge_mesh_peers_up {up}\n"),
        format!("hiveforge_mesh_peers_unreachable {unreachable}\n"),
    ] {
        ensure!(metrics.contains(&line), "{line}: {metrics}");
    }
    Ok(())
}

/// Waits until a coordinator sees its peers in these states.
fn until_seen(fleet: &Fleet, n: usize, wanted: &[(&str, PeerState)]) -> Result<()> {
    let states = |peers: &[PeerView]| -> Vec<(String, PeerState)> {
        peers.iter().map(|peer| (peer.name.clone(), peer.state)).collect()
    };
    let mut last = Vec::new();
    eventually(&format!("c{n} sees {wanted:?}"), || {
        last = states(&peers(fleet, n)?);
        let is_so = last
            .iter()
            .map(|(name, state)| (name.as_str(), *state))
            .eq(wanted.iter().copied());
        Ok(is_so.then_some(()))
    })
    .with_context(|| format!("it saw {last:?}"))
}

#[test]
fn the_observer_shows_every_coordinator_and_marks_those_that_hang_or_are_gone() -> Result<()> {
    use PeerState::{Unreachable, Up};
    if !redis_or_skip() {
        return Ok(());
    }
    let mut fleet = Fleet::start(redis()?, FleetRecipe::meshed(3))?;
    fleet.start_agent_of("a", &[fleet.url(0)], &[])?;
    until_seen(&fleet, 0, &[("c1", Up), ("c2", Up)])?;
    until_seen(&fleet, 1, &[("c0", Up), ("c2", Up)])?;
    counts(&fleet, 0, 2, 0)?;
    let shown = fleet
        .cli
        .clone()
        .with("HIVEFORGE_URL", fleet.url(0))
        .ok(["observer", "--once"])?;
    for line in ["c0: coordinator", "c1: coordinator", "c2: coordinator", "mesh"] {
        ensure!(shown.contains(line), "{line}: {shown}");
    }

    fleet.coordinator(2)?.signal(Signal::STOP)?;
    let begun = Instant::now();
    until_seen(&fleet, 0, &[("c1", Up), ("c2", Unreachable)])?;
    println!("marked after {:?}", begun.elapsed());
    counts(&fleet, 0, 1, 1)?;
    // Nobody waits for the one that hangs.
    let id = fleet.api(1).submit(&command(&["true"]))?;
    fleet.api(0).ended(&id)?;
    let shown = fleet
        .cli
        .clone()
        .with("HIVEFORGE_URL", fleet.url(0))
        .ok(["observer", "--once"])?;
    ensure!(shown.contains("c2: UNREACHABLE"), "{shown}");
    fleet.coordinator(2)?.signal(Signal::CONT)?;
    until_seen(&fleet, 0, &[("c1", Up), ("c2", Up)])?;

    fleet.kill(1)?;
    until_seen(&fleet, 0, &[("c1", Unreachable), ("c2", Up)])?;
    fleet.restart(1)?;
    until_seen(&fleet, 0, &[("c1", Up), ("c2", Up)])?;
    until_seen(&fleet, 1, &[("c0", Up), ("c2", Up)])?;
    fleet.finish()?.all_ended_once()
}

/// The median time from a submit on one coordinator to the end of the job, whose agent asks another one, while Redis tells
/// nobody anything.
fn median(recipe: FleetRecipe) -> Result<Duration> {
    let redis = redis()?;
    redis.command(&[
        "ACL",
        "SETUSER",
        "default",
        "-subscribe",
        "-psubscribe",
        "-ssubscribe",
    ])?;
    let is_meshed = recipe.mesh;
    let mut fleet = Fleet::start(redis, recipe)?;
    if is_meshed {
        until_seen(&fleet, 0, &[("c1", PeerState::Up)])?;
    }
    fleet.start_agent_of("a", &[fleet.url(1)], &[])?;
    let mut times = Vec::new();
    for _ in 0..JOBS {
        let begun = Instant::now();
        let id = fleet.api(0).submit(&command(&["true"]))?;
        fleet
            .api(1)
            .until_within(&id, "has ended", LIMIT, |view| view.state.is_terminal())?;
        times.push(begun.elapsed());
    }
    times.sort();
    fleet.finish()?.all_ended_once()?;
    Ok(times[JOBS / 2])
}

#[test]
fn hints_cross_the_mesh_when_redis_tells_nobody_and_without_it_everything_is_only_later() -> Result<()> {
    if !redis_or_skip() {
        return Ok(());
    }
    let with = median(FleetRecipe::meshed(2))?;
    let without = median(FleetRecipe::of(2))?;
    println!("with the mesh {with:?}, without {without:?}");
    ensure!(with < without, "with the mesh {with:?}, without {without:?}");
    Ok(())
}

#[cfg(debug_assertions)]
#[test]
fn a_drill_goes_to_the_coordinator_that_is_named() -> Result<()> {
    if !redis_or_skip() {
        return Ok(());
    }
    let fleet = Fleet::start(redis()?, FleetRecipe::meshed(2))?;
    until_seen(&fleet, 0, &[("c1", PeerState::Up)])?;
    let cli = fleet.cli.clone().with("HIVEFORGE_URL", fleet.url(0));
    let inject = [
        "chaos",
        "inject",
        "coordinator/dispatch",
        "--fault",
        "panic",
        "--on",
    ];
    cli.ok(inject.iter().chain(&["c1"]))?;
    let dispatch = |n: usize| -> Result<u64> {
        let reading: Reading = fleet.api(n).get("/v1/observer/tree")?;
        Ok(reading
            .actor("coordinator/dispatch")
            .map_or(0, |actor| actor.incarnation))
    };
    eventually("the dispatch of c1 is in its second life", || {
        Ok((dispatch(1)? == 2).then_some(()))
    })?;
    assert_eq!(dispatch(0)?, 1);
    let chaos: serde_json::Value = fleet.api(0).get("/v1/chaos")?;
    let last = chaos["acts"]
        .as_array()
        .and_then(|acts| acts.last())
        .context("it is on record")?;
    let detail = last["detail"].as_str().unwrap_or_default();
    ensure!(detail.ends_with("in c1"), "{last}");
    let refused = cli.run(inject.iter().chain(&["c9"]))?;
    ensure!(refused.stderr().contains("there are: c1"), "{}", refused.stderr());
    fleet.finish().map(|_| ())
}
