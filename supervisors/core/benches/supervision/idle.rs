//! Many actors that have nothing to do, under a dynamic supervisor of ours.

use supervision::{Actor, ChildSpec, Ctx, Dynamic, DynamicSpec, Failure, Handle};

use crate::INTENSITY;

/// As of most actors of the roles.
const CAPACITY: usize = 16;

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

/// The way to their supervisor.
#[derive(Clone)]
pub(crate) struct Crowd(Dynamic<(usize, Handle<()>)>);

impl Crowd {
    pub(crate) fn new() -> Self {
        Self(Dynamic::new("crowd"))
    }

    /// The supervisor, with room for so many.
    pub(crate) fn spec(&self, n_children: usize) -> ChildSpec {
        let idle = |(number, handle)| ChildSpec::worker(format!("idle-{number}"), &handle, || Idle);
        ChildSpec::dynamic("crowd", DynamicSpec::new(&self.0, n_children, INTENSITY, idle))
    }

    /// Starts so many, and returns the ways to them.
    pub(crate) async fn fill(&self, n_children: usize) -> Vec<Handle<()>> {
        let mut handles = Vec::with_capacity(n_children);
        for number in 0..n_children {
            let handle = Handle::new("idle", CAPACITY);
            let child = self.0.start_child((number, handle.clone())).await;
            child.expect("there is room, and nothing in it can fail");
            handles.push(handle);
        }
        handles
    }
}
