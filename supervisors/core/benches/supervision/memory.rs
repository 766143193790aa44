//! Memory of an idle actor, ours with its handle, spec, name and place in the directory, beside a bare one.
//!
//! Each weighing is a process of its own, this program again: memory that was freed before would be used again and not
//! be seen.

use std::process::Command;

use ractor::{ActorProcessingErr, ActorRef, SupervisionEvent};

use crate::idle::Crowd;
use crate::report::{Row, Section};
use crate::{Scale, THREADS, on_threads, tree_of};

pub(crate) fn measure(scale: Scale) -> Section {
    let mut rows = Vec::new();
    for actors in scale.weighed {
        let kinds = [Kind::Bare, Kind::Ours];
        let mut bytes = kinds.map(|_| Vec::with_capacity(scale.weighings));
        for _ in 0..scale.weighings {
            for (kind, bytes) in kinds.into_iter().zip(&mut bytes) {
                bytes.push(Weighing { kind, actors }.in_a_process());
            }
        }
        let [bare, ours] = bytes;
        let ratio = ours.iter().zip(&bare).map(|(ours, bare)| ours / bare).collect();
        rows.push(Row::new(format!("one of {actors}: bare ractor"), "bytes", bare));
        rows.push(Row::new(format!("one of {actors}: ours"), "bytes", ours));
        rows.push(Row::new(format!("one of {actors}: ours, of its"), "x", ratio));
    }
    Section {
        what: format!("of an idle actor, resident, {} processes each", scale.weighings),
        rows,
    }
}

/// What the process does that weighs.
#[derive(Clone, Copy)]
pub(crate) struct Weighing {
    kind: Kind,
    actors: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bare,
    Ours,
}

impl Kind {
    const fn flag(self) -> &'static str {
        match self {
            Self::Bare => "--weigh-bare",
            Self::Ours => "--weigh-ours",
        }
    }
}

impl Weighing {
    /// Returns what the arguments ask for, if that is a weighing.
    pub(crate) fn of(arguments: &[String]) -> Option<Self> {
        let [flag, actors] = arguments else { return None };
        let kind = [Kind::Bare, Kind::Ours]
            .into_iter()
            .find(|kind| kind.flag() == flag)?;
        let actors = actors.parse().ok()?;
        Some(Self { kind, actors })
    }

    /// Returns the bytes of one actor.
    fn in_a_process(self) -> f64 {
        let program = std::env::current_exe().expect("this program has a path");
        #[expect(clippy::disallowed_methods, reason = "this program again, and no job")]
        let output = Command::new(program)
            .args([self.kind.flag(), &self.actors.to_string()])
            .output()
            .expect("this program can be started");
        let bytes = String::from_utf8_lossy(&output.stdout);
        bytes.trim().parse().expect("it prints the bytes")
    }

    /// Starts the actors and returns the bytes of one.
    pub(crate) fn run(self) -> f64 {
        let Self { kind, actors } = self;
        let grown = match kind {
            Kind::Bare => on_threads(THREADS, grown_bare(actors)),
            Kind::Ours => on_threads(THREADS, grown_ours(actors)),
        };
        grown as f64 / actors as f64
    }
}

async fn grown_ours(actors: usize) -> u64 {
    let crowd = Crowd::new();
    // It outlives the reading, and ends with the process.
    let _tree = tree_of([crowd.spec(actors)]).await;
    let before = resident_bytes();
    let _handles = crowd.fill(actors).await;
    resident_bytes() - before
}

async fn grown_bare(actors: usize) -> u64 {
    let (parent, _task) = ractor::Actor::spawn(None, Idle, ())
        .await
        .expect("nothing in it can fail");
    let before = resident_bytes();
    let mut children = Vec::with_capacity(actors);
    for _ in 0..actors {
        let child = parent.spawn_linked(None, Idle, ()).await;
        let (child, _task) = child.expect("nothing in it can fail");
        children.push(child);
    }
    resident_bytes() - before
}

struct Idle;

enum Nothing {}

impl ractor::Message for Nothing {}

impl ractor::Actor for Idle {
    type Msg = Nothing;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Nothing>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Nothing>,
        _: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

/// Of this process, now.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib: u64 = kib.expect("it has a resident size").parse().expect("a number");
    kib * 1024
}
