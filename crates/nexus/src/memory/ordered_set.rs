//! One ordered set in memory: members by score and scores by member, always in step.
//!
//! The order is that of (score, member), members by their bytes, as in every backend. A member has one place.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use crate::{Ascending, Descending, Member, Score};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct OrderedSet {
    scores: BTreeMap<Member, Score>,
    order: BTreeSet<(Score, Member)>,
}

/// `scores` says the same as `order`, so hashing one of them is enough.
impl Hash for OrderedSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.order.hash(state);
    }
}

impl OrderedSet {
    pub(super) fn place(&mut self, member: &str, score: Option<Score>) {
        if let Some(old) = self.scores.remove(member) {
            self.order.remove(&(old, member.to_owned()));
        }
        if let Some(new) = score {
            self.scores.insert(member.to_owned(), new);
            self.order.insert((new, member.to_owned()));
        }
    }

    pub(super) fn score(&self, member: &str) -> Option<Score> {
        self.scores.get(member).copied()
    }

    pub(super) fn head(&self) -> Option<&(Score, Member)> {
        self.order.first()
    }

    pub(super) fn size(&self) -> u64 {
        self.order.len() as u64
    }

    pub(super) fn order(&self) -> &BTreeSet<(Score, Member)> {
        &self.order
    }

    pub(super) fn ascending(&self, page: &Ascending) -> Vec<(Score, Member)> {
        let is_behind = |place: &&(Score, Member)| page.after.as_ref().is_none_or(|after| *place > after);
        let is_within = |place: &&(Score, Member)| page.up_to.is_none_or(|up_to| place.0 <= up_to);
        let from = page.after.clone().unwrap_or_default();
        self.order
            .range(from..)
            .filter(is_behind)
            .take_while(is_within)
            .take(page.n)
            .cloned()
            .collect()
    }

    pub(super) fn descending(&self, page: &Descending) -> Vec<(Score, Member)> {
        let is_within = |place: &&(Score, Member)| page.down_to.is_none_or(|down_to| place.0 >= down_to);
        let below = match &page.before {
            Some(before) => self.order.range(..before.clone()),
            None => self.order.range(..),
        };
        below.rev().take_while(is_within).take(page.n).cloned().collect()
    }
}
