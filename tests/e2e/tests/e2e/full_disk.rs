//! A full disk in the data directory: no new work, but what runs comes to its end, and nothing is forgotten.
//!
//! The disk is a small file system of its own, which a process may mount in its own mount namespace; so each test runs
//! itself again there.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use domain::job::StateName;
use domain::{JobId, JobSpec};
use hiveforge_tests_e2e::{Kind, System, command, eventually, script, skips_allowed};
use protocol::client::ClientError;

/// The size of the disk.
const MOUNT: [&str; 5] = ["-t", "tmpfs", "-o", "size=64m", "tmpfs"];
/// What a child prints when it has come to its end; a filter that matches no test succeeds as well.
const DONE: &str = "the disk was full and nothing was lost";
/// What a child prints when it was not allowed to mount.
const NOT_ALLOWED: &str = "this machine lets no test mount a file system";

#[test]
fn a_coordinator_on_a_full_disk_refuses_work_and_records_the_end_of_what_runs() -> Result<()> {
    in_own_namespace("full_disk::coordinator")
}

#[test]
fn up_on_a_full_disk_refuses_work_and_records_the_end_of_what_runs() -> Result<()> {
    in_own_namespace("full_disk::up")
}

#[test]
#[ignore = "run by another test in a namespace of its own"]
fn coordinator() -> Result<()> {
    fill_the_disk(Kind::Coordinator)
}

#[test]
#[ignore = "run by another test in a namespace of its own"]
fn up() -> Result<()> {
    // The agent's files are on the full disk as well.
    fill_the_disk(Kind::Up)
}

/// Mounts a disk, and lets the scenario play on it.
fn fill_the_disk(kind: Kind) -> Result<()> {
    let disk = tempfile::tempdir()?;
    if let Err(error) = run("mount", &[&MOUNT[..], &[path(disk.path())]].concat()) {
        println!("{NOT_ALLOWED}: {error:#}");
        return Ok(());
    }
    play(kind, disk.path())?;
    run("umount", &[path(disk.path())])?;
    println!("{DONE}");
    Ok(())
}

fn play(kind: Kind, disk: &Path) -> Result<()> {
    let own = tempfile::Builder::new().prefix("hiveforge-").tempdir()?;
    let go = own.path().join("go");
    let mut system = System::start_in(kind, &["--lease-ttl", "3s"], own, disk.join("data"))?;
    if kind == Kind::Coordinator {
        system.start_agent("a", &[])?;
    }
    // A log that is older than a second is shipped as it grows; it must come through on the full disk too.
    let text = format!(
        "echo begin; while [ ! -e {} ]; do sleep 0.05; done; echo on; sleep 1.5; echo end",
        go.display()
    );
    let running = system.api().submit(&script("running", &text))?;
    system
        .api()
        .until(&running, "runs", |view| view.state == StateName::Running)?;

    let filler = disk.join("filler");
    let mut acknowledged = submit_until_full(&system, &filler)?;
    fs::write(&go, "")?;
    let view = system.api().ended(&running)?;
    assert_eq!(
        (view.state, view.cause_text, view.attempt),
        (StateName::Succeeded, None, 1)
    );
    assert_eq!(system.api().log(&running, 1)?, "begin\non\nend\n");
    let all = system.api().all()?;
    assert!(
        acknowledged.iter().all(|id| all.contains_key(id)),
        "an acknowledged job is missing"
    );
    // Cancels end jobs, so they pass too.
    let last = acknowledged.pop().context("at least one was acknowledged")?;
    system.api().cancel(&last, "no room")?;
    assert_eq!(system.api().job(&last)?.state, StateName::Cancelled);

    system.kill_coordinator()?;
    fs::remove_file(&filler)?;
    system.restart_coordinator()?;
    assert_eq!(system.api().job(&running)?.state, StateName::Succeeded);
    let afterwards = eventually("a submit is taken again", || {
        Ok(system.api().submit(&command(&["true"])).ok())
    })?;
    assert_eq!(system.api().ended(&afterwards)?.state, StateName::Succeeded);
    for id in &acknowledged {
        system.api().cancel(id, "the test is over")?;
    }
    system.finish()?.all_ended_once()
}

/// Fills the disk and submits until that is refused, by the API and by the command line. Returns what was acknowledged.
fn submit_until_full(system: &System, filler: &Path) -> Result<Vec<JobId>> {
    // Nobody takes these, so they are there to be forgotten.
    let waiting = JobSpec {
        requires: vec!["site = mars".parse()?],
        ..command(&["true"])
    };
    let mut acknowledged = vec![system.api().submit(&waiting)?];
    fill(filler)?;
    let refusal = eventually("a submit is refused", || match system.api().submit(&waiting) {
        Ok(id) => {
            acknowledged.push(id);
            Ok(None)
        }
        Err(ClientError::Problem(problem)) => Ok(Some(problem)),
        Err(error) => Err(error.into()),
    })?;
    assert_eq!((refusal.status, refusal.code.as_str()), (507, "nexus_full"));
    let told = system.cli.run(["run", "--", "true"])?;
    assert_eq!(told.code, Some(69), "{}", told.stderr());
    assert!(told.stderr().contains("disk is full"), "{}", told.stderr());
    Ok(acknowledged)
}

/// Writes until not a byte more fits.
fn fill(filler: &Path) -> Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(filler)?;
    for size in [1 << 20, 1 << 12, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    Ok(())
}

fn in_own_namespace(test: &str) -> Result<()> {
    let exe = std::env::current_exe()?;
    let arguments = ["-rm", path(&exe), "--exact", test, "--ignored", "--nocapture"];
    let said = match run("unshare", &arguments) {
        Ok(said) if said.contains(DONE) => return Ok(()),
        Ok(said) => said,
        // What ran and failed is a failure; what could not run at all may be skipped.
        Err(error) if format!("{error:#}").contains("running 1 test") => return Err(error),
        Err(error) => format!("{NOT_ALLOWED}: {error:#}"),
    };
    ensure!(said.contains(NOT_ALLOWED) && skips_allowed(), "{said}");
    println!("skipped: {said}");
    Ok(())
}

/// Runs a program to its end and returns what it printed.
#[expect(clippy::disallowed_methods, reason = "the rule is for agents; this is a test")]
fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = std::process::Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("run {program}"))?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(
        output.status.success(),
        "{program} ended with {}: {said}",
        output.status
    );
    Ok(said)
}

fn path(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}
