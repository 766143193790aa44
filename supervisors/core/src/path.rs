//! The place of an actor in its tree: `coordinator/runs/r17/execution`.
//!
//! The one idea: a path names a place, not a life. Every life at that place has its own incarnation number.

use std::fmt;
use std::sync::Arc;

/// The place of an actor in its tree. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(Arc<str>);

impl TreePath {
    pub(crate) fn root(id: &str) -> Self {
        Self(id.into())
    }

    pub(crate) fn child(&self, id: &str) -> Self {
        Self(format!("{}/{id}", self.0).into())
    }

    /// Returns the first path after every path under this one: `0` is the character that follows `/`.
    pub(crate) fn end_of_subtree(&self) -> Self {
        Self(format!("{}0", self.0).into())
    }

    /// Returns a bound below every path under this one, and above this one.
    pub(crate) fn start_of_subtree(&self) -> Self {
        Self(format!("{}/", self.0).into())
    }

    /// Returns the path as text, ids joined by `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
