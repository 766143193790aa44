//! When what strikes whom: a plan from a seed, made before anything runs.
//!
//! A deck has every kind of strike once and is dealt again and again in another order, so that even a short campaign has
//! all of them. Some strikes begin while another one lasts, never at the same target.

use std::fmt;
use std::time::Duration;

use crate::dice::Dice;

/// How often a strike begins while another lasts, in percent.
const OVERLAPS: u64 = 30;
/// The pause after a strike.
const GAP: (Duration, Duration) = (Duration::from_millis(800), Duration::from_millis(2_000));
/// The long pause of the nexus.
const LONG_PAUSE: Duration = Duration::from_secs(60);
/// Where a coordinator is killed between what it committed and the word of it.
const POINTS: [&str; 4] = [
    "coordinator::claimed",
    "ledger::taken",
    "coordinator::submitted",
    "coordinator::finished",
];
/// By how many milliseconds a clock is off.
const CLOCK_OFF_MS: i64 = 7_000;

/// One kind of strike with its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strike {
    /// `kill -9` of a coordinator.
    KillCoordinator(usize),
    /// The same at a fail point: between a commit and the word of it.
    KillAtPoint(usize, &'static str),
    /// SIGSTOP of a coordinator for longer than a lease lives.
    StopCoordinator(usize),
    /// `kill -9` of all coordinators, for longer than a lease lives.
    KillAllCoordinators,
    /// All coordinators are restarted in order, one after the other.
    RollCoordinators,
    /// `kill -9` of an agent.
    KillAgent(String),
    /// SIGSTOP of an agent for longer than a lease lives.
    StopAgent(String),
    /// An agent reaches no coordinator for longer than a lease lives.
    CutAgent(String),
    /// SIGSTOP of Redis for longer than a lease lives.
    StopNexus,
    /// SIGSTOP of Redis for a minute.
    StopNexusLong,
    /// `kill -9` of Redis.
    KillNexus,
    /// The primary is killed, and the replica takes its place.
    PromoteReplica,
    /// A coordinator does not reach Redis.
    CutCoordinator(usize),
    /// No coordinator reaches Redis, for longer than a lease lives.
    CutAllCoordinators,
    /// A coordinator's connections to Redis are accepted, and that is all.
    HalfOpen(usize),
    /// Redis carries out what a coordinator asks, and the replies are lost.
    LoseReplies(usize),
    /// Everything between a coordinator and Redis takes longer.
    Delay(usize),
    /// Redis forgets the scripts.
    ForgetScripts,
    /// A coordinator's idea of the nexus's clock is off by so many milliseconds.
    ShiftClock(usize, i64),
}

/// A strike and its time.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its begin, from the begin of the campaign.
    pub at: Duration,
    /// How long it lasts until it is repaired.
    pub lasts: Duration,
    /// What it is.
    pub strike: Strike,
}

/// What there is to strike at.
#[derive(Clone, Debug)]
pub struct Field {
    /// How many coordinators.
    pub coordinators: usize,
    /// The names of the agents.
    pub agents: Vec<String>,
    /// Those of them that can be cut off.
    pub far: Vec<String>,
    /// How long leases live.
    pub lease_ttl: Duration,
    /// The rare and long strikes, too, where there is a replica for them.
    pub is_long: bool,
}

/// The strikes of a campaign of this length, in the order of their begin. All are over by its end, or nearly.
pub fn plan(seed: u64, length: Duration, field: &Field) -> Vec<Planned> {
    let mut dice = Dice::new(seed, u64::MAX);
    let mut planned: Vec<Planned> = Vec::new();
    let (mut next_at, mut deck, mut promoted) = (Duration::from_secs(2), Vec::new(), !field.is_long);
    loop {
        if deck.is_empty() {
            deck = self::deck(field, &mut dice, promoted);
            promoted = true;
        }
        let Some((strike, lasts)) = deck.pop() else { break };
        let overlapped = planned.last().filter(|last| {
            let alone = planned.len() < 2 || planned[planned.len() - 2].end() <= last.at;
            alone && dice.percent(OVERLAPS) && !last.strike.conflicts(&strike)
        });
        let at = match overlapped {
            Some(last) => last.at + last.lasts.mul_f64(0.5),
            None => next_at,
        };
        let one = Planned { at, lasts, strike };
        if one.end() > length {
            break;
        }
        next_at = next_at.max(one.end() + dice.between(GAP.0, GAP.1));
        planned.push(one);
    }
    planned
}

/// Every kind of strike once, at some target, in some order.
fn deck(field: &Field, dice: &mut Dice, promoted: bool) -> Vec<(Strike, Duration)> {
    let ttl = field.lease_ttl;
    let longer = ttl.mul_f64(1.3);
    let moment = |dice: &mut Dice| dice.between(Duration::from_millis(500), Duration::from_millis(2_500));
    let mut deck = vec![
        (Strike::KillCoordinator(one(field, dice)), moment(dice)),
        (
            Strike::KillAtPoint(one(field, dice), POINTS[0]),
            Duration::from_secs(3),
        ),
        (
            Strike::KillAtPoint(one(field, dice), POINTS[1 + dice.index(POINTS.len() - 1)]),
            Duration::from_secs(3),
        ),
        (Strike::StopCoordinator(one(field, dice)), longer),
        (Strike::KillAllCoordinators, longer),
        (Strike::RollCoordinators, Duration::from_secs(3)),
        (Strike::StopNexus, longer),
        (Strike::KillNexus, moment(dice)),
        (Strike::CutCoordinator(one(field, dice)), ttl),
        (Strike::CutAllCoordinators, longer),
        (Strike::HalfOpen(one(field, dice)), ttl),
        (Strike::LoseReplies(one(field, dice)), Duration::from_secs(3)),
        (Strike::Delay(one(field, dice)), ttl),
        (Strike::ForgetScripts, Duration::from_secs(1)),
        (
            Strike::ShiftClock(
                one(field, dice),
                if dice.percent(50) {
                    CLOCK_OFF_MS
                } else {
                    -CLOCK_OFF_MS
                },
            ),
            ttl,
        ),
    ];
    let agent = |dice: &mut Dice, names: &[String]| names.get(dice.index(names.len().max(1))).cloned();
    if let Some(name) = agent(dice, &field.agents) {
        deck.push((Strike::KillAgent(name), moment(dice)));
    }
    if let Some(name) = agent(dice, &field.agents) {
        deck.push((Strike::StopAgent(name), longer));
    }
    if let Some(name) = agent(dice, &field.far) {
        deck.push((Strike::CutAgent(name), ttl.mul_f64(1.5)));
    }
    if field.is_long {
        deck.push((Strike::StopNexusLong, LONG_PAUSE));
    }
    if !promoted {
        deck.push((Strike::PromoteReplica, Duration::from_secs(2)));
    }
    dice.shuffle(&mut deck);
    deck
}

fn one(field: &Field, dice: &mut Dice) -> usize {
    dice.index(field.coordinators)
}

impl Planned {
    /// When it is over.
    pub fn end(&self) -> Duration {
        self.at + self.lasts
    }
}

/// What a strike takes for itself.
#[derive(PartialEq, Eq)]
enum Scope<'a> {
    Coordinator(usize),
    Coordinators,
    Agent(&'a str),
    Nexus,
}

impl Strike {
    fn scope(&self) -> Scope<'_> {
        match self {
            Self::KillCoordinator(one)
            | Self::KillAtPoint(one, _)
            | Self::StopCoordinator(one)
            | Self::CutCoordinator(one)
            | Self::HalfOpen(one)
            | Self::LoseReplies(one)
            | Self::Delay(one)
            | Self::ShiftClock(one, _) => Scope::Coordinator(*one),
            Self::KillAllCoordinators | Self::RollCoordinators | Self::CutAllCoordinators => {
                Scope::Coordinators
            }
            Self::KillAgent(name) | Self::StopAgent(name) | Self::CutAgent(name) => Scope::Agent(name),
            Self::StopNexus
            | Self::StopNexusLong
            | Self::KillNexus
            | Self::PromoteReplica
            | Self::ForgetScripts => Scope::Nexus,
        }
    }

    /// Whether the two cannot happen at the same time.
    fn conflicts(&self, other: &Self) -> bool {
        match (self.scope(), other.scope()) {
            (Scope::Coordinator(_), Scope::Coordinators) | (Scope::Coordinators, Scope::Coordinator(_)) => {
                true
            }
            (mine, theirs) => mine == theirs,
        }
    }

    /// Its kind, for a table.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::KillCoordinator(_) => "kill -9 of a coordinator",
            Self::KillAtPoint(..) => "kill -9 of a coordinator between a commit and its word",
            Self::StopCoordinator(_) => "SIGSTOP of a coordinator beyond a TTL",
            Self::KillAllCoordinators => "all coordinators down beyond a TTL",
            Self::RollCoordinators => "rolling restart of all coordinators",
            Self::KillAgent(_) => "kill -9 of an agent",
            Self::StopAgent(_) => "SIGSTOP of an agent beyond a TTL",
            Self::CutAgent(_) => "partition of an agent from all coordinators",
            Self::StopNexus => "SIGSTOP of Redis beyond a TTL",
            Self::StopNexusLong => "SIGSTOP of Redis for 60 s",
            Self::KillNexus => "kill -9 and restart of Redis",
            Self::PromoteReplica => "promotion of the replica",
            Self::CutCoordinator(_) => "partition of a coordinator from Redis",
            Self::CutAllCoordinators => "partition of all coordinators from Redis",
            Self::HalfOpen(_) => "half-open connections of a coordinator to Redis",
            Self::LoseReplies(_) => "replies of Redis cut off after the request",
            Self::Delay(_) => "delay between a coordinator and Redis",
            Self::ForgetScripts => "SCRIPT FLUSH",
            Self::ShiftClock(..) => "a coordinator's clock off by 7 s",
        }
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>6.1} s, for {:>4.1} s: {:?}",
            self.at.as_secs_f64(),
            self.lasts.as_secs_f64(),
            self.strike
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn field(is_long: bool) -> Field {
        Field {
            coordinators: 3,
            agents: ["a", "b", "c"].map(str::to_owned).into(),
            far: vec!["a".to_owned()],
            lease_ttl: Duration::from_secs(6),
            is_long,
        }
    }

    #[test]
    fn a_plan_is_its_seed() {
        let plan = |seed| format!("{:?}", plan(seed, Duration::from_secs(120), &field(true)));
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }

    #[test]
    fn two_at_once_are_at_different_targets_and_three_never() {
        for seed in 0..200 {
            let planned = plan(seed, Duration::from_secs(600), &field(true));
            for (nth, one) in planned.iter().enumerate() {
                let others = planned[..nth].iter().filter(|other| other.end() > one.at);
                let others: Vec<&Planned> = others.collect();
                assert!(others.len() <= 1, "seed {seed}: {one} with {others:?}");
                for other in others {
                    assert!(
                        !other.strike.conflicts(&one.strike),
                        "seed {seed}: {one} with {other}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_deck_has_every_kind() {
        let kinds = |is_long, seconds| -> BTreeSet<&str> {
            let planned = plan(1, Duration::from_secs(seconds), &field(is_long));
            planned.iter().map(|one| one.strike.kind()).collect()
        };
        assert_eq!(kinds(false, 400).len(), 17);
        assert_eq!(kinds(true, 600).len(), 19);
    }
}
