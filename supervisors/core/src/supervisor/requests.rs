//! What a supervisor is asked for, and how it answers.
//!
//! The one idea: who may be touched is decided by the policy before anything is done; what is done is an event like any
//! other. A request that starts a child does not count as a restart, and its failure is the asker's to deal with.

use super::shell::Shell;
use super::{Command, Shape};
use crate::Exit;
use crate::child::NotStarted;
use crate::children::{ChildCounts, ChildError, ChildInfo, ChildStatus};
use crate::directory::Kind;
use crate::dynamic::{ChildRef, StartChildError};
use crate::policy::{Action, Event, Life};
use crate::spec::ChildSpec;

/// A change to the children of a fixed supervisor.
pub(crate) enum Change {
    Start(ChildSpec),
    Terminate(String),
    Restart(String),
    Delete(String),
}

impl Shell {
    pub(super) async fn on_command(&mut self, command: Command) -> Option<Exit> {
        match command {
            Command::Retry { key, incarnation } => {
                let first = self.step(Event::Retry { key, incarnation });
                self.note_restarts();
                return self.drive(first).await;
            }
            Command::StartDynamic(spec, reply) => drop(reply.send(self.start_dynamic(spec).await)),
            Command::EndDynamic(child, reply) => drop(reply.send(self.end_dynamic(&child).await)),
            Command::Change(change, reply) => drop(reply.send(self.change(change).await)),
            Command::WhichChildren(reply) => drop(reply.send(self.which_children())),
            Command::CountChildren(reply) => drop(reply.send(self.count_children())),
        }
        None
    }

    async fn start_dynamic(&mut self, spec: ChildSpec) -> Result<ChildRef, StartChildError> {
        let id = spec.id.to_string();
        if self.policy.find(&id).is_ok() {
            return Err(StartChildError::Exists { id });
        }
        if self.policy.len() >= self.shape.room() {
            return Err(StartChildError::Full);
        }
        let key = self.add(spec);
        let started = self.start_on_request(Event::Spawn(key)).await;
        started.map_err(|NotStarted(why)| StartChildError::Failed { why })?;
        let path = self.record.birth.path.child(&id);
        Ok(ChildRef::new(path, self.pid(), key))
    }

    async fn end_dynamic(&mut self, child: &ChildRef) -> bool {
        let known = child.supervisor == self.pid() && self.policy.contains(child.key);
        if known {
            self.end(Event::End(child.key)).await;
        }
        known
    }

    async fn change(&mut self, change: Change) -> Result<(), ChildError> {
        let Shape::Fixed(tree) = &self.shape else {
            return Err(ChildError::IsDynamic);
        };
        let failed = |NotStarted(why)| ChildError::Failed { why };
        match change {
            Change::Start(spec) => {
                spec.check(tree.auto_shutdown)?;
                let id = spec.id.to_string();
                if self.policy.find(&id).is_ok() {
                    return Err(ChildError::Exists { id });
                }
                let key = self.add(spec);
                self.start_on_request(Event::Spawn(key)).await.map_err(failed)
            }
            Change::Restart(id) => {
                let key = self.policy.idle(&id)?;
                self.start_on_request(Event::Revive(key)).await.map_err(failed)
            }
            Change::Terminate(id) => {
                let key = self.policy.find(&id)?;
                self.end(Event::End(key)).await;
                Ok(())
            }
            Change::Delete(id) => {
                let deleted = self.policy.delete(&id);
                self.forget_what_the_policy_forgot();
                deleted
            }
        }
    }

    async fn start_on_request(&mut self, event: Event) -> Result<(), NotStarted> {
        let Action::Start { key, incarnation } = self.step(event) else {
            unreachable!("the child is down, and nothing else is under way");
        };
        let started = self.start(key, incarnation).await;
        let done = match &started {
            Ok(()) => Event::Started,
            Err(NotStarted(why)) => Event::StartFailed(why.clone()),
        };
        self.step(done);
        started
    }

    async fn end(&mut self, event: Event) {
        let first = self.step(event);
        let exit = self.drive(first).await;
        debug_assert_eq!(exit, None, "the end of one child on request is not ours");
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
                Life::Up => ChildStatus::Running,
                Life::Restarting | Life::Delayed => ChildStatus::Restarting,
                Life::Down => ChildStatus::Down,
            },
            restarts: child.starts.saturating_sub(1),
        });
        info.collect()
    }

    fn count_children(&self) -> ChildCounts {
        let children = self.which_children();
        let count = |wanted: fn(&ChildInfo) -> bool| children.iter().filter(|child| wanted(child)).count();
        let workers = count(|child| child.kind == Kind::Worker);
        ChildCounts {
            specs: match self.shape {
                Shape::Fixed(_) => children.len(),
                Shape::Dynamic(_) => 1,
            },
            active: count(|child| child.status == ChildStatus::Running),
            supervisors: children.len() - workers,
            workers,
        }
    }
}
