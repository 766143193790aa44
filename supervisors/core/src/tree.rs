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
use crate::directory::{Birth, Directory, Life, Record};
use crate::handle::Refused;
use crate::mailbox::Envelope;
use crate::spec::{AutoShutdown, ChildSpec, SpecError, TreeSpec};
use crate::supervisor::ChildInfo;
use crate::supervisor::Command;
use crate::{Exit, TreePath};

/// A running tree. Dropping it kills every actor in it, without order and without waiting.
pub struct Tree {
    anchor: ActorCell,
    root: Arc<Record>,
    directory: Directory,
    exit: watch::Receiver<Option<Exit>>,
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
}

/// Tells two trees of the same name in one process apart.
static TREES: AtomicU64 = AtomicU64::new(1);

impl Tree {
    /// Starts all actors, in order, and waits until they are up.
    pub async fn start(name: &str, spec: TreeSpec) -> Result<Self, StartError> {
        let spec = ChildSpec::supervisor(name, spec);
        spec.check(AutoShutdown::Never)?;
        let (last_word, exit) = watch::channel(None);
        let (anchor, _task) = ractor::Actor::spawn(None, Anchor { last_word }, ())
            .await
            .expect("an actor without a name and without a start cannot fail to start");
        let anchor = anchor.get_cell();
        let directory = Directory::default();
        let incarnation = TREES.fetch_add(1, Ordering::Relaxed);
        let birth = Birth {
            path: TreePath::root(name),
            name: format!("{name}#{incarnation}"),
            incarnation,
            kind: spec.kind(),
            restarts: 0,
            last_exit: None,
        };
        let life = Life::new(&directory, birth);
        let tree = Self {
            anchor: anchor.clone(),
            root: Arc::clone(&life.record),
            directory,
            exit,
        };
        match spec.start(ChildCtx { parent: anchor, life }).await {
            Ok(()) => Ok(tree),
            Err(NotStarted(why)) => Err(StartError::Failed { why }),
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
        self.directory.clear(&self.root.birth.path).await;
        self.directory.abandoned()
    }

    /// Asks the supervisor at `path` for its children, in start order.
    pub async fn which_children(&self, path: &str) -> Result<Vec<ChildInfo>, Refused> {
        let record = self.directory.latest(path).ok_or(Refused::Down)?;
        let commands = record.presence().and_then(|presence| presence.commands.as_ref());
        let children = commands
            .ok_or(Refused::Down)?
            .ask_until_down(Command::WhichChildren)
            .await;
        children.map_err(|_down| Refused::Down)
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
