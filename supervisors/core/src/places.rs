//! Every place that a tree has, known before anything runs.
//!
//! The one idea: what is tested for every actor takes its list from here, so an actor that is added to a tree is tested
//! because it is in the tree. The children of a dynamic supervisor are known by the example that it is drawn with.

use crate::TreePath;
use crate::directory::Kind;
use crate::spec::{Body, ChildSpec, TreeSpec};

/// A place where an actor can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where it is in the tree.
    pub path: TreePath,
    /// Whether it works or supervises.
    pub kind: Kind,
}

/// Returns the places of a tree, parents before their children and children in start order. A dynamic supervisor
/// without an example has none below it.
pub fn places(name: &str, tree: &TreeSpec) -> Vec<Place> {
    let path = TreePath::root(name);
    let mut found = Vec::new();
    tree.children
        .iter()
        .for_each(|child| gather(&path, child, &mut found));
    let kind = Kind::Supervisor;
    found.insert(0, Place { path, kind });
    found
}

fn gather(parent: &TreePath, child: &ChildSpec, found: &mut Vec<Place>) {
    let path = parent.child(&child.id);
    let kind = child.kind();
    found.push(Place {
        path: path.clone(),
        kind,
    });
    match &child.body {
        Body::Worker(_) => {}
        Body::Supervisor(tree) => tree.children.iter().for_each(|child| gather(&path, child, found)),
        Body::Dynamic(shape) => {
            if let Some(example) = &shape.example {
                gather(&path, &example(), found);
            }
        }
    }
}
