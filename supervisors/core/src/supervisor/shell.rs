//! The hands of a supervisor: does one action after the other and reports back to the policy.
//!
//! The one idea: a child here is a spec, its past and the record of its present life. Whose end counts is decided by
//! `live`: an actor that was ended on purpose, abandoned, or belongs to an earlier life is not in it any more.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::join_all;
use ractor::ActorRef;
use tokio::time::{Instant, timeout};
use tracing::{debug, error, warn};

use super::{ChildInfo, ChildStatus, Command, Shape};
use crate::Exit;
use crate::child::{ChildCtx, NotStarted};
use crate::directory::{Birth, Directory, Life, Record};
use crate::dynamic::{ChildRef, StartChildError};
use crate::mailbox::{Envelope, Load};
use crate::policy::{Action, ChildKey, ChildRules, Event, Life as ChildLife, Policy};
use crate::spec::{ChildSpec, Shutdown};

/// The state of one life of a supervisor.
pub(crate) struct Shell {
    policy: Policy,
    shape: Shape,
    record: Arc<Record>,
    directory: Directory,
    myself: ActorRef<Envelope<Command>>,
    children: HashMap<ChildKey, Child>,
    /// Those that are up, by `ractor`'s id: an exit of anybody else is not for us.
    live: HashMap<u64, (ChildKey, u64)>,
}

struct Child {
    spec: ChildSpec,
    record: Option<Arc<Record>>,
    starts: u64,
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
            live: HashMap::new(),
        };
        if let Shape::Fixed(tree) = shape {
            for spec in &tree.children {
                shell.add(spec.clone());
            }
        }
        shell
    }

    fn add(&mut self, spec: ChildSpec) -> ChildKey {
        let (id, restart, significant) = (Arc::clone(&spec.id), spec.restart, spec.significant);
        let key = self.policy.add(ChildRules {
            id,
            restart,
            significant,
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
        for key in self.policy.take_forgotten() {
            self.children.remove(&key);
        }
        if let Shape::Dynamic(shape) = &self.shape {
            shape.n_children.store(self.policy.len());
        }
        action
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
                Action::Retry { key, incarnation } => {
                    let retry = Envelope::internal(Load::Told(Command::Retry { key, incarnation }));
                    // Fails only if this supervisor is asked to end, and then nothing is to be retried.
                    self.myself.send_message(retry).ok();
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
    pub(super) async fn on_command(&mut self, command: Command) -> Option<Exit> {
        match command {
            Command::Retry { key, incarnation } => {
                let first = self.step(Event::Retry { key, incarnation });
                self.drive(first).await
            }
            Command::StartChild(spec, reply) => {
                reply.send(self.start_child(spec).await);
                None
            }
            Command::TerminateChild(child, reply) => {
                let known = child.supervisor == self.pid() && self.policy.contains(child.key);
                let first = if known {
                    self.step(Event::End(child.key))
                } else {
                    Action::Rest
                };
                let exit = self.drive(first).await;
                reply.send(known);
                exit
            }
            Command::WhichChildren(reply) => {
                reply.send(self.which_children());
                None
            }
        }
    }

    async fn start_child(&mut self, spec: ChildSpec) -> Result<ChildRef, StartChildError> {
        if self.policy.has_id(&spec.id) {
            return Err(StartChildError::Exists {
                id: spec.id.to_string(),
            });
        }
        if self.policy.len() >= self.shape.room() {
            return Err(StartChildError::Full);
        }
        let path = self.record.birth.path.child(&spec.id);
        let key = self.add(spec);
        let Action::Start { key, incarnation } = self.step(Event::Spawn(key)) else {
            unreachable!("a child that was just added is down, and nothing else is under way");
        };
        match self.start(key, incarnation).await {
            Ok(()) => {
                self.step(Event::Started);
                Ok(ChildRef::new(path, self.pid(), key))
            }
            Err(NotStarted(why)) => {
                self.step(Event::StartFailed(why.clone()));
                Err(StartChildError::Failed { why })
            }
        }
    }

    pub(super) async fn on_exit(&mut self, who: u64, exit: Exit) -> Option<Exit> {
        let (key, incarnation) = self.live.remove(&who)?;
        let child = self.children.get_mut(&key)?;
        child.record = None;
        child.last_exit = Some(exit.clone());
        let id = Arc::clone(&child.spec.id);
        let first = self.step(Event::Exited {
            key,
            incarnation,
            exit: exit.clone(),
        });
        self.log_exit(&id, incarnation, &exit);
        self.drive(first).await
    }

    /// Starts one life, after whatever is left of the earlier ones has gone.
    async fn start(&mut self, key: ChildKey, incarnation: u64) -> Result<(), NotStarted> {
        let child = self
            .children
            .get_mut(&key)
            .expect("the policy starts only what it knows, and we know the same");
        let (path, id) = (self.record.birth.path.child(&child.spec.id), &child.spec.id);
        self.directory.clear(&path).await;
        let name = match self.shape {
            Shape::Fixed(_) => format!("{}/{id}#{incarnation}", self.record.birth.name),
            // The id may come back while an abandoned child still has the name.
            Shape::Dynamic(_) => format!("{}/{id}.{}#{incarnation}", self.record.birth.name, key.0),
        };
        let life = Life::new(
            &self.directory,
            Birth {
                path: path.clone(),
                name,
                incarnation,
                kind: child.spec.kind(),
                restarts: child.starts,
                last_exit: child.last_exit.clone(),
            },
        );
        let record = Arc::clone(&life.record);
        let starting = child.spec.start(ChildCtx {
            parent: self.myself.get_cell(),
            life,
        });
        let started = match child.spec.start_timeout {
            Some(limit) => timeout(limit, starting)
                .await
                .unwrap_or_else(|_late| Err(NotStarted(format!("not started within {limit:?}")))),
            None => starting.await,
        };
        if let Err(NotStarted(why)) = &started {
            warn!(target: "hiveforge.supervisor", %path, incarnation, why, "child did not start");
            // A supervisor that was interrupted leaves killed children behind.
            self.directory.clear(&path).await;
        } else if let Some(presence) = record.presence() {
            debug!(target: "hiveforge.supervisor", %path, incarnation, "child started");
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
            child.last_exit = Some(Exit::Shutdown);
            ends.push(end(self.directory.clone(), record, child.spec.shutdown));
        }
        join_all(ends).await;
    }

    fn which_children(&self) -> Vec<ChildInfo> {
        let known = self
            .policy
            .children()
            .filter_map(|(key, life)| Some((self.children.get(&key)?, life)));
        let info = known.map(|(child, life)| ChildInfo {
            id: child.spec.id.to_string(),
            kind: child.spec.kind(),
            status: match life {
                ChildLife::Up => ChildStatus::Running,
                ChildLife::Restarting => ChildStatus::Restarting,
                ChildLife::Down => ChildStatus::Down,
            },
            restarts: child.starts.saturating_sub(1),
        });
        info.collect()
    }

    fn pid(&self) -> u64 {
        self.myself.get_id().pid()
    }

    fn log_exit(&self, child: &str, incarnation: u64, exit: &Exit) {
        let (path, restarts) = (&self.record.birth.path, self.policy.restarts_in_window());
        if exit.is_abnormal() {
            warn!(target: "hiveforge.supervisor", %path, child, incarnation, %exit, restarts, "child failed");
        } else {
            debug!(target: "hiveforge.supervisor", %path, child, incarnation, %exit, restarts, "child ended");
        }
    }

    fn log_give_up(&self, exit: &Exit) {
        if let Exit::GaveUp(line) = exit {
            let (path, incarnation) = (&self.record.birth.path, self.record.birth.incarnation);
            error!(target: "hiveforge.supervisor", %path, incarnation, line, "supervisor gave up");
        }
    }
}

async fn end(directory: Directory, record: Arc<Record>, shutdown: Shutdown) {
    match shutdown {
        Shutdown::BrutalKill => {}
        Shutdown::Timeout(limit) => {
            record.stop();
            // Too late means that it is killed below.
            timeout(limit, record.gone()).await.ok();
        }
        Shutdown::Infinity => {
            record.stop();
            record.gone().await;
        }
    }
    directory.clear(&record.birth.path).await;
}
