//! The hands of a supervisor: does one action after the other and reports back to the policy.
//!
//! The one idea: a child here is a spec, its past and the record of its present life. Whose end counts is decided by
//! `live`: an actor that was ended on purpose, abandoned, or belongs to an earlier life is not in it any more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use ractor::ActorRef;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, error, warn};

use super::{Command, Shape};
use crate::Exit;
use crate::child::{ChildCtx, NotStarted, TOO_LATE};
use crate::directory::{ActorState, Directory};
use crate::events::Happening;
use crate::life::{Birth, Life, Record};
use crate::mailbox::{Envelope, Load};
use crate::policy::{Action, ChildKey, ChildRules, Event, Policy};
use crate::spec::{ChildSpec, Shutdown};

/// The state of one life of a supervisor.
pub(crate) struct Shell {
    pub(super) policy: Policy,
    pub(super) shape: Shape,
    pub(super) record: Arc<Record>,
    directory: Directory,
    myself: ActorRef<Envelope<Command>>,
    pub(super) children: HashMap<ChildKey, Child>,
    /// Restarts that wait for their backoff; at most one for each life of a child.
    delays: JoinSet<()>,
    /// Those that are up, by `ractor`'s id: an exit of anybody else is not for us.
    live: HashMap<u64, (ChildKey, u64)>,
}

pub(super) struct Child {
    pub(super) spec: ChildSpec,
    record: Option<Arc<Record>>,
    pub(super) starts: u64,
    last_exit: Option<Exit>,
}

impl Shell {
    pub(super) fn new(shape: &Shape, life: &Life, myself: ActorRef<Envelope<Command>>) -> Self {
        let mut shell = Self {
            policy: Policy::new(shape.rules()),
            shape: shape.clone(),
            record: Arc::clone(&life.record),
            directory: life.directory.clone(),
            myself,
            children: HashMap::new(),
            delays: JoinSet::new(),
            live: HashMap::new(),
        };
        if let Shape::Fixed(tree) = shape {
            for spec in &tree.children {
                shell.add(spec.clone());
            }
        }
        shell.note_restarts();
        shell
    }

    pub(super) fn add(&mut self, spec: ChildSpec) -> ChildKey {
        let key = self.policy.add(ChildRules {
            id: Arc::clone(&spec.id),
            restart: spec.restart,
            significant: spec.significant,
            backoff: spec.backoff,
        });
        self.children.insert(
            key,
            Child {
                spec,
                record: None,
                starts: 0,
                last_exit: None,
            },
        );
        key
    }

    /// Tells the policy and forgets the children that it forgot.
    pub(super) fn step(&mut self, event: Event) -> Action {
        let action = self.policy.step(event, Instant::now().into_std());
        self.forget_what_the_policy_forgot();
        action
    }

    pub(super) fn forget_what_the_policy_forgot(&mut self) {
        for key in self.policy.take_forgotten() {
            self.children.remove(&key);
        }
        if let Shape::Dynamic(shape) = &self.shape {
            shape.n_children.store(self.policy.len());
        }
    }

    /// Carries out actions until there is nothing left to do. Returns an exit if it is this supervisor's turn to end.
    pub(super) async fn drive(&mut self, first: Action) -> Option<Exit> {
        let mut action = first;
        loop {
            let done = match action {
                Action::Rest => return None,
                Action::Exit(exit) => {
                    self.log_give_up(&exit);
                    return Some(exit);
                }
                Action::Retry {
                    key,
                    incarnation,
                    after,
                } => {
                    self.retry(key, incarnation, after);
                    return None;
                }
                Action::Start { key, incarnation } => match self.start(key, incarnation).await {
                    Ok(()) => Event::Started,
                    Err(NotStarted(why)) => Event::StartFailed(why),
                },
                Action::Terminate(keys) => {
                    self.terminate(&keys).await;
                    Event::Terminated
                }
            };
            action = self.step(done);
        }
    }
}

impl Shell {
    fn retry(&mut self, key: ChildKey, incarnation: u64, after: Duration) {
        let myself = self.myself.clone();
        // Fails only if this supervisor is asked to end, and then nothing is to be retried.
        let tell = move || {
            let retry = Envelope::internal(Load::Told(Command::Retry { key, incarnation }));
            myself.send_message(retry).ok();
        };
        if after.is_zero() {
            return tell();
        }
        if let Some(child) = self.children.get(&key) {
            let (path, child) = (&self.record.birth.path, &child.spec.id);
            debug!(target: "hiveforge.supervisor", %path, %child, incarnation, ?after, "restart waits");
        }
        while self.delays.try_join_next().is_some() {}
        self.delays.spawn(async move {
            sleep(after).await;
            tell();
        });
    }

    pub(super) async fn on_exit(&mut self, who: u64, exit: Exit) -> Option<Exit> {
        let (key, incarnation) = self.live.remove(&who)?;
        let child = self.children.get_mut(&key)?;
        child.record = None;
        child.last_exit = Some(exit.clone());
        let id = Arc::clone(&child.spec.id);
        // A supervisor that was killed leaves children behind that are still ending. They belong to its end, so nothing
        // that follows from it begins before they are gone.
        let path = self.record.birth.path.child(&id);
        self.directory.clear(&path, &self.record).await;
        let first = self.step(Event::Exited {
            key,
            incarnation,
            exit: exit.clone(),
        });
        self.log_exit(&id, incarnation, &exit);
        self.note_restarts();
        self.drive(first).await
    }

    /// Starts one life, after whatever is left of the earlier ones has gone.
    pub(super) async fn start(&mut self, key: ChildKey, incarnation: u64) -> Result<(), NotStarted> {
        let child = self
            .children
            .get_mut(&key)
            .expect("the policy starts only what it knows, and we know the same");
        if self.record.state() == ActorState::Abandoned {
            return Err(NotStarted(TOO_LATE.to_owned()));
        }
        let (path, id) = (self.record.birth.path.child(&child.spec.id), &child.spec.id);
        self.directory.clear(&path, &self.record).await;
        // The id may come back as another child, while an abandoned one still has its name.
        let name = format!("{}/{id}.{}#{incarnation}", self.record.birth.name, key.0);
        let life = Life::new(
            &self.directory,
            Birth {
                path: path.clone(),
                name,
                incarnation,
                kind: child.spec.kind(),
                limits: child.spec.limits,
                restarts: child.starts,
                last_exit: child.last_exit.clone(),
            },
        );
        let record = Arc::clone(&life.record);
        let starting = child.spec.start(ChildCtx {
            parent: self.myself.get_cell(),
            life,
        });
        let started = match child.spec.limits.start {
            Some(limit) => timeout(limit, starting)
                .await
                .unwrap_or_else(|_late| Err(NotStarted(format!("not started within {limit:?}")))),
            None => starting.await,
        };
        if let Err(NotStarted(why)) = &started {
            warn!(target: "hiveforge.supervisor", %path, incarnation, why, "child did not start");
            self.directory
                .note(&path, incarnation, Happening::StartFailed(why.clone()));
            // A supervisor that was interrupted leaves killed children behind.
            self.directory.clear(&path, &self.record).await;
        } else if let Some(presence) = record.presence() {
            debug!(target: "hiveforge.supervisor", %path, incarnation, "child started");
            self.directory.note(&path, incarnation, Happening::Started);
            self.live.insert(presence.cell.get_id().pid(), (key, incarnation));
            child.starts += 1;
            child.record = Some(record);
        }
        started
    }

    /// Ends children, all at the same time, and returns when they are gone or abandoned.
    async fn terminate(&mut self, keys: &[ChildKey]) {
        let mut ends = Vec::with_capacity(keys.len());
        for key in keys {
            let Some(child) = self.children.get_mut(key) else {
                continue;
            };
            let Some(record) = child.record.take() else {
                continue;
            };
            let presence = record
                .presence()
                .expect("a child that is up has entered the directory");
            self.live.remove(&presence.cell.get_id().pid());
            let ended = end(
                Arc::clone(&self.record),
                self.directory.clone(),
                record,
                child.spec.shutdown,
            );
            ends.push(async move { (*key, ended.await) });
        }
        for (key, exit) in join_all(ends).await {
            if let Some(child) = self.children.get_mut(&key) {
                child.last_exit = Some(exit);
            }
        }
    }

    pub(super) fn pid(&self) -> u64 {
        self.myself.get_id().pid()
    }

    pub(super) fn note_restarts(&self) {
        let (intensity, restarts) = (self.shape.rules().intensity, self.policy.restarts().collect());
        self.record.note_restarts(intensity, restarts);
    }

    fn log_exit(&self, child: &str, incarnation: u64, exit: &Exit) {
        let (path, restarts) = (&self.record.birth.path, self.policy.restarts().count());
        if exit.is_abnormal() {
            warn!(target: "hiveforge.supervisor", %path, child, incarnation, %exit, restarts, "child failed");
        } else {
            debug!(target: "hiveforge.supervisor", %path, child, incarnation, %exit, restarts, "child ended");
        }
        self.directory
            .note(&path.child(child), incarnation, Happening::Ended(exit.clone()));
    }

    fn log_give_up(&self, exit: &Exit) {
        if let Exit::GaveUp(line) = exit {
            let (path, incarnation) = (&self.record.birth.path, self.record.birth.incarnation);
            error!(target: "hiveforge.supervisor", %path, incarnation, line, "supervisor gave up");
        }
    }
}

/// Ends one child and returns how it ended: as it was asked to, or as it says itself, if it failed before or meanwhile.
async fn end(supervisor: Arc<Record>, directory: Directory, record: Arc<Record>, shutdown: Shutdown) -> Exit {
    let gone = match shutdown {
        Shutdown::BrutalKill => false,
        Shutdown::Timeout(limit) => {
            record.stop();
            timeout(limit, record.gone()).await.is_ok()
        }
        Shutdown::Infinity => {
            record.stop();
            record.gone().await;
            true
        }
    };
    let Birth {
        path, incarnation, ..
    } = &record.birth;
    // Kills whoever is left.
    directory.clear(path, &supervisor).await;
    let exit = match record.last_word() {
        Some(exit) => exit.clone(),
        None if gone => Exit::Shutdown,
        None => Exit::Killed,
    };
    if exit.is_abnormal() && gone {
        warn!(target: "hiveforge.supervisor", %path, incarnation, %exit, "child failed while it was stopped");
    }
    directory.note(path, *incarnation, Happening::Ended(exit.clone()));
    exit
}
