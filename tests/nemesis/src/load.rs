//! The people of a campaign: some submit, one cancels, one looks. Each is a thread with a client of its own.
//!
//! A submit whose outcome is unknown is repeated with its key until there is one; now and then a key is used again, with
//! the same job and with another. Nobody gives up before the end, and then only after a while.

use std::sync::{Mutex, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use domain::{JobId, JobSpec};

use crate::clients::Client;
use crate::dice::Dice;
use crate::history::{Call, Moment, Reply, Sight};
use crate::hive::Hive;
use crate::stage::{Part, Stage};
use crate::wait::End;

/// Those who submit.
const SUBMITTERS: u64 = 3;
/// The pause between two submits of one of them.
const SUBMIT_PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_millis(550));
/// The pause before a request is repeated.
const REPEAT_PAUSE: Duration = Duration::from_millis(100);
/// How long a submit is repeated. All is repaired by then.
const PATIENCE: Duration = Duration::from_secs(240);
/// The pause between two cancels.
const CANCEL_PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(2_500));
/// The pause between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(120);
/// Who cancels chooses among so many of the newest jobs.
const NEWEST: usize = 15;

/// What the people noted.
#[derive(Debug, Default)]
pub struct Notes {
    /// Mutexes: everybody adds to them, for as long as it takes to push.
    calls: Mutex<Vec<Call>>,
    sights: Mutex<Vec<Sight>>,
    jobs: Mutex<Vec<JobId>>,
}

impl Notes {
    /// Notes a call.
    pub fn call(&self, call: Call) {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(call);
    }

    /// Notes an acknowledged job.
    pub fn job(&self, job: JobId) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).push(job);
    }

    /// All acknowledged jobs so far, in their order.
    pub fn jobs(&self) -> Vec<JobId> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn sight(&self, sight: Sight) {
        self.sights
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(sight);
    }

    /// Everything that was noted.
    pub fn into_parts(self) -> (Vec<Call>, Vec<Sight>) {
        let calls = self.calls.into_inner().unwrap_or_else(PoisonError::into_inner);
        let sights = self.sights.into_inner().unwrap_or_else(PoisonError::into_inner);
        (calls, sights)
    }
}

/// What all people share.
#[derive(Clone, Copy)]
pub struct Crowd<'a> {
    /// The system.
    pub hive: &'a Hive,
    /// The jobs.
    pub stage: &'a Stage,
    /// What they note.
    pub notes: &'a Notes,
    /// When it is over.
    pub end: &'a End,
    /// The seed of the campaign.
    pub seed: u64,
}

impl<'a> Crowd<'a> {
    /// Lets everybody begin. A failure ends the campaign with an error: whoever fails has met what it must not meet.
    pub fn begin<'scope>(
        self,
        scope: &'scope Scope<'scope, '_>,
    ) -> Vec<std::thread::ScopedJoinHandle<'scope, Result<()>>>
    where
        'a: 'scope,
    {
        let mut people: Vec<_> = (0..SUBMITTERS)
            .map(|number| scope.spawn(move || self.submit_on(number)))
            .collect();
        people.push(scope.spawn(move || self.cancel_on()));
        people.push(scope.spawn(move || self.look_on()));
        people
    }

    fn submit_on(self, number: u64) -> Result<()> {
        let mut dice = Dice::new(self.seed, number);
        let client = self.hive.client_of_all()?;
        let mut count = 0_u64;
        while !self.end.pause(dice.between(SUBMIT_PAUSE.0, SUBMIT_PAUSE.1)) {
            count += 1;
            let key = format!("{:x}-{number}-{count}", self.seed);
            let part = self.stage.cast(&mut dice);
            let spec = self.stage.spec(&key, &part)?;
            self.submit(&client, &key, &spec)?;
            if dice.percent(6) {
                // The same again: a request that was delayed on its way may come twice.
                self.notes.call(client.submit(&key, &spec, false).0);
            }
            if dice.percent(3) {
                let other = Part { exits: 1, ..part };
                self.notes
                    .call(client.submit(&key, &self.stage.spec(&key, &other)?, true).0);
            }
        }
        Ok(())
    }

    /// Submits until there is an outcome.
    ///
    /// # Errors
    /// There is none for [`PATIENCE`].
    fn submit(self, client: &Client, key: &str, spec: &JobSpec) -> Result<()> {
        let began_at = Instant::now();
        loop {
            let (call, id) = client.submit(key, spec, false);
            let is_unknown = matches!(call.reply, Reply::Unknown(_));
            self.notes.call(call);
            if let Some(id) = id {
                self.notes.job(id);
            }
            if !is_unknown {
                return Ok(());
            }
            if began_at.elapsed() > PATIENCE {
                bail!("nobody has answered the submit of {key} for {PATIENCE:?}");
            }
            self.end.pause(REPEAT_PAUSE);
        }
    }

    fn cancel_on(self) -> Result<()> {
        let mut dice = Dice::new(self.seed, SUBMITTERS);
        let client = self.hive.client_of_all()?;
        while !self.end.pause(dice.between(CANCEL_PAUSE.0, CANCEL_PAUSE.1)) {
            let jobs = self.notes.jobs();
            let newest = jobs.get(jobs.len().saturating_sub(NEWEST)..).unwrap_or_default();
            if newest.is_empty() {
                continue;
            }
            let Some(job) = newest.get(dice.index(newest.len())) else {
                continue;
            };
            self.notes.call(client.cancel(job));
        }
        Ok(())
    }

    /// Looks at jobs through one coordinator after the other: none of them may tell what another contradicts.
    fn look_on(self) -> Result<()> {
        let mut dice = Dice::new(self.seed, SUBMITTERS + 1);
        let numbers = 0..self.hive.coordinators.len();
        let clients = numbers
            .map(|number| self.hive.client(number))
            .collect::<Result<Vec<_>>>()?;
        while !self.end.pause(LOOK_PAUSE) {
            let jobs = self.notes.jobs();
            let (Some(client), false) = (clients.get(dice.index(clients.len())), jobs.is_empty()) else {
                continue;
            };
            if let Some(job) = jobs.get(dice.index(jobs.len())) {
                self.look(client, job);
            }
        }
        Ok(())
    }

    /// Looks once. Who gets no answer has seen nothing.
    fn look(self, client: &Client, job: &JobId) {
        // The facts first: what is seen of them then is a part of what led to the state.
        let facts = client.facts(job).ok();
        if let Ok(view) = client.job(job) {
            self.notes.sight(Sight {
                job: job.ulid().to_owned(),
                at: Moment::now(),
                state: view.state,
                attempt: view.attempt,
                facts,
            });
        }
    }
}
