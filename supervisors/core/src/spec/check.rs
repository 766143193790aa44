//! Specs that make no sense, refused before anything is started from them.
//!
//! The one idea: what is wrong with a spec is wrong in every life, so a supervisor that has started, or a child that was
//! accepted, never meets it.

use std::collections::HashSet;

use thiserror::Error;

use super::{AutoShutdown, Backoff, Body, ChildSpec, Intensity, Restart, TreeSpec};

impl ChildSpec {
    /// Refuses what cannot mean anything, for this child and all below it.
    pub(crate) fn check(&self, parent: AutoShutdown) -> Result<(), SpecError> {
        let id = || self.id.to_string();
        if self.id.is_empty() || self.id.contains(['/', '#']) {
            return Err(SpecError::BadId { id: id() });
        }
        if self.significant && self.restart == Restart::Permanent {
            return Err(SpecError::SignificantPermanent { id: id() });
        }
        if self.significant && parent == AutoShutdown::Never {
            return Err(SpecError::SignificantInVain { id: id() });
        }
        if self
            .backoff
            .is_some_and(|Backoff { base, max, .. }| base.is_zero() || base > max)
        {
            return Err(SpecError::BadBackoff { id: id() });
        }
        match &self.body {
            Body::Worker(_) => Ok(()),
            Body::Supervisor(tree) => tree.check(&self.id),
            Body::Dynamic(shape) if shape.max_children == 0 => Err(SpecError::NoRoom { id: id() }),
            Body::Dynamic(shape) => shape.intensity.check(&self.id),
        }
    }
}

impl TreeSpec {
    fn check(&self, id: &str) -> Result<(), SpecError> {
        self.intensity.check(id)?;
        let mut seen = HashSet::with_capacity(self.children.len());
        for child in &self.children {
            child.check(self.auto_shutdown)?;
            if !seen.insert(&child.id) {
                return Err(SpecError::DuplicateId {
                    id: child.id.to_string(),
                });
            }
        }
        Ok(())
    }
}

impl Intensity {
    fn check(&self, id: &str) -> Result<(), SpecError> {
        if self.within.is_zero() {
            Err(SpecError::NoWindow { id: id.to_owned() })
        } else {
            Ok(())
        }
    }
}

/// Why a spec cannot be started.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SpecError {
    /// Ids name children, also in their paths.
    #[error("two children of one supervisor have the id {id:?}")]
    DuplicateId { id: String },
    /// It would not make a path.
    #[error("child id {id:?} is empty or contains '/' or '#'")]
    BadId { id: String },
    /// A permanent child is always restarted.
    #[error("child {id:?} is significant and permanent: it would never end by itself")]
    SignificantPermanent { id: String },
    /// Its end would have no effect.
    #[error("child {id:?} is significant, but its supervisor never shuts itself down")]
    SignificantInVain { id: String },
    /// There would be no delay.
    #[error("backoff of child {id:?} begins with no time at all, or above its maximum")]
    BadBackoff { id: String },
    /// Restarts could not be counted.
    #[error("supervisor {id:?} counts restarts within no time at all")]
    NoWindow { id: String },
    /// No child could be started.
    #[error("dynamic supervisor {id:?} has room for no child")]
    NoRoom { id: String },
}
