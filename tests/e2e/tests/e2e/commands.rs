//! The commands that look at jobs and agents and change them.

use std::fs;

use anyhow::Result;
use domain::job::StateName;
use hiveforge_tests_e2e::{Cli, Kind, System, command, hiveforge, script};
use protocol::jobs::{EventView, JobView};

const SPEC: &str = r#"
name = "greeting"
script = "echo hello; echo \"$NAME\" > greeting.txt"
env = { NAME = "Ada" }
artifacts = ["*.txt"]
timeout = "1m"
labels = { team = "compilers" }
"#;

#[test]
fn a_job_from_a_file_can_be_looked_at_from_every_side() -> Result<()> {
    let system = System::start(Kind::Up, &[])?;
    let cli = &system.cli;
    fs::write(system.directory().join("job.toml"), SPEC)?;
    let id = cli.ok(["submit", "job.toml"])?.trim().to_owned();
    assert_eq!(cli.ok(["job", "logs", "-f", &id])?, "hello\n");
    system.api().ended(&id.parse()?)?;

    let list = cli.ok(["job", "list"])?;
    assert!(
        list.contains(&id) && list.contains("succeeded") && list.contains("greeting"),
        "{list}"
    );
    assert_eq!(cli.ok(["job", "list", "--state", "failed", "-o", "jsonl"])?, "");
    let shown: JobView = serde_json::from_str(&cli.ok(["job", "show", &id, "-o", "json"])?)?;
    assert_eq!((shown.state, shown.attempt), (StateName::Succeeded, 1));
    assert!(cli.ok(["job", "show", &id])?.contains("succeeded"));
    let events = cli.ok(["job", "events", &id, "-o", "jsonl"])?;
    let events: Vec<EventView> = events
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let names: Vec<&str> = events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(names, ["submitted", "claimed", "finished"]);
    let why = cli.ok(["job", "why", &id])?;
    assert!(why.contains("succeeded"), "{why}");
    cli.ok(["job", "artifacts", &id, "--download", "results"])?;
    assert_eq!(
        fs::read_to_string(system.directory().join("results/greeting.txt"))?,
        "Ada\n"
    );

    let again = cli.ok(["job", "rerun", &id])?.trim().to_owned();
    assert_ne!(again, id);
    let view = system.api().ended(&again.parse()?)?;
    assert_eq!(
        (view.state, view.spec_digest),
        (StateName::Succeeded, shown.spec_digest)
    );
    system.finish()?.all_ended_once()
}

#[test]
fn a_batch_prints_its_ids_in_order_and_one_bad_spec_submits_nothing() -> Result<()> {
    let system = System::start(Kind::Up, &[])?;
    let lines: String = (0..5)
        .map(|i| format!("{{\"command\": [\"echo\", \"{i}\"]}}\n"))
        .collect();
    let file = system.directory().join("jobs.jsonl");
    fs::write(&file, &lines)?;
    let printed = system.cli.ok(["submit", "--batch", "jobs.jsonl"])?;
    let ids: Vec<_> = printed.lines().map(str::parse).collect::<Result<_, _>>()?;
    assert_eq!(ids.len(), 5);
    for (i, id) in ids.iter().enumerate() {
        system.api().ended(id)?;
        assert_eq!(system.api().log(id, 1)?, format!("{i}\n"));
    }
    fs::write(&file, lines + "{\"command\": []}\n")?;
    let refused = system.cli.run(["submit", "--batch", "jobs.jsonl"])?;
    assert_eq!(refused.code, Some(65), "{}", refused.stderr());
    assert_eq!(system.api().all()?.len(), 5);
    system.finish()?.all_ended_once()
}

#[test]
fn a_blob_comes_back_as_it_went() -> Result<()> {
    let system = System::start(Kind::Up, &[])?;
    let content: Vec<u8> = (0..3_000_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    fs::write(system.directory().join("there"), &content)?;
    let digest = system.cli.ok(["blob", "put", "there"])?.trim().to_owned();
    assert_eq!(digest, domain::Digest::of(&content).to_string());
    system.cli.ok(["blob", "get", &digest, "--file", "back"])?;
    assert!(fs::read(system.directory().join("back"))? == content);
    assert!(system.cli.run(["blob", "get", &digest])?.stdout == content);
    system.finish()?.all_ended_once()
}

#[test]
fn url_and_token_of_the_environment_go_before_the_data_directory() -> Result<()> {
    let system = System::start(Kind::Up, &[])?;
    let token = fs::read_to_string(system.data().join("admin.token"))?;
    let elsewhere = system.directory().join("elsewhere");
    let stranger = Cli::new(&hiveforge()?, &elsewhere, system.directory());
    assert_eq!(stranger.run(["job", "list"])?.code, Some(69));
    let with_url = stranger.with("HIVEFORGE_URL", system.url());
    assert_eq!(with_url.run(["job", "list"])?.code, Some(77));
    let with_both = with_url.with("HIVEFORGE_TOKEN", token.trim());
    assert!(with_both.ok(["run", "--", "echo", "hello"])? == "hello\n");
    // What the data directory says is right, but the environment is asked first.
    assert_eq!(
        system
            .cli
            .clone()
            .with("HIVEFORGE_TOKEN", "wrong")
            .run(["job", "list"])?
            .code,
        Some(77)
    );
    let nobody = system.cli.clone().with("HIVEFORGE_URL", "http://127.0.0.1:1");
    assert_eq!(nobody.run(["job", "list"])?.code, Some(69));
    system.finish()?.all_ended_once()
}

#[test]
fn a_drained_agent_takes_nothing_until_it_is_resumed() -> Result<()> {
    let system = System::start(Kind::Up, &[])?;
    system.cli.ok(["agents", "drain", "local"])?;
    assert!(system.cli.ok(["agents", "list"])?.contains("draining"));
    let job = system.api().submit(&command(&["true"]))?;
    let why = system.cli.ok(["job", "why", &job.to_string()])?;
    assert!(why.contains("draining"), "{why}");
    system.cli.ok(["agents", "resume", "local"])?;
    assert_eq!(system.api().ended(&job)?.state, StateName::Succeeded);
    let events: Vec<String> = system
        .api()
        .events(&job)?
        .into_iter()
        .map(|event| event.event)
        .collect();
    assert_eq!(events.last().map(String::as_str), Some("finished"), "{events:?}");
    system.finish()?.all_ended_once()
}

#[test]
fn a_job_that_nobody_can_run_says_so_at_once_and_names_every_reason() -> Result<()> {
    let system = System::start(Kind::Up, &[])?;
    let arguments = [
        "run",
        "--detach",
        "--require",
        "gpu >= 1",
        "--require",
        "site = mars",
        "--",
        "true",
    ];
    let submitted = system.cli.run(arguments)?;
    assert_eq!(submitted.code, Some(0), "{}", submitted.stderr());
    assert!(submitted.stderr().contains("warning"), "{}", submitted.stderr());
    let job = submitted.stdout().trim().to_owned();
    let why = system.cli.ok(["job", "why", &job])?;
    assert!(why.contains("gpu >= 1") && why.contains("site = mars"), "{why}");

    let mut wide = script("wide", "true");
    wide.limits.cpus = Some(serde_json::from_str("4000")?);
    let wide = system.api().submit(&wide)?;
    let why = system.cli.ok(["job", "why", &wide.to_string()])?;
    assert!(why.contains("cpus"), "{why}");
    system.cli.ok(["job", "cancel", &job, &wide.to_string()])?;
    assert_eq!(system.api().ended(&wide)?.state, StateName::Cancelled);
    system.finish()?.all_ended_once()
}
