//! Every role is told to end while it has all hands full: it does so within the limits that `supervisors/README.md`
//! states, and what goes on afterwards has lost nothing and repeats nothing.

use std::fs;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use domain::job::StateName;
use domain::{Cause, JobId};
use hiveforge_tests_e2e::{Kind, Ran, Role, System, batch_of, eventually, of_attempt, script, within};
use protocol::jobs::JobView;
use rustix::process::Signal;

use crate::shutdown_load::{Load, chatty, for_agents, go, upload_content};

/// What an agent runs at once.
const SLOTS: usize = 3;
/// Jobs that are submitted before; submits go on all the time.
const JOBS: usize = 100;
/// Jobs of them that have ended when the process is told to.
const ENDED_BEFORE: usize = 15;
/// For all jobs on a loaded machine.
const BATCH_LIMIT: Duration = Duration::from_secs(90);
/// For so long a coordinator lets requests go on, which nobody but the slow upload may use.
const CLOSE_MAX: Duration = Duration::from_secs(5);
/// What only waits is answered at once.
const AT_ONCE: Duration = Duration::from_secs(2);
/// No short run takes longer.
const RUN_MAX: Duration = Duration::from_secs(2);

/// What a coordinator says that lets requests end.
const LETS_REQUESTS_END: &str = "stopping once the requests under way have ended";
/// What an agent says that lets runs end.
const LETS_RUNS_END: &str = "stopping once running jobs have ended";

#[test]
fn a_coordinator_under_load_answers_who_waits_and_cuts_off_only_who_is_slow() -> Result<()> {
    let mut busy = Busy::start(Kind::Coordinator)?;
    let runs = of_attempt(&busy.chatty, 1)?;
    let shell = runs.iter().find(|found| found.command.starts_with("/bin/sh"));
    let shell = shell.context("the chatty job runs")?;
    let told_at = Instant::now();
    busy.process(Who::Coordinator)?.signal(Signal::TERM)?;
    let took = busy.ends(Who::Coordinator, told_at, limit("coordinator", ONCE)?)?;
    let log = busy.process(Who::Coordinator)?.log()?;
    ensure!(log.contains("requests were cut off cut_off=1"), "{took:?}: {log}");
    busy.restarts()?;
    let answered_after = busy.claim_answered_at.context("the load has ended")? - told_at;
    assert!(answered_after < AT_ONCE, "{answered_after:?}");
    let still = of_attempt(&busy.chatty, 1)?;
    assert!(
        still.iter().any(|found| found.pid == shell.pid),
        "the run was disturbed: {still:?}"
    );
    go(&busy.system)?;
    busy.everything_ends(None)
}

#[test]
fn a_coordinator_that_is_told_twice_waits_for_nobody() -> Result<()> {
    let mut busy = Busy::start(Kind::Coordinator)?;
    let told_at = Instant::now();
    let twice_at = busy.tell_twice(Who::Coordinator, LETS_REQUESTS_END)?;
    busy.ends(Who::Coordinator, twice_at, limit("coordinator", TWICE)?)?;
    let took = told_at.elapsed();
    assert!(took < CLOSE_MAX, "it waited for the slow upload: {took:?}");
    busy.restarts()?;
    go(&busy.system)?;
    busy.everything_ends(None)
}

#[test]
fn an_agent_under_load_ends_what_it_runs_and_gives_back_the_rest() -> Result<()> {
    let mut busy = Busy::start(Kind::Coordinator)?;
    busy.process(Who::Agent)?.signal(Signal::TERM)?;
    busy.until_logged(Who::Agent, LETS_RUNS_END)?;
    go(&busy.system)?;
    let went_at = Instant::now();
    busy.ends(Who::Agent, went_at, RUN_MAX + limit("agent", ONCE)?)?;
    busy.nothing_runs()?;
    assert_eq!(busy.system.api().job(&busy.chatty)?.state, StateName::Succeeded);
    busy.system.start_agent("b", &[])?;
    busy.process(Who::Coordinator)?.signal(Signal::TERM)?;
    busy.restarts()?;
    busy.everything_ends(None)
}

#[test]
fn an_agent_that_is_told_twice_kills_what_it_runs_and_says_so() -> Result<()> {
    let mut busy = Busy::start(Kind::Coordinator)?;
    let twice_at = busy.tell_twice(Who::Agent, LETS_RUNS_END)?;
    busy.ends(Who::Agent, twice_at, limit("agent", TWICE)?)?;
    busy.nothing_runs()?;
    busy.system.start_agent("b", &[])?;
    busy.process(Who::Coordinator)?.signal(Signal::TERM)?;
    busy.restarts()?;
    busy.everything_ends(Some(&Cause::Preempted))
}

#[test]
fn up_under_load_ends_what_it_runs_and_the_next_one_does_the_rest() -> Result<()> {
    let mut busy = Busy::start(Kind::Up)?;
    busy.process(Who::Coordinator)?.signal(Signal::TERM)?;
    busy.until_logged(Who::Coordinator, LETS_RUNS_END)?;
    go(&busy.system)?;
    let went_at = Instant::now();
    busy.ends(Who::Coordinator, went_at, RUN_MAX + limit("up", ONCE)?)?;
    assert_eq!(within(busy.system.directory())?, []);
    assert_eq!(busy.system.work_dirs("local")?, [""; 0]);
    busy.restarts()?;
    assert_eq!(busy.system.api().job(&busy.chatty)?.state, StateName::Succeeded);
    busy.everything_ends(None)
}

#[test]
fn up_that_is_told_twice_kills_what_it_runs_and_says_so() -> Result<()> {
    let mut busy = Busy::start(Kind::Up)?;
    let twice_at = busy.tell_twice(Who::Coordinator, LETS_RUNS_END)?;
    busy.ends(Who::Coordinator, twice_at, limit("up", TWICE)?)?;
    assert_eq!(within(busy.system.directory())?, []);
    assert_eq!(busy.system.work_dirs("local")?, [""; 0]);
    busy.restarts()?;
    busy.everything_ends(Some(&Cause::Preempted))
}

#[test]
fn up_that_is_killed_under_load_loses_its_runs_and_nothing_else() -> Result<()> {
    let mut busy = Busy::start(Kind::Up)?;
    busy.system.kill_coordinator()?;
    busy.restarts()?;
    busy.everything_ends(Some(&Cause::AgentDied))
}

/// A system with all hands full.
struct Busy {
    system: System,
    ran: Ran,
    /// It runs until it is told to go.
    chatty: JobId,
    /// All that must end. Each says once that it ran.
    jobs: Vec<JobId>,
    load: Option<Load>,
    claim_answered_at: Option<Instant>,
}

/// Which process.
#[derive(Debug, Clone, Copy)]
enum Who {
    /// The one with the coordinator in it.
    Coordinator,
    /// The agent that is alone.
    Agent,
}

impl Busy {
    fn start(kind: Kind) -> Result<Self> {
        let slots = SLOTS.to_string();
        let system = match kind {
            Kind::Up => System::start(kind, &["--slots", &slots])?,
            Kind::Coordinator => {
                let mut system = System::start(kind, &[])?;
                system.start_agent("a", &["--slots", &slots])?;
                system.until_agents(1)?;
                system
            }
        };
        let ran = Ran::new(system.directory())?;
        let chatty = system.api().submit(&chatty(&system)?)?;
        eventually("the chatty job runs", || {
            Ok((!of_attempt(&chatty, 1)?.is_empty()).then_some(()))
        })?;
        let text = format!("{}; sleep 0.02", ran.script());
        let batch = batch_of(JOBS, &text);
        let batch: Vec<_> = batch.into_iter().map(for_agents).collect::<Result<_>>()?;
        let jobs = system.api().submit_batch(&batch)?;
        let load = Load::start(&system, &for_agents(script("on and on", &text))?, &chatty)?;
        eventually("some jobs have ended", || {
            let all = system.api().all()?;
            let ended = all.values().filter(|view| view.state.is_terminal());
            Ok((ended.count() >= ENDED_BEFORE).then_some(()))
        })?;
        Ok(Self {
            system,
            ran,
            chatty,
            jobs,
            load: Some(load),
            claim_answered_at: None,
        })
    }

    fn process(&mut self, who: Who) -> Result<&mut Role> {
        match who {
            Who::Coordinator => self.system.coordinator(),
            Who::Agent => self.system.agent("a"),
        }
    }

    fn until_logged(&mut self, who: Who, words: &str) -> Result<()> {
        eventually(words, || {
            Ok(self.process(who)?.log()?.contains(words).then_some(()))
        })
    }

    /// Tells a process twice, and returns when that was.
    fn tell_twice(&mut self, who: Who, words: &str) -> Result<Instant> {
        self.process(who)?.signal(Signal::TERM)?;
        self.until_logged(who, words)?;
        let twice_at = Instant::now();
        self.process(who)?.signal(Signal::TERM)?;
        Ok(twice_at)
    }

    /// Waits until a process has ended well, which must be within `limit` from `since`. Returns how long it took.
    fn ends(&mut self, who: Who, since: Instant, limit: Duration) -> Result<Duration> {
        let process = self.process(who)?;
        let status = process.wait(limit)?;
        let took = since.elapsed();
        ensure!(status.success(), "{status}: {}", process.log()?);
        println!("measured: {who:?} ended after {took:?}");
        ensure!(
            took <= limit,
            "{who:?} took {took:?}, at most {limit:?} are stated"
        );
        Ok(took)
    }

    /// No run is left, and no lease.
    fn nothing_runs(&self) -> Result<()> {
        assert_eq!(within(self.system.directory())?, []);
        assert_eq!(self.system.work_dirs("a")?, [""; 0]);
        let all = self.system.api().all()?;
        let leased: Vec<_> = all
            .values()
            .filter(|view| view.state == StateName::Running)
            .collect();
        ensure!(leased.is_empty(), "the agent has gone with {leased:?}");
        Ok(())
    }

    /// The process with the coordinator in it ends, is started again, and the load comes to its end.
    fn restarts(&mut self) -> Result<()> {
        if let Ok(role) = self.system.coordinator() {
            role.wait(BATCH_LIMIT)?;
        }
        self.system.restart_coordinator()?;
        let told = self.load.take().context("there is one load")?.end()?;
        self.jobs.extend(told.acknowledged);
        self.claim_answered_at = told.claim_answered_at;
        Ok(())
    }

    /// How often a job said that it runs.
    fn said(&self, job: &JobId) -> Result<usize> {
        let file = self.system.directory().join("ran").join(job.to_string());
        match fs::read_to_string(file) {
            Ok(lines) => Ok(lines.lines().count()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// All jobs end, and end well but for those that ran when the process was killed: they ended by `casualty`.
    fn everything_ends(self, casualty: Option<&Cause>) -> Result<()> {
        let api = self.system.api();
        api.all_ended(&self.jobs, BATCH_LIMIT)?;
        // Jobs whose acknowledgement was lost may exist. They must end as well.
        let all = api.all()?.into_keys().collect::<Vec<_>>();
        let ended = api.all_ended(&all, BATCH_LIMIT)?;
        let (well, not_well): (Vec<&JobView>, Vec<&JobView>) = ended
            .values()
            .partition(|view| view.state == StateName::Succeeded);
        for view in &not_well {
            ensure!(view.cause.as_ref() == casualty, "{view:?}");
        }
        // A killed agent also loses runs that were over but not reported, so only those are counted that were not over.
        let mut silent = 0;
        for view in &not_well {
            let said = self.said(&view.id)?;
            ensure!(said <= 1, "it ran twice: {view:?}");
            silent += usize::from(said == 0);
        }
        ensure!(silent <= SLOTS, "{not_well:?}");
        ensure!(ended.values().all(|view| view.charged == 1), "{ended:?}");
        let said: Vec<JobId> = well.iter().map(|view| view.id.clone()).collect();
        let said: Vec<JobId> = said.into_iter().filter(|id| *id != self.chatty).collect();
        self.ran.each_once(&said)?;

        let content = upload_content();
        let digest = api.store(&content)?;
        ensure!(
            api.bytes(&format!("/v1/blobs/{digest}"))? == content,
            "the upload is damaged"
        );
        self.system.finish()?.all_ended_once()
    }
}

/// The columns of the limits.
const ONCE: usize = 2;
const TWICE: usize = 3;

/// The limit that `supervisors/README.md` states, which is made from the constants that set it.
fn limit(role: &str, column: usize) -> Result<Duration> {
    let page = include_str!("../../../../supervisors/README.md");
    let row = page
        .lines()
        .find(|line| line.starts_with(&format!("| `{role}` |")));
    let cell = row.and_then(|row| row.split('|').nth(column));
    let cell = cell.context("the page states no limit")?.trim();
    let seconds = cell.strip_suffix(" s").and_then(|cell| cell.rsplit(' ').next());
    Ok(Duration::from_secs(
        seconds.context("a limit in seconds")?.parse()?,
    ))
}
