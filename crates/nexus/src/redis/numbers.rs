//! Numbers for names, so that a script is told each name once.

use std::collections::HashMap;

/// Names in the order of their numbers, which begin with 1, as everything does in Lua.
#[derive(Debug, Default)]
pub(super) struct Numbers<'a> {
    pub(super) names: Vec<&'a str>,
    numbers: HashMap<&'a str, usize>,
}

impl<'a> Numbers<'a> {
    /// The number of the name, the next one if it has none.
    pub(super) fn number(&mut self, name: &'a str) -> usize {
        *self.numbers.entry(name).or_insert_with(|| {
            self.names.push(name);
            self.names.len()
        })
    }

    /// The number of the name, if it has one.
    pub(super) fn known(&self, name: &str) -> Option<usize> {
        self.numbers.get(name).copied()
    }
}
