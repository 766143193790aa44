//! How the shipped agent makes processes, as the kernel sees it.

use std::fs;

use anyhow::Result;
use domain::job::StateName;
use hiveforge_tests_e2e::{Kind, LIMIT, System, script, skips_allowed};

use crate::process_calls::{ProcessCalls, STRACE};

#[test]
fn the_shipped_agent_never_forks() -> Result<()> {
    let mut system = System::start(Kind::Coordinator, &[])?;
    let trace = system.directory().join("trace");
    let wrapper = [&STRACE[..], &[trace.to_str().expect("temporary paths are text")]].concat();
    let job = system
        .api()
        .submit(&script("traced", "echo in; sh -c 'echo of another process'"))?;
    match system.start_agent_under(&wrapper, "traced", &["--once"]) {
        Ok(()) => {}
        Err(error) if skips_allowed() => {
            println!("skipped, for strace cannot be run here: {error:#}");
            return Ok(());
        }
        Err(error) => return Err(error),
    }
    let status = system.agent("traced")?.wait(LIMIT)?;
    assert!(status.success(), "{}", system.agent("traced")?.log()?);
    assert_eq!(system.api().job(&job)?.state, StateName::Succeeded);
    let calls = ProcessCalls::parse(&fs::read_to_string(&trace)?);
    assert_eq!(
        calls,
        ProcessCalls {
            sharing: 1,
            copying: Vec::new()
        }
    );
    system.finish()?.all_ended_once()
}
