//! An agent that was away for longer than its leases live, and comes back.

use anyhow::Result;
use domain::job::StateName;
use domain::{Cause, JobSpec};
use hiveforge_tests_e2e::{Kind, System, eventually, of_attempt, script};
use protocol::jobs::JobView;
use rustix::process::Signal;
use serde_json::Value;

#[test]
fn a_thawed_agent_finds_its_leases_lost_and_its_late_words_refused() -> Result<()> {
    let mut system = System::start(Kind::Coordinator, &["--lease-ttl", "3s"])?;
    system.start_agent("a", &["--slots", "2"])?;
    let go = system.directory().join("go");
    let twice = |name: &str, first: &str| {
        let text = format!("if [ $HIVEFORGE_ATTEMPT = 1 ]; then {first}; fi; echo $HIVEFORGE_ATTEMPT");
        JobSpec {
            max_attempts: 2,
            ..script(name, &text)
        }
    };
    let ends_meanwhile = system.api().submit(&twice(
        "ends meanwhile",
        &format!("while [ ! -e {} ]; do sleep 0.05; done", go.display()),
    ))?;
    let still_runs = system.api().submit(&twice("still runs", "exec sleep 600"))?;
    for job in [&ends_meanwhile, &still_runs] {
        eventually("the first attempt runs", || {
            Ok((!of_attempt(job, 1)?.is_empty()).then_some(()))
        })?;
    }
    system.start_agent("b", &["--slots", "2"])?;
    system.until_agents(2)?;

    system.agent("a")?.signal(Signal::STOP)?;
    std::fs::write(&go, "")?;
    let elsewhere: Vec<JobView> = [&ends_meanwhile, &still_runs]
        .into_iter()
        .map(|job| system.api().ended(job))
        .collect::<Result<_>>()?;
    for view in &elsewhere {
        assert_eq!((view.state, view.attempt), (StateName::Succeeded, 2));
        assert_eq!(view.attempts[0].cause, Some(Cause::LeaseLost));
        assert_eq!(view.attempts[1].agent.as_str(), "b");
        assert_eq!(system.api().log(&view.id, 2)?, "2\n");
    }

    system.agent("a")?.signal(Signal::CONT)?;
    eventually("the lost run is killed", || {
        Ok(of_attempt(&still_runs, 1)?.is_empty().then_some(()))
    })?;
    eventually("its late words are refused", || {
        let refusals: Vec<Value> = system.api().get("/v1/leases/refusals")?;
        let about = |job| refusals.iter().any(|refusal| refusal["job"] == job);
        Ok((about(ends_meanwhile.to_string()) && about(still_runs.to_string())).then_some(()))
    })?;
    for view in elsewhere {
        assert_eq!(
            system.api().job(&view.id)?,
            view,
            "the late words changed nothing"
        );
    }
    // It is of use again.
    system.kill_agent("b")?;
    let job = system.api().submit(&script("afterwards", "true"))?;
    assert_eq!(
        system.api().ended(&job)?.agent.map(|agent| agent.to_string()),
        Some("a".to_owned())
    );
    system.finish()?.all_ended_once()
}
