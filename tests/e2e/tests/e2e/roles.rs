//! The roles as processes of their own, several agents at once.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use domain::JobSpec;
use domain::job::StateName;
use hiveforge_tests_e2e::{Kind, LIMIT, Ran, System, batch_of, command, eventually, script};

const JOBS: usize = 300;
/// For a batch on a loaded machine.
const BATCH_LIMIT: Duration = Duration::from_secs(90);

#[test]
fn three_agents_share_a_batch_and_run_every_job_once() -> Result<()> {
    let mut system = System::start(Kind::Coordinator, &[])?;
    for name in ["a", "b", "c"] {
        system.start_agent(name, &["--slots", "2"])?;
    }
    system.until_agents(3)?;
    let ran = Ran::new(system.directory())?;
    let jobs = system
        .api()
        .submit_batch(&batch_of(JOBS, &format!("{}; echo $N", ran.script())))?;
    let ended = system.api().all_ended(&jobs, BATCH_LIMIT)?;
    for (number, job) in (1..).zip(&jobs) {
        let view = &ended[job];
        // An attempt that was given back unstarted has a number, but is not charged.
        assert_eq!((view.state, view.charged), (StateName::Succeeded, 1), "{view:?}");
        assert_eq!(system.api().log(job, view.attempt)?, format!("{number}\n"));
    }
    ran.each_once(&jobs)?;
    let busy: BTreeSet<_> = ended.values().filter_map(|view| view.agent.clone()).collect();
    assert_eq!(busy.len(), 3, "all of them work: {busy:?}");
    let books = system.finish()?;
    assert_eq!(books.jobs(), JOBS);
    books.all_ended_once()
}

#[test]
fn an_agent_with_once_takes_one_job_and_goes() -> Result<()> {
    let mut system = System::start(Kind::Coordinator, &[])?;
    let jobs = system.api().submit_batch(&batch_of(3, "echo $N > n.txt"))?;
    system.start_agent("once", &["--once"])?;
    let status = system.agent("once")?.wait(LIMIT)?;
    assert!(status.success(), "{}", system.agent("once")?.log()?);
    let states: Vec<_> = jobs
        .iter()
        .map(|job| Ok(system.api().job(job)?.state))
        .collect::<Result<_>>()?;
    assert_eq!(
        states,
        [StateName::Succeeded, StateName::Queued, StateName::Queued]
    );
    for job in &jobs[1..] {
        system.api().cancel(job, "the test is over")?;
    }
    system.finish()?.all_ended_once()
}

#[test]
fn two_agents_under_one_name_both_work() -> Result<()> {
    let mut system = System::start(Kind::Coordinator, &[])?;
    system.start_agent("a", &["--name", "twin", "--slots", "1"])?;
    system.start_agent("b", &["--name", "twin", "--slots", "1"])?;
    system.until_agents(2)?;
    // Each waits until the other one has begun, so one agent alone could run neither.
    let meeting = system.directory().join("meeting");
    std::fs::create_dir(&meeting)?;
    let text = format!(
        "touch {0}/$HIVEFORGE_JOB_ID; while [ $(ls {0} | wc -l) -lt 2 ]; do sleep 0.05; done",
        meeting.display()
    );
    let jobs = system
        .api()
        .submit_batch(&[script("one", &text), script("other", &text)])?;
    let ended = system.api().all_ended(&jobs, LIMIT)?;
    assert!(
        ended.values().all(|view| view.state == StateName::Succeeded),
        "{ended:?}"
    );
    let ids: BTreeSet<_> = ended
        .values()
        .map(|view| {
            let attempt = &system.api().job(&view.id)?.attempts[0];
            assert_eq!(attempt.agent.as_str(), "twin");
            Ok(attempt.agent_id.clone())
        })
        .collect::<Result<_>>()?;
    assert_eq!(ids.len(), 2, "the processes are told apart");
    system.finish()?.all_ended_once()
}

#[test]
fn at_most_as_many_jobs_of_a_group_run_at_once_as_it_has_room_for() -> Result<()> {
    let mut system = System::start(Kind::Coordinator, &[])?;
    for name in ["a", "b"] {
        system.start_agent(name, &["--slots", "4"])?;
    }
    system.until_agents(2)?;
    let lock = system.directory().join("lock");
    // A directory can be made once, so two at the same time would fail.
    let text = format!("mkdir {0}; sleep 0.02; rmdir {0}", lock.display());
    let group = domain::job::Group {
        name: "one-by-one".parse()?,
        limit: 1,
    };
    let specs: Vec<JobSpec> = batch_of(20, &text)
        .into_iter()
        .map(|spec| JobSpec {
            group: Some(group.clone()),
            ..spec
        })
        .collect();
    let jobs = system.api().submit_batch(&specs)?;
    let ended = system.api().all_ended(&jobs, BATCH_LIMIT)?;
    let wrong: Vec<_> = ended
        .values()
        .filter(|view| view.state != StateName::Succeeded)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    system.finish()?.all_ended_once()
}

#[test]
fn a_job_with_a_time_is_not_started_before_it() -> Result<()> {
    let system = System::start(Kind::Up, &[])?;
    let now = domain::Timestamp(u64::try_from(
        SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis(),
    )?);
    let not_before = now.plus(Duration::from_millis(1_500));
    let job = system.api().submit(&JobSpec {
        not_before: Some(not_before),
        ..command(&["true"])
    })?;
    let why = system.api().why(&job)?;
    assert!(why.verdict.contains("waits until"), "{why:?}");
    let view = system.api().ended(&job)?;
    assert_eq!(view.state, StateName::Succeeded);
    assert!(view.started_at >= Some(not_before), "{view:?}");
    system.finish()?.all_ended_once()
}

#[test]
fn a_second_process_on_the_same_files_is_refused() -> Result<()> {
    let mut system = System::start(Kind::Coordinator, &[])?;
    system.start_agent("a", &[])?;
    system.until_agents(1)?;
    let nexus = format!("sqlite:{}", system.data().join("nexus.db").display());
    let refused = system
        .cli
        .run(["coordinator", "--nexus", &nexus, "--listen", "127.0.0.1:0"])?;
    assert_eq!(refused.code, Some(69), "{}", refused.stderr());
    assert!(
        refused.stderr().contains("another process"),
        "{}",
        refused.stderr()
    );
    let (url, token) = (system.url(), system.data().join("join.token"));
    let data = system.agent_data("a");
    let refused = system.cli.run([
        "agent".as_ref(),
        "--coordinator".as_ref(),
        url.as_ref(),
        "--join-token-file".as_ref(),
        token.as_os_str(),
        "--data".as_ref(),
        data.as_os_str(),
    ])?;
    assert_eq!(refused.code, Some(69), "{}", refused.stderr());
    assert!(
        refused.stderr().contains("another agent uses"),
        "{}",
        refused.stderr()
    );
    let job = system.api().submit(&command(&["true"]))?;
    assert_eq!(system.api().ended(&job)?.state, StateName::Succeeded);
    eventually("the agent is idle", || {
        Ok(system
            .api()
            .agents()?
            .iter()
            .all(|agent| agent.running.is_empty())
            .then_some(()))
    })?;
    system.finish()?.all_ended_once()
}
