//! What may be asked about single children, by id, and the state in which they may be asked for it.
//!
//! The one idea: whoever asks is told by [`Policy::idle`] whether the child may be touched, in OTP's words; only then
//! comes the event. A request never counts as a restart.

use std::sync::Arc;

use super::{Child, ChildKey, ChildRules, Life, Policy};
use crate::children::ChildError;

impl Policy {
    /// Adds a child at the end of the start order, not started yet.
    pub(crate) fn add(&mut self, rules: ChildRules) -> ChildKey {
        self.n_keys += 1;
        let key = ChildKey(self.n_keys);
        self.ids.insert(Arc::clone(&rules.id), key);
        self.children.insert(key, Child::new(rules));
        key
    }

    /// Returns the child with this id, whether it is up or not.
    pub(crate) fn find(&self, id: &str) -> Result<ChildKey, ChildError> {
        let key = self.ids.get(id).copied();
        key.ok_or_else(|| ChildError::NotFound { id: id.to_owned() })
    }

    /// Returns the child with this id if it is neither up nor about to be: only such a child may be started or deleted
    /// on request.
    pub(crate) fn idle(&self, id: &str) -> Result<ChildKey, ChildError> {
        let key = self.find(id)?;
        let id = || id.to_owned();
        match self.children[&key].life {
            Life::Down => Ok(key),
            Life::Up => Err(ChildError::Running { id: id() }),
            Life::Restarting | Life::Delayed => Err(ChildError::Restarting { id: id() }),
        }
    }

    /// Forgets the spec of a child that is idle.
    pub(crate) fn delete(&mut self, id: &str) -> Result<(), ChildError> {
        let key = self.idle(id)?;
        self.forget(key);
        Ok(())
    }

    pub(crate) fn contains(&self, key: ChildKey) -> bool {
        self.children.contains_key(&key)
    }

    pub(crate) fn len(&self) -> usize {
        self.children.len()
    }
}
