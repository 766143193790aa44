//! Taking: a merge of the first members of several sets, of which no more is read than is taken (and one page).
//!
//! A set enters the merge with the score of its first member, which the writer mostly knows by heart; only when that
//! score comes up is the set read. So a demand over a hundred lanes of which one is served reads one lane.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use rusqlite::{Result, params};

use super::apply::record;
use super::names::InSpace;
use super::sets::score;
use crate::{Demand, Member, Score, Taken};

pub(super) const FIRST_MEMBERS: &str =
    "SELECT score, member FROM members WHERE set_id = ?1 ORDER BY score, member LIMIT ?2";

/// Members read ahead from one set.
const PAGE: usize = 32;

/// What competes in the merge. Without a member: the set has not been read, and its first member has this score.
type Candidate = Reverse<(Score, Option<Member>, usize)>;

/// Serves one demand.
pub(super) fn serve(space: &mut InSpace<'_>, demand: &Demand) -> Result<Vec<Taken>> {
    let mut sets: Vec<&String> = demand.sets.iter().collect();
    sets.sort_unstable();
    let mut pages: Vec<VecDeque<(Score, Member)>> = vec![VecDeque::new(); sets.len()];
    let mut heap: BinaryHeap<Candidate> = BinaryHeap::new();
    for (index, set) in sets.iter().enumerate() {
        heap.extend(space.head(set)?.map(|head| Reverse((head, None, index))));
    }
    let mut served = Vec::new();
    while served.len() < demand.n {
        let Some(Reverse((score, member, index))) = heap.pop() else {
            break;
        };
        if score > demand.up_to {
            break;
        }
        let set = sets[index];
        if let Some(member) = member {
            served.push(hold(space, demand, (set, score, member))?);
        }
        if pages[index].is_empty() && served.len() < demand.n {
            pages[index] = first_members(space, set, PAGE.min(demand.n - served.len()))?;
        }
        heap.extend(
            pages[index]
                .pop_front()
                .map(|(score, member)| Reverse((score, Some(member), index))),
        );
    }
    Ok(served)
}

/// The page is read from the beginning each time, for what was taken has left the set.
fn first_members(space: &mut InSpace<'_>, set: &str, n: usize) -> Result<VecDeque<(Score, Member)>> {
    let Some(known) = space.find_set(set)?.filter(|known| known.size > 0) else {
        return Ok(VecDeque::new());
    };
    let mut find = space.prepare(FIRST_MEMBERS)?;
    find.query_map(params![known.id, n as i64], |row| {
        Ok((score(row.get(0)?), row.get(1)?))
    })?
    .collect()
}

fn hold(
    space: &mut InSpace<'_>,
    demand: &Demand,
    (set, score, member): (&str, Score, Member),
) -> Result<Taken> {
    space.place(set, &member, None)?;
    space.place(&demand.hold.set, &member, Some(demand.hold.until))?;
    let fetch = |prefix: &String| record(space.connection, space.space.id, &format!("{prefix}{member}"));
    let records = demand.with.iter().map(fetch).collect::<Result<_>>()?;
    Ok(Taken {
        set: set.to_owned(),
        member,
        score,
        records,
    })
}
