//! What a program finds when it starts, and why one does not start.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use hiveforge_executor::{Fault, Identity, Launch, LaunchError, Limits, Process, SpawnError, boot_id};
use rustix::process::Pid;
use tempfile::TempDir;

use super::*;

fn limited(script: &str, limits: Limits) -> Launch {
    Launch {
        limits,
        ..shell(script)
    }
}

fn script_in(dir: &TempDir, name: &str, text: &str, mode: u32) {
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

async fn spawn_error(launch: Launch) -> (SpawnError, Fault) {
    let error = refused(launch).await;
    let fault = error.fault();
    let LaunchError::Spawn(error) = error else {
        panic!("{error:?}")
    };
    (error, fault)
}

#[tokio::test]
async fn the_environment_is_exactly_what_was_given() {
    let env = vec![
        ("A".to_owned(), "1".to_owned()),
        ("EMPTY".to_owned(), String::new()),
    ];
    let finished = run(Launch {
        env,
        ..command(&["/usr/bin/env"])
    })
    .await;
    assert_eq!(finished.stdout(), "A=1\nEMPTY=\n");
}

#[tokio::test]
async fn no_descriptor_is_inherited_and_standard_input_is_empty() {
    let _leak = rustix::io::dup(std::io::stderr()).unwrap();
    let finished = run(command(&["ls", "/proc/self/fd"])).await;
    assert_eq!(
        finished.stdout(),
        "0\n1\n2\n3\n",
        "the fourth is the directory that is being listed"
    );
    assert_eq!(
        run(shell("readlink /proc/self/fd/0; cat")).await.stdout(),
        "/dev/null\n"
    );
}

#[tokio::test]
async fn signals_privileges_and_umask_are_as_in_a_fresh_session() {
    let status = run(shell("exec cat /proc/self/status")).await;
    let field = |name: &str| {
        let line = status
            .stdout()
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        line.trim_start_matches(':').trim().to_owned()
    };
    for set in ["SigBlk", "SigIgn", "SigCgt"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!(field("NoNewPrivs"), "1");
    assert_eq!(field("Umask"), "0022");
}

#[tokio::test]
async fn it_leads_a_session_and_its_identity_finds_it() {
    let execution = start(command(&["sleep", "1000"])).await;
    let Identity::Process(identity) = execution.identity();
    let found = Process::find(Pid::from_raw(identity.pid).unwrap()).unwrap();
    assert_eq!((found.group, found.session), (identity.pid, identity.pid));
    assert_eq!(
        (identity.start_time, identity.boot_id),
        (found.start_time, boot_id().unwrap())
    );
    execution.kill();
    finish(&*execution).await;
}

#[tokio::test]
async fn the_program_starts_in_its_work_directory() {
    let dir = TempDir::new().unwrap();
    let workdir = dir.path().canonicalize().unwrap();
    let finished = run(Launch {
        workdir: workdir.clone(),
        ..command(&["pwd"])
    })
    .await;
    assert_eq!(finished.stdout().trim_end(), workdir.to_str().unwrap());
}

#[tokio::test]
async fn a_bare_name_is_looked_up_in_the_path_of_the_job() {
    let (first, second) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    script_in(&first, "tool", "no program", 0o644);
    script_in(&second, "tool", "#!/bin/sh\necho second", 0o755);
    let path = format!("/missing:{}:{}", first.path().display(), second.path().display());
    let launch = Launch {
        env: vec![("PATH".to_owned(), path)],
        ..command(&["tool"])
    };
    assert_eq!(run(launch).await.stdout(), "second\n");
}

#[tokio::test]
async fn a_path_with_a_slash_is_relative_to_the_work_directory() {
    let dir = TempDir::new().unwrap();
    script_in(&dir, "build.sh", "#!/bin/sh\necho \"$@\"", 0o755);
    let launch = Launch {
        workdir: dir.path().into(),
        ..command(&["./build.sh", "a b", ""])
    };
    assert_eq!(run(launch).await.stdout(), "a b \n");
}

#[tokio::test]
async fn a_missing_program_is_the_jobs_fault() {
    for program in ["no-such-program", "/no/such/program", "./no-such-program", ""] {
        let (error, fault) = spawn_error(command(&[program])).await;
        assert!(
            matches!(&error, SpawnError::NotFound { program: named } if named == program),
            "{error:?}"
        );
        assert_eq!(fault, Fault::Job);
    }
    let (error, _) = spawn_error(command(&[])).await;
    assert!(matches!(error, SpawnError::NotFound { .. }), "{error:?}");
}

#[tokio::test]
async fn what_cannot_be_executed_is_the_jobs_fault() {
    let dir = TempDir::new().unwrap();
    script_in(&dir, "data", "#!/bin/sh", 0o644);
    script_in(&dir, "no-interpreter", "#!/no/such/interpreter\n", 0o755);
    script_in(&dir, "no-format", "neither ELF nor script", 0o755);
    for program in ["./data", "./no-interpreter", "./no-format", "/"] {
        let launch = Launch {
            workdir: dir.path().into(),
            ..command(&[program])
        };
        let (error, fault) = spawn_error(launch).await;
        assert!(
            matches!(&error, SpawnError::NotExecutable { .. }),
            "{program}: {error:?}"
        );
        assert_eq!(fault, Fault::Job);
    }
}

#[tokio::test]
async fn a_missing_work_directory_is_the_machines_fault() {
    let (error, fault) = spawn_error(Launch {
        workdir: "/no/such".into(),
        ..command(&["true"])
    })
    .await;
    assert!(
        matches!(&error, SpawnError::BadWorkDir { path, .. } if path.ends_with("such")),
        "{error:?}"
    );
    assert_eq!(fault, Fault::Machine);
}

#[tokio::test]
async fn what_the_kernel_cannot_express_is_refused() {
    let (error, _) = spawn_error(command(&["echo", "a\0b"])).await;
    assert!(
        matches!(error, SpawnError::Unrepresentable { what: "argument" }),
        "{error:?}"
    );
    for name in ["", "A=B", "A\0"] {
        let env = vec![(name.to_owned(), String::new())];
        let (error, _) = spawn_error(Launch {
            env,
            ..command(&["/bin/true"])
        })
        .await;
        assert!(matches!(error, SpawnError::Unrepresentable { .. }), "{error:?}");
    }
    let (error, fault) = spawn_error(command(&["echo", &"x".repeat(1 << 20)])).await;
    assert!(matches!(error, SpawnError::TooLong), "{error:?}");
    assert_eq!(fault, Fault::Job);
}

#[tokio::test]
async fn limits_hold_and_core_dumps_are_off() {
    let limits = Limits {
        open_files: Some(64),
        file_size: Some(1 << 20),
        ..Limits::default()
    };
    let finished = run(limited("ulimit -c; ulimit -n; ulimit -Hn; ulimit -d", limits)).await;
    assert_eq!(finished.stdout(), "0\n64\n64\nunlimited\n");

    let dir = TempDir::new().unwrap();
    let big = format!("exec head -c 2000000 /dev/zero > {}/big", dir.path().display());
    let finished = run(limited(&big, limits)).await;
    assert_eq!(
        (finished.end.status, finished.end.output),
        signaled(libc::SIGXFSZ)
    );

    let memory = Limits {
        memory: Some(64 << 20),
        ..Limits::default()
    };
    let allocate = |mebibytes| format!("dd if=/dev/zero of=/dev/null count=1 status=none bs={mebibytes}M");
    assert_eq!(
        run(limited(&allocate(8), memory)).await.end.status,
        ExitStatus::Exited(0)
    );
    let finished = run(limited(&allocate(256), memory)).await;
    assert_eq!(finished.end.status, ExitStatus::Exited(1));
    assert!(
        finished.stderr().contains("memory exhausted"),
        "{}",
        finished.stderr()
    );
}

#[tokio::test]
async fn a_limit_above_the_agents_own_is_no_error() {
    let limits = Limits {
        open_files: Some(u64::MAX),
        ..Limits::default()
    };
    assert_eq!(
        run(limited("exit 0", limits)).await.end.status,
        ExitStatus::Exited(0)
    );
}

#[tokio::test]
async fn a_program_that_was_just_written_starts_while_others_do() {
    let dir = TempDir::new().unwrap();
    let executor = Arc::new(ProcessExecutor::new(Spawner::new(2).unwrap()).unwrap());
    for number in 0..100 {
        let name = format!("./tool-{number}");
        let other = executor.start(command(&["true"]));
        let own = async {
            fs::copy("/bin/true", dir.path().join(&name)).unwrap();
            executor
                .start(Launch {
                    workdir: dir.path().into(),
                    ..command(&[&name])
                })
                .await
        };
        let (other, own) = tokio::join!(other, own);
        assert_eq!(finish(&*own.unwrap()).await.end.status, ExitStatus::Exited(0));
        finish(&*other.unwrap()).await;
    }
}
