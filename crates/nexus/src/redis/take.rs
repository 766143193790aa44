//! Takes as `take.lua` wants them, and its answer.

use std::collections::HashSet;

use redis::{Cmd, Value};

use super::keys::{Keys, family};
use super::msgpack::Message;
use super::numbers::Numbers;
use super::reply::{Unexpected, list, name, record, score};
use super::script::TAKE;
use crate::{Demand, Taken};

/// The call that serves the demands.
pub(super) fn call(keys: &Keys, demands: &[Demand]) -> Cmd {
    let (mut sets, mut families) = (Numbers::default(), Numbers::default());
    for demand in demands {
        for set in demand.sets.iter().chain([&demand.hold.set]) {
            sets.number(set);
        }
    }
    let mut message = Message::default();
    message.list(4).list(sets.names.len());
    for set in &sets.names {
        let family = family(set).map_or(0, |family| families.number(family));
        message.list(2).text(set).index(family);
    }
    message
        .index(families.names.len())
        .flag(takes_from_holds(demands));
    message.list(demands.len());
    for demand in demands {
        message.list(6).list(demand.sets.len());
        for set in &demand.sets {
            message.index(sets.number(set));
        }
        message.index(demand.n).number(demand.up_to.get().cast_signed());
        message
            .index(sets.number(&demand.hold.set))
            .text(demand.hold.until.to_string());
        message.list(demand.with.len());
        for prefix in &demand.with {
            message.text(keys.record(prefix));
        }
    }
    let named: Vec<Vec<u8>> = sets
        .names
        .iter()
        .map(|set| keys.set(set))
        .chain(families.names.iter().map(|family| keys.heads(family)))
        .collect();
    let mut call = TAKE.call(&named);
    call.arg(message.into_bytes());
    call
}

/// Whether a demand takes from a set in which one of this call holds: then it must see what was put there.
fn takes_from_holds(demands: &[Demand]) -> bool {
    let holds: HashSet<&String> = demands.iter().map(|demand| &demand.hold.set).collect();
    demands
        .iter()
        .flat_map(|demand| &demand.sets)
        .any(|set| holds.contains(set))
}

/// The answers, one for each demand.
pub(super) fn answers(demands: &[Demand], reply: Value) -> Result<Vec<Vec<Taken>>, Unexpected> {
    let [served, records] = list(reply)?.try_into().map_err(|_| Unexpected)?;
    let mut records = list(records)?.into_iter();
    let mut answers = Vec::with_capacity(demands.len());
    for (demand, served) in demands.iter().zip(list(served)?) {
        let mut served = list(served)?.into_iter();
        let mut taken = Vec::with_capacity(served.len() / 3);
        while let Some(set) = served.next() {
            let (member, stood) = (served.next().ok_or(Unexpected)?, served.next().ok_or(Unexpected)?);
            let along = demand
                .with
                .iter()
                .map(|_| record(records.next().unwrap_or_default()));
            taken.push(Taken {
                set: name(set)?,
                member: name(member)?,
                score: score(&stood)?.ok_or(Unexpected)?,
                records: along.collect::<Result<_, _>>()?,
            });
        }
        answers.push(taken);
    }
    match answers.len() == demands.len() {
        true => Ok(answers),
        false => Err(Unexpected),
    }
}
