//! Several coordinators over a real Redis: any of them serves any job, and each copes with a Redis that is not there, is
//! not right, or goes away.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use domain::JobId;
use domain::job::StateName;
use hiveforge_tests_e2e::{Api, Fleet, FleetRecipe, LIMIT, Role, command, eventually, of_attempt, script};
use protocol::Problem;
use protocol::client::ClientError;
use servers::{AppendOnly, Redis, RedisOptions, redis_or_skip};

/// What a password is here.
const PASSWORD: &str = "open-sesame-4711";

/// With `everysec` a kill may lose what was acknowledged while a slow disk was being synced.
fn durable() -> RedisOptions {
    RedisOptions {
        append_only: AppendOnly::Always,
        ..RedisOptions::default()
    }
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// The problem that a coordinator answers with.
fn problem<T>(answer: Result<T, ClientError>) -> Result<Problem> {
    match answer {
        Err(ClientError::Problem(problem)) => Ok(*problem),
        Err(error) => Err(error.into()),
        Ok(_) => anyhow::bail!("an answer instead of a problem"),
    }
}

/// Waits until the answer to `/readyz` is a refusal with these words.
fn until_unready(api: &Api, words: &str) -> Result<()> {
    eventually(&format!("/readyz says `{words}`"), || {
        let Err(ClientError::Problem(problem)) = api.bytes("/readyz") else {
            return Ok(None);
        };
        ensure!(
            problem.status == 503 && problem.code == "not_ready",
            "{problem:?}"
        );
        Ok(problem.detail.contains(words).then_some(()))
    })
}

#[test]
fn a_job_outlives_the_coordinator_that_took_it_and_is_followed_on_another() -> Result<()> {
    if !redis_or_skip() {
        return Ok(());
    }
    let mut fleet = Fleet::start(Redis::start(durable())?, FleetRecipe::of(3))?;
    for name in ["a", "b"] {
        fleet.start_agent(name, &["--slots", "2"])?;
    }
    eventually("both agents have enrolled", || {
        Ok((fleet.api(1).agents()?.len() == 2).then_some(()))
    })?;
    let go = fleet.directory().join("go");
    let wait = format!(
        "echo begins; while [ ! -e {} ]; do sleep 0.05; done; echo ends",
        go.display()
    );
    let id = fleet.api(0).submit(&script("long", &wait))?;
    let follower = fleet.cli.clone().with("HIVEFORGE_URL", fleet.url(1)).start([
        "job",
        "logs",
        "-f",
        &id.to_string(),
    ])?;
    let run = eventually("the job runs", || Ok(of_attempt(&id, 1)?.into_iter().next()))?;

    fleet.kill(0)?;
    let more: Vec<JobId> = (0..20)
        .map(|_| fleet.api(2).submit(&command(&["true"])))
        .collect::<Result<_, _>>()?;
    fleet.api(1).all_ended(&more, LIMIT * 2)?;
    ensure!(
        of_attempt(&id, 1)?.iter().any(|found| found.pid == run.pid),
        "the running job was disturbed"
    );
    fs::write(&go, "")?;
    let view = fleet.api(2).ended(&id)?;
    assert_eq!((view.state, view.attempt), (StateName::Succeeded, 1));
    let followed = follower.finish()?;
    assert_eq!(followed.stdout(), "begins\nends\n", "{}", followed.stderr());

    // The next one at its address is a coordinator like the others.
    fleet.restart(0)?;
    assert_eq!(fleet.api(0).job(&id)?.state, StateName::Succeeded);
    fleet.finish()?.all_ended_once()
}

#[test]
fn coordinators_that_find_no_redis_wait_for_it_and_say_so() -> Result<()> {
    if !redis_or_skip() {
        return Ok(());
    }
    let redis = Redis::start(durable())?;
    redis.stop()?;
    let mut fleet = Fleet::start_early(redis, FleetRecipe::of(2))?;
    let stranger = Api::new(&fleet.url(0), "nobody's token")?;
    for api in [fleet.api(0), fleet.api(1)] {
        until_unready(api, "does not answer")?;
        assert_eq!(api.bytes("/livez")?, "alive\n");
        ensure!(String::from_utf8_lossy(&api.bytes("/metrics")?).contains("hiveforge_nexus_up 0\n"));
    }
    // Nobody is told that a token is wrong, or that there is nothing.
    for api in [fleet.api(0), &stranger] {
        for path in ["/v1/jobs", "/v1/agents", "/v1/limits", "/v1/blobs/none"] {
            let problem = problem(api.bytes(path))?;
            assert_eq!(
                (problem.status, problem.code.as_str()),
                (503, "not_ready"),
                "{path}"
            );
            assert_eq!(problem.retry_after, Some(1), "{path}");
        }
    }
    fleet.start_agent("early", &[])?;
    fleet.redis.restart()?;
    fleet.until_ready()?;
    assert_eq!(problem(stranger.bytes("/v1/jobs"))?.status, 401);
    let id = fleet.api(1).submit(&command(&["true"]))?;
    assert_eq!(fleet.api(0).ended(&id)?.state, StateName::Succeeded);
    let log = fleet.coordinator(0)?.log()?;
    let complaints = log
        .lines()
        .filter(|line| line.contains("does not answer"))
        .count();
    assert_eq!(complaints, 1, "one line for one outage: {log}");
    fleet.finish()?.all_ended_once()
}

#[test]
fn a_redis_that_goes_away_is_an_outage_and_no_loss() -> Result<()> {
    if !redis_or_skip() {
        return Ok(());
    }
    let mut fleet = Fleet::start(Redis::start(durable())?, FleetRecipe::of(2))?;
    fleet.start_agent("a", &[])?;
    let id = fleet
        .api(0)
        .submit(&script("patient", "echo begins; sleep 4; echo ends"))?;
    eventually("the job runs", || Ok(of_attempt(&id, 1)?.into_iter().next()))?;
    fleet.redis.kill9()?;
    let refused = problem(fleet.api(0).bytes("/v1/jobs"))?;
    assert_eq!(
        (refused.status, refused.retry_after),
        (503, Some(1)),
        "{refused:?}"
    );
    until_unready(fleet.api(1), "does not answer")?;
    fleet.redis.restart()?;
    fleet.until_ready()?;
    let view = fleet.api(1).ended(&id)?;
    assert_eq!((view.state, view.attempt), (StateName::Succeeded, 1));
    assert_eq!(fleet.api(0).log(&id, 1)?, "begins\nends\n");
    fleet.finish()?.all_ended_once()
}

#[test]
fn a_redis_with_a_password_gets_it_from_a_file_alone() -> Result<()> {
    if !redis_or_skip() {
        return Ok(());
    }
    let redis = Redis::start(RedisOptions {
        password: Some(PASSWORD.to_owned()),
        ..durable()
    })?;
    let recipe = FleetRecipe {
        password: Some(PASSWORD.to_owned()),
        ..FleetRecipe::of(1)
    };
    let mut fleet = Fleet::start(redis, recipe)?;
    let id = fleet.api(0).submit(&command(&["true"]))?;
    fleet.start_agent("a", &[])?;
    assert_eq!(fleet.api(0).ended(&id)?.state, StateName::Succeeded);
    let log = fleet.coordinator(0)?.log()?;
    ensure!(!log.contains(PASSWORD), "{log}");

    let url = format!("redis://hive:{PASSWORD}@{}", fleet.redis.addr());
    let refused = fleet
        .cli
        .run(["coordinator", "--nexus", &url, "--listen", "127.0.0.1:0"])?;
    assert_ne!(refused.code, Some(0));
    ensure!(
        refused.stderr().contains("--nexus-password-file") && !refused.stderr().contains(PASSWORD),
        "{}",
        refused.stderr()
    );
    fleet.finish()?.all_ended_once()
}

/// Waits for the end of a coordinator that must not run, and returns its log.
fn refused(mut role: Role) -> Result<String> {
    let status = role.wait(LIMIT)?;
    let log = role.log()?;
    ensure!(!status.success(), "it ended well: {log}");
    Ok(log)
}

#[test]
fn a_redis_that_may_evict_jobs_is_refused_at_once_and_closes_the_gate_later() -> Result<()> {
    if !redis_or_skip() {
        return Ok(());
    }
    let mut fleet = Fleet::start(Redis::start(durable())?, FleetRecipe::of(1))?;
    fleet
        .redis
        .command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"])?;
    let log = refused(fleet.start_role(any_port(), &[])?)?;
    let last = log.lines().last().context("it says why")?;
    ensure!(
        last.contains("maxmemory-policy") && last.contains("noeviction"),
        "{log}"
    );
    // One that runs already takes no more work.
    until_unready(fleet.api(0), "maxmemory-policy")?;
    let problem = problem(fleet.api(0).submit(&command(&["true"])))?;
    assert_eq!((problem.status, problem.code.as_str()), (503, "not_ready"));
    fleet
        .redis
        .command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"])?;
    fleet.until_ready()?;
    fleet.finish().map(|_| ())
}

#[test]
fn a_coordinator_with_another_vault_is_not_ready_and_says_both() -> Result<()> {
    if !redis_or_skip() {
        return Ok(());
    }
    let mut fleet = Fleet::start(Redis::start(durable())?, FleetRecipe::of(1))?;
    let other = fleet.directory().join("other");
    let port = servers::Port::reserve()?;
    let address = SocketAddr::from(([127, 0, 0, 1], port.number()));
    let vault = other.display().to_string();
    let mut role = fleet.start_role(address, &["--vault", &vault])?;
    let token = fs::read_to_string(fleet.data().join("admin.token"))?;
    let api = Api::new(&format!("http://{address}"), token.trim())?;
    eventually("it lives", || Ok(api.bytes("/livez").ok()))?;
    for vault in [&other, &fleet.data().join("vault")] {
        until_unready(&api, fs::read_to_string(vault.join("id"))?.trim())?;
    }
    until_unready(&api, "--vault DIR")?;
    // The way out that it names for a vault that is lost for good.
    fs::copy(fleet.data().join("vault/id"), other.join("id"))?;
    role.signal(rustix::process::Signal::TERM)?;
    role.wait(Duration::from_secs(20))?;
    let mut role = fleet.start_role(address, &["--vault", &vault])?;
    eventually("it is ready", || Ok(api.bytes("/readyz").ok()))?;
    role.signal(rustix::process::Signal::TERM)?;
    role.wait(Duration::from_secs(20))?;
    fleet.finish().map(|_| ())
}
