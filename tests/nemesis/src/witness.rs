//! Who sees what happens: notes while a campaign goes on, and everything that can be collected when it is over.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use domain::JobId;
use domain::job::StateName;
use protocol::jobs::JobView;

use crate::clients::Client;
use crate::history::{Call, History, Hit, Moment, Sight, Terms, Ulid};
use crate::hive::Hive;
use crate::load::Notes;
use crate::plan::Plan;
use crate::stage::{Part, Stage};
use crate::stall::Stalls;
use crate::wait::until;
use crate::{books, run_log};

/// A job that idle agents leave alone for longer was not woken for: a lost hint costs a second.
const CLAIMED_WITHIN: Duration = Duration::from_secs(5);
/// Marks are this far apart at most while a command runs, and the fence is this early at least.
const OVERLAP_MAX: Duration = Duration::from_secs(1);

/// What can be judged while the campaign goes on, and what is left to be collected.
pub struct Witness<'a> {
    /// The system.
    pub hive: &'a Hive,
    /// The jobs.
    pub stage: Stage,
    /// What clients noted.
    pub notes: Notes,
    /// What was done.
    pub hits: Mutex<Vec<Hit>>,
    /// Whether the machine ran us.
    pub stalls: Stalls,
    /// The jobs at the end.
    pub probes: Mutex<Vec<Ulid>>,
}

impl<'a> Witness<'a> {
    /// A witness who has seen nothing yet.
    pub fn of(hive: &'a Hive) -> Self {
        let mut zones: Vec<String> = hive.plan.agents.iter().map(|agent| agent.zone.clone()).collect();
        zones.sort();
        zones.dedup();
        Self {
            hive,
            stage: Stage {
                marks: hive.marks(),
                zones,
            },
            notes: Notes::default(),
            hits: Mutex::default(),
            stalls: Stalls::default(),
            probes: Mutex::default(),
        }
    }

    /// Notes what was done.
    pub fn note(&self, hit: Hit) {
        self.hits.lock().unwrap_or_else(PoisonError::into_inner).push(hit);
    }

    /// Looks how idle agents are woken: so many jobs, one after the other.
    ///
    /// # Errors
    /// Nobody answers.
    pub fn probe(&self, probes: usize) -> Result<()> {
        for nth in 0..probes {
            let coordinator = nth % self.hive.coordinators.len().max(1);
            let client = self.hive.client(coordinator)?;
            let job = self.submit(&client, &format!("probe-{nth}"), &Part::default())?;
            self.probes
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(job.ulid().to_owned());
            // One at a time: each finds idle agents.
            let waited = until("the probe ends", || {
                Ok(client.job(&job).ok().filter(|job| job.state.is_terminal()))
            });
            if let Err(late) = waited {
                eprintln!("{late:#}");
            }
        }
        Ok(())
    }

    /// Submits a job until it is acknowledged.
    ///
    /// # Errors
    /// It is refused, or nobody answers.
    pub fn submit(&self, client: &Client, key: &str, part: &Part) -> Result<JobId> {
        let spec = self.stage.spec(key, part)?;
        until("a submit is acknowledged", || {
            let (call, id) = client.submit(key, &spec, false);
            self.notes.call(call);
            if let Some(id) = &id {
                self.notes.job(id.clone());
            }
            Ok(id)
        })
    }

    /// Waits until all jobs have ended, for at most so long. That they do is for the checker to say, so it is no error
    /// when they do not.
    ///
    /// # Errors
    /// There is no client.
    pub fn drain(&self, limit: Duration) -> Result<()> {
        let client = self.hive.client_of_all()?;
        let drained = e2e::within_limit("all jobs end", limit, || {
            let jobs = client.jobs().unwrap_or_default();
            let ended = !jobs.is_empty() && jobs.values().all(|job| job.state.is_terminal());
            Ok(ended.then_some(()))
        });
        if let Err(late) = drained {
            eprintln!("{late:#}");
        }
        Ok(())
    }

    /// Asks the API for what it knows, stops everything, and reads what is left.
    ///
    /// # Errors
    /// Something cannot be read.
    pub fn collect(self) -> Result<History> {
        let told = self.ask()?;
        let stopped = self.hive.stop();
        let collected_at = Moment::now();
        let left_over = e2e::within(self.hive.directory())?;
        let mut books = books::read(self.hive.nexus())?;
        // Who does not end well is a finding like others: the rest is to be judged, too.
        books
            .findings
            .extend(stopped.err().map(|error| format!("{error:#}")));
        for (ulid, told) in told {
            if let Some(job) = books.jobs.get_mut(&ulid) {
                (job.events, job.logs) = (told.events, told.logs);
            }
        }
        let mut turns = Vec::new();
        for agent in &self.hive.agents {
            for log in agent.logs()? {
                turns.extend(run_log::read(&agent.plan.name, &log));
            }
        }
        let (calls, sights): (Vec<Call>, Vec<Sight>) = self.notes.into_parts();
        let agents = self.hive.plan.agents.iter();
        Ok(History {
            terms: terms(&self.hive.plan),
            nexus_zero_ms: nexus_zero_ms()?,
            collected_at,
            calls,
            sights,
            zones: agents
                .map(|agent| (agent.name.clone(), agent.zone.clone()))
                .collect(),
            turns,
            marks: self.stage.read()?,
            hits: self.hits.into_inner().unwrap_or_else(PoisonError::into_inner),
            stalls: self.stalls.so_far(),
            facts: books.facts,
            jobs: books.jobs,
            probes: self.probes.into_inner().unwrap_or_else(PoisonError::into_inner),
            findings: books.findings,
            left_over: left_over
                .into_iter()
                .map(|found| format!("process {}: {}", found.pid, found.command))
                .collect(),
        })
    }

    fn ask(&self) -> Result<BTreeMap<Ulid, Told>> {
        let client = self.hive.client_of_all()?;
        let jobs = until("the jobs are listed", || Ok(client.jobs().ok()))?;
        let told = jobs
            .into_iter()
            .map(|(ulid, job)| Ok((ulid, tell(&client, &job)?)));
        told.collect()
    }
}

/// What the API tells of a job.
struct Told {
    events: Vec<String>,
    logs: BTreeMap<u32, String>,
}

fn tell(client: &Client, job: &JobView) -> Result<Told> {
    let events = until("the events of a job are told", || Ok(client.facts(&job.id).ok()))?;
    let reported = match (job.state, &job.cause) {
        (StateName::Succeeded, _) => true,
        (StateName::Failed, Some(cause)) => !cause.is_infrastructure(),
        _ => false,
    };
    let mut logs = BTreeMap::new();
    if reported {
        let log = until("the log of a job is told", || {
            Ok(client.log(&job.id, job.attempt).ok())
        })?;
        logs.insert(job.attempt, log);
    }
    Ok(Told { events, logs })
}

fn terms(plan: &Plan) -> Terms {
    Terms {
        lease_ttl: plan.lease_ttl,
        claimed_within: CLAIMED_WITHIN,
        cancelled_within: plan.lease_ttl * 3,
        overlap_max: OVERLAP_MAX,
    }
}

/// The time of the nexus at the begin of this host's clock. Redis takes its time from this host, too.
fn nexus_zero_ms() -> Result<u64> {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let boot = Moment::now().since(Moment::default());
    Ok(u64::try_from(wall.saturating_sub(boot).as_millis())?)
}
