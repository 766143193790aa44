//! The ordered sets: members in the database, size and first score known by heart.
//!
//! The first score stays known while members come and while others than the first leave; only when the first one leaves
//! must the next be looked up, and not before somebody asks or the group ends.

use rusqlite::{Connection, OptionalExtension as _, Result, params};

use super::names::{InSpace, SpaceNames, allocate};
use crate::Score;

pub(super) const FIRST_SCORE: &str = "SELECT min(score) FROM members WHERE set_id = ?1";

/// A set that has a row, or will have one when the group ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownSet {
    pub(super) id: i64,
    pub(super) size: u64,
    head: Head,
    /// The first score as the row has it; `None`: there is no row.
    stored_head: Option<Score>,
    is_changed: bool,
}

#[derive(Debug, Clone, Copy)]
enum Head {
    /// The score of the first member.
    At(Score),
    /// The first member has left: the next one must be looked up.
    Gone,
}

impl InSpace<'_> {
    /// The set, if it has members (or had some a moment ago).
    pub(super) fn find_set(&mut self, name: &str) -> Result<Option<KnownSet>> {
        if let Some(known) = self.space.sets.get(name) {
            return Ok(Some(*known));
        }
        let mut find = self
            .connection
            .prepare_cached("SELECT id, size, head FROM sets WHERE space = ?1 AND name = ?2")?;
        let found = find
            .query_row(params![self.space.id, name], |row| {
                let head = score(row.get(2)?);
                let size = row.get::<_, i64>(1)?.cast_unsigned();
                Ok(KnownSet {
                    id: row.get(0)?,
                    size,
                    head: Head::At(head),
                    stored_head: Some(head),
                    is_changed: false,
                })
            })
            .optional()?;
        if let Some(known) = found {
            self.space.sets.insert(name.to_owned(), known);
        }
        Ok(found)
    }

    /// The set, new if need be.
    fn set(&mut self, name: &str) -> Result<&mut KnownSet> {
        if self.find_set(name)?.is_none() {
            let id = allocate(
                self.next_set,
                self.connection,
                "SELECT coalesce(max(id), 0) FROM sets",
            )?;
            let new = KnownSet {
                id,
                size: 0,
                head: Head::Gone,
                stored_head: None,
                is_changed: false,
            };
            self.space.sets.insert(name.to_owned(), new);
        }
        let known = self
            .space
            .sets
            .get_mut(name)
            .expect("it was found or inserted just now");
        if !known.is_changed {
            known.is_changed = true;
            self.space.changed_sets.push(name.to_owned());
        }
        Ok(known)
    }

    /// The score of the first member of a set that has members.
    pub(super) fn head(&mut self, name: &str) -> Result<Option<Score>> {
        let Some(known) = self.find_set(name)?.filter(|known| known.size > 0) else {
            return Ok(None);
        };
        let head = known.head(self.connection)?;
        if let Some(known) = self.space.sets.get_mut(name) {
            known.head = Head::At(head);
        }
        Ok(Some(head))
    }

    /// Where a member stands.
    pub(super) fn score(&mut self, set: &str, member: &str) -> Result<Option<Score>> {
        match self.find_set(set)? {
            Some(known) if known.size > 0 => self.score_in(known.id, member),
            Some(_) | None => Ok(None),
        }
    }

    fn score_in(&self, set_id: i64, member: &str) -> Result<Option<Score>> {
        let mut find = self.prepare("SELECT score FROM members WHERE set_id = ?1 AND member = ?2")?;
        find.query_row(params![set_id, member], |row| Ok(score(row.get(0)?)))
            .optional()
    }

    /// Puts a member at a score, or takes it out of the set.
    pub(super) fn place(&mut self, set: &str, member: &str, score: Option<Score>) -> Result<()> {
        let old = self.score(set, member)?;
        if old == score {
            return Ok(());
        }
        let known = self.set(set)?;
        known.leave(old);
        known.enter(score);
        let id = known.id;
        match (old, score.map(|score| score.get().cast_signed())) {
            (None, Some(new)) => {
                let mut insert =
                    self.prepare("INSERT INTO members (set_id, member, score) VALUES (?1, ?2, ?3)")?;
                insert.execute(params![id, member, new])?;
            }
            (Some(_), Some(new)) => {
                let mut update =
                    self.prepare("UPDATE members SET score = ?3 WHERE set_id = ?1 AND member = ?2")?;
                update.execute(params![id, member, new])?;
            }
            (_, None) => {
                let mut delete = self.prepare("DELETE FROM members WHERE set_id = ?1 AND member = ?2")?;
                delete.execute(params![id, member])?;
            }
        }
        Ok(())
    }
}

impl KnownSet {
    fn leave(&mut self, old: Option<Score>) {
        let Some(old) = old else { return };
        self.size -= 1;
        if matches!(self.head, Head::At(head) if head == old) {
            self.head = Head::Gone;
        }
    }

    fn enter(&mut self, new: Option<Score>) {
        let Some(new) = new else { return };
        self.size += 1;
        self.head = match self.head {
            _ if self.size == 1 => Head::At(new),
            Head::At(head) => Head::At(head.min(new)),
            Head::Gone => Head::Gone,
        };
    }

    fn head(&self, connection: &Connection) -> Result<Score> {
        match self.head {
            Head::At(score) => Ok(score),
            Head::Gone => connection
                .prepare_cached(FIRST_SCORE)?
                .query_row([self.id], |row| Ok(score(row.get(0)?))),
        }
    }
}

impl SpaceNames {
    /// Brings the row of a set up to date. A set without members has none.
    pub(super) fn flush_set(&mut self, connection: &Connection, name: &str) -> Result<()> {
        let Some(known) = self.sets.get_mut(name) else {
            return Ok(());
        };
        known.is_changed = false;
        if known.size == 0 {
            if known.stored_head.is_some() {
                connection
                    .prepare_cached("DELETE FROM sets WHERE id = ?1")?
                    .execute([known.id])?;
            }
            self.sets.remove(name);
            return Ok(());
        }
        let head = known.head(connection)?;
        known.head = Head::At(head);
        let (id, size, new_head) = (known.id, known.size.cast_signed(), head.get().cast_signed());
        match known.stored_head.replace(head) {
            // The index of heads stays untouched.
            Some(stored) if stored == head => {
                connection
                    .prepare_cached("UPDATE sets SET size = ?2 WHERE id = ?1")?
                    .execute(params![id, size])?;
            }
            Some(_) => {
                let mut update =
                    connection.prepare_cached("UPDATE sets SET size = ?2, head = ?3 WHERE id = ?1")?;
                update.execute(params![id, size, new_head])?;
            }
            None => {
                let family = name.split_once('/').map(|(family, _)| family);
                let sql =
                    "INSERT INTO sets (id, space, name, family, size, head) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
                connection
                    .prepare_cached(sql)?
                    .execute(params![id, self.id, name, family, size, new_head])?;
            }
        }
        Ok(())
    }
}

/// A score as the database keeps it.
pub(super) fn score(value: i64) -> Score {
    Score::saturating(value.cast_unsigned())
}
