//! `hiveforge run`: a job that feels like a local command.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Result;
use domain::job::StateName;
use hiveforge_tests_e2e::{Interactive, Kind, System, eventually, of_job, within};
use protocol::jobs::JobView;
use rustix::process::Signal;

/// Bytes of the large output.
const LARGE: usize = 5_000_000;

#[test]
fn both_streams_come_through_byte_for_byte() -> Result<()> {
    let system = System::start(Kind::Up, &[])?;
    let run = |script: &str| system.cli.run(["run", "--", "sh", "-c", script]);

    // Bytes that are no text, an escape sequence, no newline at the end.
    let finished = run(r"printf '\000\377\303\050\033[31m\r\n\nend'; printf 'no newline' >&2")?;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr());
    assert_eq!(finished.stdout, b"\x00\xff\xc3\x28\x1b[31m\r\n\nend");
    let notes_and_stderr = finished.stderr();
    assert!(notes_and_stderr.ends_with("no newline"), "{notes_and_stderr:?}");

    let finished = run("i=0; while [ $i -lt 300 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done")?;
    let lines = |word: &str| (0..300).map(|i| format!("{word} {i}\n")).collect::<String>();
    assert_eq!(finished.stdout(), lines("out"));
    let stderr = finished.stderr();
    let without_notes: String = stderr
        .split_inclusive('\n')
        .filter(|line| !line.starts_with("hiveforge:"))
        .collect();
    assert_eq!(without_notes, lines("err"));

    let finished = run(&format!("seq 10000000 | head -c {LARGE}"))?;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr());
    let expected: Vec<u8> = (1..)
        .flat_map(|i| format!("{i}\n").into_bytes())
        .take(LARGE)
        .collect();
    assert!(
        finished.stdout == expected,
        "{} bytes came",
        finished.stdout.len()
    );

    system.finish()?.all_ended_once()
}

#[test]
fn the_exit_code_tells_how_the_job_ended() -> Result<()> {
    let system = System::start(Kind::Up, &[])?;
    let check = |options: &[&str], argv: &[&str], code: i32, note: &str| -> Result<()> {
        let arguments = [&["run"], options, &["--"], argv].concat();
        let finished = system.cli.run(&arguments)?;
        assert_eq!(finished.code, Some(code), "{arguments:?}: {}", finished.stderr());
        assert!(
            finished.stderr().contains(note),
            "{arguments:?}: {}",
            finished.stderr()
        );
        Ok(())
    };
    check(&[], &["true"], 0, "queued")?;
    check(&[], &["sh", "-c", "exit 3"], 3, "failed: exit status 3")?;
    check(&[], &["sh", "-c", "exit 255"], 255, "failed: exit status 255")?;
    check(
        &[],
        &["sh", "-c", "kill -9 $$"],
        137,
        "failed: killed by signal 9",
    )?;
    check(
        &[],
        &["sh", "-c", "kill -15 $$"],
        143,
        "failed: killed by signal 15",
    )?;
    check(
        &["--timeout", "200ms"],
        &["sleep", "600"],
        124,
        "failed: timed out",
    )?;
    check(&[], &["no-such-program"], 127, "cannot start")?;
    check(
        &["--artifact", "result.txt"],
        &["true"],
        1,
        "no file matched the required artifact `result.txt`",
    )?;
    check(&["--wait", "300ms"], &["sleep", "2"], 75, "the job goes on")?;
    eventually("the job that was not waited for ends", || {
        let all = system.api().all()?;
        Ok(all.values().all(|view| view.state.is_terminal()).then_some(()))
    })?;
    system.finish()?.all_ended_once()
}

#[test]
fn the_environment_is_the_jobs_own() -> Result<()> {
    let system = System::start(Kind::Up, &[])?;
    let mine = system.cli.clone().with("MY_SECRET", "not for jobs");
    let printed = mine.ok(["run", "--env", "GREETING=hello", "--", "env"])?;
    assert!(printed.contains("GREETING=hello\n"), "{printed}");
    assert!(printed.contains("HIVEFORGE_ATTEMPT=1\n"), "{printed}");
    for foreign in ["MY_SECRET", "HIVEFORGE_TOKEN", "HIVEFORGE_DATA", "HIVEFORGE_LOG"] {
        assert!(!printed.contains(foreign), "{foreign}: {printed}");
    }
    system.finish()?.all_ended_once()
}

#[test]
fn inputs_arrive_and_artifacts_come_back() -> Result<()> {
    let system = System::start(Kind::Up, &[])?;
    let home = system.directory();
    fs::create_dir_all(home.join("src/deep"))?;
    fs::write(home.join("src/deep/numbers"), "3\n1\n2\n")?;
    fs::write(home.join("src/sort.sh"), "sort src/deep/numbers > out/sorted\n")?;
    let script =
        "mkdir out && sh src/sort.sh && printf '#!/bin/sh\necho ran\n' > out/tool && chmod +x out/tool";
    let arguments = [
        "run",
        "--input",
        "src",
        "--artifact",
        "out/*",
        "--result-file",
        "result.json",
        "--",
    ];
    let finished = system
        .cli
        .run([&arguments[..], &["sh", "-euc", script]].concat())?;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr());

    let result: serde_json::Value = serde_json::from_slice(&fs::read(home.join("result.json"))?)?;
    assert_eq!(
        (&result["state"], &result["exit_code"]),
        (&"succeeded".into(), &0.into()),
        "{result}"
    );
    let job = result["id"].as_str().unwrap();
    let listed = system.cli.ok(["job", "artifacts", job])?;
    assert!(
        listed.contains("out/sorted") && listed.contains("out/tool"),
        "{listed}"
    );
    system.cli.ok(["job", "artifacts", job, "--download", "back"])?;
    assert_eq!(fs::read_to_string(home.join("back/out/sorted"))?, "1\n2\n3\n");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(home.join("back/out/tool"))?.permissions());
    assert_eq!(mode & 0o100, 0o100, "the artifact lost its executable bit");
    system.finish()?.all_ended_once()
}

#[test]
fn the_first_interrupt_cancels_and_the_second_one_leaves() -> Result<()> {
    let system = System::start(Kind::Up, &[])?;
    let (run, cancelled) = sleeper(&system, &[])?;
    let interrupted_at = Instant::now();
    run.signal(Signal::INT)?;
    let finished = run.finish()?;
    assert_eq!(finished.code, Some(130), "{}", finished.stderr());
    // The agent heard of it, and did not wait for its next renewal, which is 10 s away.
    assert!(
        interrupted_at.elapsed() < Duration::from_secs(5),
        "{:?}",
        interrupted_at.elapsed()
    );
    assert_eq!(system.api().job(&cancelled.id)?.state, StateName::Cancelled);
    assert_eq!(of_job(&cancelled.id)?, []);

    let (run, left) = sleeper(&system, &[])?;
    run.signal(Signal::INT)?;
    system
        .api()
        .until(&left.id, "is asked to end", |view| view.cancel.is_some())?;
    run.signal(Signal::INT)?;
    assert_eq!(run.finish()?.code, Some(130));
    assert_eq!(system.api().ended(&left.id)?.state, StateName::Cancelled);

    let (run, left) = sleeper(&system, &["--on-interrupt", "detach"])?;
    run.signal(Signal::INT)?;
    let finished = run.finish()?;
    assert_eq!(finished.code, Some(130), "{}", finished.stderr());
    let view = system.api().job(&left.id)?;
    assert_eq!((view.state, view.cancel), (StateName::Running, None));
    system.api().cancel(&left.id, "the test is over")?;
    system.api().ended(&left.id)?;
    assert_eq!(within(system.directory())?, []);
    system.finish()?.all_ended_once()
}

#[test]
fn the_output_is_whole_though_the_coordinator_is_killed_in_between() -> Result<()> {
    let mut system = System::start(Kind::Coordinator, &[])?;
    system.start_agent("a", &[])?;
    system.until_agents(1)?;
    let go = system.directory().join("go");
    let script = format!(
        "i=0; while [ $i -lt 200 ]; do echo line $i; echo note $i >&2; i=$((i+1)); \
         [ $i = 50 ] && while [ ! -e {} ]; do sleep 0.05; done; sleep 0.01; done; exit 7",
        go.display()
    );
    let run = system.cli.start(["run", "--", "sh", "-c", &script])?;
    for deaths in 0..2 {
        eventually("something was written", || {
            let logged = system
                .api()
                .all()?
                .into_keys()
                .next()
                .map(|id| system.api().log(&id, 1));
            Ok(logged.and_then(Result::ok).filter(|log| !log.is_empty()))
        })?;
        system.kill_coordinator()?;
        system.restart_coordinator()?;
        if deaths == 0 {
            fs::write(&go, "")?;
        }
    }
    let finished = run.finish()?;
    assert_eq!(finished.code, Some(7), "{}", finished.stderr());
    assert_eq!(
        finished.stdout(),
        (0..200).map(|i| format!("line {i}\n")).collect::<String>()
    );
    let notes: String = finished
        .stderr()
        .split_inclusive('\n')
        .filter(|line| line.starts_with("note"))
        .collect();
    assert_eq!(notes, (0..200).map(|i| format!("note {i}\n")).collect::<String>());
    system.finish()?.all_ended_once()
}

/// Starts `hiveforge run -- sleep 600` and waits until the job runs.
fn sleeper(system: &System, options: &[&str]) -> Result<(Interactive, JobView)> {
    let before = system.api().all()?;
    let run = system
        .cli
        .start([&["run"], options, &["--", "sleep", "600"]].concat())?;
    let job = eventually("the job of `run` runs", || {
        let all = system.api().all()?;
        let new = all.into_values().find(|view| !before.contains_key(&view.id));
        Ok(new.filter(|view| view.state == StateName::Running))
    })?;
    Ok((run, job))
}
