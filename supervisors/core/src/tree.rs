//! A running tree: started, watched and stopped from outside.
//!
//! The one idea: above the root stands the anchor, an actor that supervises nothing else and keeps the root's last word.
//! So the root is started, ended and judged exactly like every other supervisor. A process ends when its tree does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ractor::{ActorCell, ActorProcessingErr, ActorRef, SupervisionEvent};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::child::{ChildCtx, NotStarted};
use crate::children::{ChildCounts, ChildError, ChildInfo};
use crate::directory::Directory;
use crate::dynamic::refused;
use crate::events::Happening;
use crate::handle::{AskError, Handle, Refused, Reply};
use crate::life::{Birth, Life, Record};
use crate::mailbox::Envelope;
use crate::spec::{AutoShutdown, ChildSpec, SpecError, TreeSpec};
use crate::supervisor::{Change, Command};
use crate::watch::Watch;
use crate::{Exit, TreePath};

/// A running tree. Dropping it kills every actor in it, without order and without waiting.
pub struct Tree {
    anchor: ActorCell,
    root: Arc<Record>,
    directory: Directory,
    exit: watch::Receiver<Option<Exit>>,
    _watch: Watch,
}

/// Why a tree is not running.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StartError {
    /// The spec makes no sense; nothing was started.
    #[error(transparent)]
    InvalidSpec(#[from] SpecError),
    /// A child did not start; those started before it have been terminated, in reverse.
    #[error("{why}")]
    Failed { why: String },
    /// The operating system has no thread for the watch over stuck actors.
    #[error("cannot start a thread: {why}")]
    NoThread { why: String },
}

/// Tells two trees of the same name in one process apart.
static TREES: AtomicU64 = AtomicU64::new(1);

/// A root is not restarted: it has one life.
const ROOT_INCARNATION: u64 = 1;

impl Tree {
    /// Starts all actors, in order, and waits until they are up.
    pub async fn start(name: &str, spec: TreeSpec) -> Result<Self, StartError> {
        Self::start_in(name, spec, &Directory::new()).await
    }

    /// Starts all actors like [`Tree::start`], in a directory that others may know already. One tree, one directory.
    pub async fn start_in(name: &str, spec: TreeSpec, directory: &Directory) -> Result<Self, StartError> {
        let spec = ChildSpec::supervisor(name, spec);
        spec.check(AutoShutdown::Never)?;
        let watch = Watch::start(directory)?;
        let (last_word, exit) = watch::channel(None);
        let path = TreePath::root(name);
        let anchor = Anchor {
            last_word,
            directory: directory.clone(),
            root: path.clone(),
        };
        let (anchor, _task) = ractor::Actor::spawn(None, anchor, ())
            .await
            .expect("an actor without a name and without a start cannot fail to start");
        let anchor = anchor.get_cell();
        let number = TREES.fetch_add(1, Ordering::Relaxed);
        let birth = Birth {
            path: path.clone(),
            name: format!("{name}#{number}"),
            incarnation: ROOT_INCARNATION,
            kind: spec.kind(),
            limits: spec.limits,
            restarts: 0,
            last_exit: None,
        };
        let life = Life::new(directory, birth);
        let tree = Self {
            anchor: anchor.clone(),
            root: Arc::clone(&life.record),
            directory: directory.clone(),
            exit,
            _watch: watch,
        };
        match spec.start(ChildCtx { parent: anchor, life }).await {
            Ok(()) => {
                directory.note(&path, ROOT_INCARNATION, Happening::Started);
                Ok(tree)
            }
            Err(NotStarted(why)) => {
                directory.note(&path, ROOT_INCARNATION, Happening::StartFailed(why.clone()));
                Err(StartError::Failed { why })
            }
        }
    }

    /// Returns the live actors of this tree; it stays readable after the end.
    pub fn directory(&self) -> Directory {
        self.directory.clone()
    }

    /// Waits until the root has ended and nothing of it is left, and says how. [`Exit::GaveUp`] and [`Exit::Crashed`]
    /// carry a line that says which child failed, how often and why. May be called any number of times.
    pub async fn exited(&self) -> Exit {
        let mut exit = self.exit.clone();
        let exit = exit
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|exit| exit.clone());
        self.root.gone().await;
        exit.unwrap_or(Exit::Killed)
    }

    /// Stops all actors in reverse start order, each as its spec says. What is left at the `deadline` is killed.
    /// Returns those that did not end even then, after [`KILL_GRACE`](crate::KILL_GRACE); normally none.
    pub async fn stop(&self, deadline: Duration) -> Vec<TreePath> {
        self.root.stop();
        // Too late means that it is killed below.
        timeout(deadline, self.root.gone()).await.ok();
        self.directory.clear(&self.root.birth.path, &self.root).await;
        self.directory.abandoned()
    }

    /// Asks the supervisor at `path` for its children, in start order.
    pub async fn which_children(&self, path: &str) -> Result<Vec<ChildInfo>, Refused> {
        self.ask(path, Command::WhichChildren).await.map_err(refused)
    }

    /// Asks the supervisor at `path` how many children it has.
    pub async fn count_children(&self, path: &str) -> Result<ChildCounts, Refused> {
        self.ask(path, Command::CountChildren).await.map_err(refused)
    }

    /// Adds a child behind the last one of the fixed supervisor at `path`, and waits until it is up. It is a child like
    /// all others until that supervisor ends; the next life of the supervisor begins with the children of its spec.
    ///
    /// Like the three below: waits for as long as the supervisor is busy, so a child must not ask this of its own
    /// supervisor. If the caller stops waiting, it is done all the same.
    ///
    /// # Errors
    /// The spec makes no sense there, its id is taken, or the start failed; then nothing was added.
    pub async fn start_child(&self, path: &str, spec: ChildSpec) -> Result<(), ChildError> {
        self.change(path, Change::Start(spec)).await
    }

    /// Terminates a child as its spec says, and waits for it. A restart that it waits for is called off. Its spec is
    /// kept unless it is temporary, so [`Tree::restart_child`] can bring it back; as in OTP, a restart of siblings that
    /// share its fate does so too. Fine for a child that is down. Does not count as the end of a significant child.
    pub async fn terminate_child(&self, path: &str, id: &str) -> Result<(), ChildError> {
        self.change(path, Change::Terminate(id.to_owned())).await
    }

    /// Starts a child that is down, and waits until it is up. Does not count as a restart.
    ///
    /// # Errors
    /// It is up or about to be, or the start failed; then it stays down.
    pub async fn restart_child(&self, path: &str, id: &str) -> Result<(), ChildError> {
        self.change(path, Change::Restart(id.to_owned())).await
    }

    /// Forgets the spec of a child that is down.
    ///
    /// # Errors
    /// It is up or about to be.
    pub async fn delete_child(&self, path: &str, id: &str) -> Result<(), ChildError> {
        self.change(path, Change::Delete(id.to_owned())).await
    }

    async fn change(&self, path: &str, change: Change) -> Result<(), ChildError> {
        let answer = self.ask(path, |reply| Command::Change(change, reply)).await;
        answer.unwrap_or_else(|error| match error {
            AskError::Busy => Err(ChildError::Busy),
            AskError::Down | AskError::TimedOut => Err(ChildError::Down),
        })
    }

    /// Asks the supervisor at `path`. There is no time limit: it ends with the answer or with the supervisor.
    async fn ask<R: Send + 'static>(
        &self,
        path: &str,
        question: impl FnOnce(Reply<R>) -> Command,
    ) -> Result<R, AskError> {
        let commands = self.commands(path).ok_or(AskError::Down)?;
        commands.ask_until_down(question).await
    }

    fn commands(&self, path: &str) -> Option<Handle<Command>> {
        let record = self.directory.latest(path)?;
        record.presence()?.commands.clone()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.anchor.kill();
    }
}

/// The actor above the root.
struct Anchor {
    last_word: watch::Sender<Option<Exit>>,
    directory: Directory,
    root: TreePath,
}

impl ractor::Actor for Anchor {
    type Msg = Envelope<()>;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Self::Msg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        if let Some((_root, exit)) = Exit::of(event) {
            let ended = Happening::Ended(exit.clone());
            self.directory.note(&self.root, ROOT_INCARNATION, ended);
            self.last_word.send_replace(Some(exit));
            myself.stop(None);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Actor, ChildStatus, Ctx, Failure, Handle, Intensity, Restart, Strategy};

    struct Idle;

    impl Actor for Idle {
        type Msg = ();
        type State = ();

        async fn start(&self, _: &Ctx<()>) -> Result<(), Failure> {
            Ok(())
        }

        async fn handle(&self, _: &Ctx<()>, (): (), (): &mut ()) -> Result<(), Failure> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_killed_transient_child_is_restarted_as_after_a_crash() {
        let child = ChildSpec::worker("a", &Handle::new("a", 1), || Idle).restart(Restart::Transient);
        let within = Duration::from_secs(5);
        let spec = TreeSpec::new(Strategy::OneForOne, Intensity { max: 1, within }).child(child);
        let tree = Tree::start("root", spec).await.unwrap();
        tree.directory.latest("root/a").unwrap().kill();
        tokio::time::sleep(within).await;
        let children = tree.which_children("root").await.unwrap();
        assert_eq!(
            (children[0].status, children[0].restarts),
            (ChildStatus::Running, 1)
        );
        assert_eq!(
            tree.directory().find("root/a").unwrap().last_exit,
            Some(Exit::Killed)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_root_that_was_killed_says_so() {
        let within = Duration::from_secs(5);
        let spec = TreeSpec::new(Strategy::OneForOne, Intensity { max: 1, within });
        let tree = Tree::start("root", spec).await.unwrap();
        tree.root.kill();
        assert_eq!(tree.exited().await, Exit::Killed);
    }
}
