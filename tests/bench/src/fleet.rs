//! A fleet of simulated agents: each speaks the protocol over a connection of its own, and runs nothing.
//!
//! An idle one is a parked claim, and a parked session if it is to have one; a busy one reports what it holds and claims
//! again in the same request. They share
//! one thread of this process, so thousands fit; what they cost is not what is measured. `agent` is the life of one,
//! `load` what is submitted to them, `tally` what came of it, `wire` the connection.

mod agent;
mod load;
mod tally;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

pub(crate) use self::agent::finish;
pub(crate) use self::load::{Load, Pace};
pub(crate) use self::tally::Tally;

use self::agent::Agent;

/// Agents that connect and enrol at the same time.
const STARTING_AT_ONCE: usize = 64;
/// How long one step may be at a stand before the benchmark gives up: an enrolment, a finish of anybody.
const STALL_MAX: Duration = Duration::from_secs(60);
/// Time between two looks at the tally.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Where the coordinators are, and what opens them.
#[derive(Clone)]
pub(crate) struct Doors {
    /// `host:port` of each.
    pub(crate) addresses: Vec<String>,
    /// The token of submitters.
    pub(crate) admin: String,
    /// The token of agents.
    pub(crate) join: String,
}

/// What the agents are like.
#[derive(Clone, Copy)]
pub(crate) struct Crew {
    pub(crate) agents: usize,
    /// Open slots of each, and so the most jobs of one request.
    pub(crate) slots: usize,
    /// How long each holds its leases before it reports them.
    pub(crate) hold: Duration,
    /// Whether each keeps a second request parked, as the shipped agent does to be seen and to hear news of its leases.
    pub(crate) has_sessions: bool,
}

impl Crew {
    /// Connections of all of them.
    pub(crate) const fn connections(self) -> usize {
        self.agents * if self.has_sessions { 2 } else { 1 }
    }
}

/// Agents at work. Dropping it ends them all.
pub(crate) struct Fleet {
    agents: JoinSet<anyhow::Result<()>>,
    doors: Doors,
    tally: Arc<Tally>,
}

impl Fleet {
    /// Starts agents, spread over all coordinators, and waits until each has enrolled and its first claim is under way.
    pub(crate) async fn start(doors: &Doors, crew: Crew, jobs: usize) -> anyhow::Result<Self> {
        let tally = Arc::new(Tally::new(jobs));
        let gate = Arc::new(Semaphore::new(STARTING_AT_ONCE));
        let mut agents = JoinSet::new();
        for (number, address) in (0..crew.agents).zip(doors.addresses.iter().cycle()) {
            let agent = Agent::new(number, crew, Arc::clone(&tally))?;
            let (gate, address, token) = (Arc::clone(&gate), address.clone(), doors.join.clone());
            agents.spawn(async move {
                let enrolled = agent.live(&address, &token, gate).await;
                enrolled.with_context(|| format!("agent {number} at {address}"))
            });
        }
        let mut fleet = Self {
            agents,
            doors: doors.clone(),
            tally,
        };
        fleet
            .until("agents have parked", crew.agents, Tally::parked)
            .await?;
        Ok(fleet)
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Submits jobs and waits until every one of them has been claimed and finished. Returns how long that took.
    pub(crate) async fn work_off(&mut self, load: Load) -> anyhow::Result<Duration> {
        let (began_at, expected) = (Instant::now(), load.jobs);
        let tally = Arc::clone(&self.tally);
        let room = Arc::clone(tally.begin());
        let mut submitters = load::start(&self.doors, load, &tally, &room);
        while let Some(ended) = self.next_end(&mut submitters).await? {
            ended?;
        }
        self.until("jobs have ended", expected, Tally::finished).await?;
        Ok(began_at.elapsed())
    }

    /// The end of a submitter; that of an agent is an error, and so is a long silence.
    async fn next_end(
        &mut self,
        submitters: &mut JoinSet<anyhow::Result<()>>,
    ) -> anyhow::Result<Option<anyhow::Result<()>>> {
        loop {
            let before = self.tally.finished();
            tokio::select! {
                Some(ended) = self.agents.join_next() => bail!(end_of_agent(ended)),
                ended = timeout(STALL_MAX, submitters.join_next()) => match ended {
                    Ok(ended) => return Ok(ended.transpose()?),
                    Err(_) => ensure!(self.tally.finished() > before, "no job has ended for {STALL_MAX:?}"),
                },
            }
        }
    }

    /// Waits until a count is reached. Whoever fails meanwhile is heard.
    async fn until(
        &mut self,
        what: &str,
        wanted: usize,
        count: impl Fn(&Tally) -> usize,
    ) -> anyhow::Result<()> {
        let (mut last, mut moved_at) = (0, Instant::now());
        loop {
            let reached = count(&self.tally);
            if reached >= wanted {
                return Ok(());
            }
            if reached != last {
                (last, moved_at) = (reached, Instant::now());
            }
            ensure!(
                moved_at.elapsed() < STALL_MAX,
                "{reached} of {wanted} {what}, and no more do"
            );
            tokio::select! {
                Some(ended) = self.agents.join_next() => bail!(end_of_agent(ended)),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }
}

/// Agents live until the fleet is dropped.
fn end_of_agent(ended: Result<anyhow::Result<()>, tokio::task::JoinError>) -> anyhow::Error {
    match ended {
        Ok(Ok(())) => anyhow::anyhow!("an agent ended by itself"),
        Ok(Err(error)) => error,
        Err(error) => error.into(),
    }
}
