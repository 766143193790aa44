//! A small hive for one focused story: a few processes, no chance, and the same checker.
//!
//! With a seeded bug the story shows that the checker finds it; without one, that the checker finds nothing.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use domain::JobId;
use domain::job::StateName;
use protocol::jobs::JobView;

use crate::checker::{Violation, check};
use crate::clients::Client;
use crate::hive::{Agent, Hive};
use crate::plan::{AgentPlan, Plan};
use crate::wait::{End, until};
use crate::witness::Witness;

/// What a scene consists of.
#[derive(Clone, Copy, Debug)]
pub struct Cast {
    /// How many coordinators.
    pub coordinators: usize,
    /// How many agents, with one slot each.
    pub agents: usize,
    /// How long leases live.
    pub lease_ttl: Duration,
    /// Fail points of the coordinators.
    pub coordinators_break: &'static str,
    /// Fail points of the agents.
    pub agents_break: &'static str,
    /// Whether Redis has a replica.
    pub replica: bool,
}

impl Default for Cast {
    /// Two coordinators and two agents whose leases are short.
    fn default() -> Self {
        Self {
            coordinators: 2,
            agents: 2,
            lease_ttl: Duration::from_secs(4),
            coordinators_break: "",
            agents_break: "",
            replica: false,
        }
    }
}

/// What a story has at hand.
pub struct Scene<'a> {
    /// Who notes what happens.
    pub witness: Witness<'a>,
    /// A client of all coordinators.
    pub client: Client,
}

/// Plays a story in a hive of its own, and judges it.
///
/// # Errors
/// The hive cannot be run, or the story fails.
pub fn play(cast: Cast, story: impl FnOnce(&Scene<'_>) -> Result<()>) -> Result<Vec<Violation>> {
    let agent = |nth| AgentPlan {
        name: format!("agent-{nth}"),
        zone: "anywhere".to_owned(),
        slots: 1,
        is_far: true,
    };
    let mut hive = Hive::start(Plan {
        coordinators: cast.coordinators,
        agents: (0..cast.agents).map(agent).collect(),
        lease_ttl: cast.lease_ttl,
        mesh: false,
        replica: cast.replica,
        coordinators_break: cast.coordinators_break.to_owned(),
        agents_break: cast.agents_break.to_owned(),
    })?;
    let played = watched(&hive, story);
    if played.is_err() {
        hive.keep_files();
        eprintln!(
            "the logs and files of this scene stay in {}",
            hive.directory().display()
        );
    }
    played
}

fn watched(hive: &Hive, story: impl FnOnce(&Scene<'_>) -> Result<()>) -> Result<Vec<Violation>> {
    let (scene, end) = (
        Scene {
            witness: Witness::of(hive),
            client: hive.client_of_all()?,
        },
        End::default(),
    );
    thread::scope(|scope| {
        scope.spawn(|| scene.witness.stalls.watch(&end));
        let told = story(&scene);
        end.come();
        told
    })?;
    Ok(check(&scene.witness.collect()?))
}

impl Scene<'_> {
    /// The hive.
    pub fn hive(&self) -> &Hive {
        self.witness.hive
    }

    /// Waits until a job is as the caller wants it.
    ///
    /// # Errors
    /// It does not become so.
    pub fn until(&self, job: &JobId, what: &str, is_so: impl Fn(&JobView) -> bool) -> Result<JobView> {
        until(what, || Ok(self.client.job(job).ok().filter(|job| is_so(job))))
    }

    /// Waits until this attempt of a job runs, and returns who runs it.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn runs(&self, job: &JobId, attempt: u32) -> Result<&Agent> {
        let runs = |view: &JobView| view.state == StateName::Running && view.attempt == attempt;
        let view = self.until(job, &format!("attempt {attempt} runs"), runs)?;
        let mark = format!(" {attempt} ");
        self.marked(job, &mark)?;
        let agent = view.agent.context("somebody runs it")?;
        self.hive().agent(agent.as_str())
    }

    /// Waits until a job has left a mark with this text in it.
    ///
    /// # Errors
    /// It does not.
    pub fn marked(&self, job: &JobId, text: &str) -> Result<()> {
        let file = self.hive().marks().join(job.to_string());
        until(&format!("{job} leaves a mark `{text}`"), || {
            let marks = std::fs::read_to_string(&file).unwrap_or_default();
            Ok(marks.contains(text).then_some(()))
        })
    }
}
