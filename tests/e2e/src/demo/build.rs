//! Part A: sources go up as blobs, a job builds and tests them while we watch, and its program comes back and runs here.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use domain::JobSpec;
use domain::job::StateName;
use domain::spec::{ArtifactRule, Input};

use super::page::say;
use crate::{System, command};

/// The project. It is part of this program, so the demo runs anywhere.
const FILES: [(&str, &[u8]); 7] = [
    (
        "Makefile",
        include_bytes!("../../../demo-inputs/c-project/Makefile"),
    ),
    ("eval.c", include_bytes!("../../../demo-inputs/c-project/eval.c")),
    ("eval.h", include_bytes!("../../../demo-inputs/c-project/eval.h")),
    ("main.c", include_bytes!("../../../demo-inputs/c-project/main.c")),
    (
        "test.sh",
        include_bytes!("../../../demo-inputs/c-project/test.sh"),
    ),
    (
        "token.c",
        include_bytes!("../../../demo-inputs/c-project/token.c"),
    ),
    (
        "token.h",
        include_bytes!("../../../demo-inputs/c-project/token.h"),
    ),
];
/// The program that the project builds.
const PROGRAM: &str = "calc";
/// What we ask the program, and what it must say.
const QUESTION: &str = "2 ^ 10 / (3 + 1) - 1";
const ANSWER: &str = "255";

/// Builds, watches, downloads, runs.
pub(super) fn run(system: &System) -> Result<()> {
    let api = system.api();
    let mut spec = JobSpec {
        name: Some("build calc".to_owned()),
        artifacts: vec![ArtifactRule {
            glob: PROGRAM.to_owned(),
            optional: false,
        }],
        ..command(&["make", "all", "test"])
    };
    let mut bytes = 0;
    for (path, content) in FILES {
        let digest = api.store(content)?;
        spec.inputs.insert(
            path.to_owned(),
            Input {
                digest,
                executable: false,
            },
        );
        bytes += content.len();
    }
    say(&format!("uploaded {} files, {bytes} bytes", FILES.len()));

    let job = api.submit(&spec)?;
    say(&format!("submitted {job}; its log:"));
    api.until(&job, "starts", |view| view.attempt > 0)?;
    let mut log = Vec::new();
    let mut shown = 0;
    api.follow(&job, 1, |_, piece| {
        log.extend_from_slice(piece);
        // Only whole lines: a piece may end anywhere.
        let end = log.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        for line in String::from_utf8_lossy(&log[shown..end.max(shown)]).lines() {
            say(&format!("  | {line}"));
        }
        shown = end.max(shown);
    })?;
    let view = api.ended(&job)?;
    ensure!(
        view.state == StateName::Succeeded,
        "the build {}: {:?}",
        view.state,
        view.cause_text
    );
    let log = String::from_utf8_lossy(&log);
    ensure!(
        log.contains("expressions, 0 wrong"),
        "the log lacks the test's last line: {log}"
    );

    let (artifact, content) = api.artifact(&job, 1, PROGRAM)?;
    ensure!(artifact.executable, "the artifact is not executable");
    let program = system.directory().join(PROGRAM);
    write_program(&program, &content)?;
    let answer = ask(&program)?;
    ensure!(
        answer == ANSWER,
        "calc '{QUESTION}' says `{answer}`, not {ANSWER}"
    );
    say(&format!(
        "downloaded {PROGRAM} ({} bytes); here it says {QUESTION} = {answer}",
        content.len()
    ));
    Ok(())
}

fn write_program(path: &Path, content: &[u8]) -> Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o700)
        .open(path)?;
    file.write_all(content).context("write the program")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the rule is for agents; this is a user's machine"
)]
fn ask(program: &Path) -> Result<String> {
    let output = std::process::Command::new(program)
        .arg(QUESTION)
        .output()
        .context("run calc")?;
    ensure!(output.status.success(), "calc ended with {}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
