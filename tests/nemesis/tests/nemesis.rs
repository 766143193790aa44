//! The campaign: short and from a fixed seed in `make test`, as long as wanted in `make nemesis`.
//!
//! `HIVEFORGE_SEED` repeats a campaign, `HIVEFORGE_NEMESIS_SECONDS` says how long strikes fall. Strikes and work are the
//! seed's; how processes interleave is not.

use std::env;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hiveforge_tests_nemesis::campaign::{Campaign, lines};
use hiveforge_tests_nemesis::plan::{AgentPlan, Plan};

/// How long strikes fall when nobody says it.
const SHORT: Duration = Duration::from_secs(115);
/// The seed of the short campaign.
const SEED: u64 = 0x00c0_ffee;
/// How long leases live: more than any scheduler of a busy machine is late, and short enough to be outlived often.
const LEASE_TTL: Duration = Duration::from_secs(6);
/// A campaign that is longer than this has a replica to promote and the long pause.
const LONG: Duration = Duration::from_secs(300);

/// Three coordinators and six agents, two of which can be cut off.
fn plan(length: Duration) -> Plan {
    let agent = |nth: usize| AgentPlan {
        name: format!("agent-{nth}"),
        zone: if nth.is_multiple_of(2) { "north" } else { "south" }.to_owned(),
        slots: 2,
        is_far: nth < 2,
    };
    Plan {
        coordinators: 3,
        agents: (0..6).map(agent).collect(),
        lease_ttl: LEASE_TTL,
        mesh: true,
        replica: length > LONG,
        coordinators_break: String::new(),
        agents_break: String::new(),
    }
}

fn variable(name: &str) -> Option<u64> {
    let text = env::var(name).ok().filter(|text| !text.is_empty())?;
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    Some(parsed.unwrap_or_else(|_| panic!("{name} is `{text}`: write a whole number, e.g. 17 or 0x11")))
}

#[test]
fn a_hive_under_attack_keeps_its_promises() {
    if !servers::redis_or_skip() {
        return;
    }
    let seconds = variable("HIVEFORGE_NEMESIS_SECONDS");
    let length = seconds.map_or(SHORT, Duration::from_secs);
    // A long campaign is for finding something new.
    let any = || u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap();
    let seed = variable("HIVEFORGE_SEED").unwrap_or_else(|| if seconds.is_some() { any() } else { SEED });
    let campaign = Campaign {
        hive: plan(length),
        seed,
        length,
    };
    let report = campaign.run().unwrap();
    println!("{report}");
    assert!(
        report.violations.is_empty(),
        "seed {seed:#x}:\n{}",
        lines(&report.violations)
    );
}
