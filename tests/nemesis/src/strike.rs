//! The strikes themselves: what is done to which process or connection, for how long, and how it is repaired.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use servers::{Door, Flow, Proxy};

use crate::history::{Blow, Hit, Moment, Stretch, Target};
use crate::hive::{Coordinator, Hive};
use crate::schedule::{Planned, Strike};
use crate::wait::End;

/// How much longer everything takes that is delayed.
const DELAY: Duration = Duration::from_millis(150);
/// Time between two replies that are lost, and between two floods of forgotten scripts.
const AGAIN: Duration = Duration::from_millis(200);

/// Strikes, waits and repairs. What it was is returned for the checker.
///
/// # Errors
/// Something that should run does not, or does not start again.
pub fn carry_out(hive: &Hive, planned: &Planned) -> Result<Hit> {
    let from = Moment::now();
    let (target, blow) = strike(hive, planned).with_context(|| format!("strike: {planned}"))?;
    Ok(Hit {
        target,
        blow,
        stretch: Stretch {
            from,
            to: Moment::now(),
        },
    })
}

fn strike(hive: &Hive, planned: &Planned) -> Result<(Target, Blow)> {
    let Planned { lasts, strike, .. } = planned;
    match strike {
        Strike::KillCoordinator(number) => at_coordinator(hive, *number, Blow::Killed, |one| {
            one.kill()?;
            pause(*lasts);
            one.start("")
        }),
        Strike::KillAtPoint(number, point) => at_coordinator(hive, *number, Blow::Killed, |one| {
            restart_for(one, &format!("{point}=sleep(600000)"), *lasts)
        }),
        Strike::StopCoordinator(number) => at_coordinator(hive, *number, Blow::Stopped, |one| {
            one.signal(Signal::STOP)?;
            pause(*lasts);
            one.signal(Signal::CONT)
        }),
        Strike::CutCoordinator(number) => {
            at_coordinator(hive, *number, Blow::CutOff, |one| cut(&[&one.link], *lasts))
        }
        Strike::HalfOpen(number) => at_coordinator(hive, *number, Blow::CutOff, |one| {
            one.link.set_door(Door::HalfOpen)?;
            one.link.cut_all();
            pause(*lasts);
            one.link.heal()?;
            one.link.cut_all();
            Ok(())
        }),
        Strike::LoseReplies(number) => at_coordinator(hive, *number, Blow::Disturbed, |one| {
            again_and_again(*lasts, || {
                one.link.cut_after_next_request(b"EVALSHA");
                Ok(())
            })?;
            one.link.heal()
        }),
        Strike::Delay(number) => at_coordinator(hive, *number, Blow::Disturbed, |one| {
            one.link.set_both(Flow::Delay(DELAY));
            pause(*lasts);
            one.link.heal()
        }),
        Strike::ShiftClock(number, ms) => {
            let off = Blow::ClockOff(Duration::from_millis(ms.unsigned_abs()));
            at_coordinator(hive, *number, off, |one| {
                restart_for(one, &format!("ledger::clock=return({ms})"), *lasts)
            })
        }
        Strike::KillAllCoordinators | Strike::RollCoordinators | Strike::CutAllCoordinators => {
            at_all_coordinators(hive, strike, *lasts)
        }
        Strike::KillAgent(name) | Strike::StopAgent(name) | Strike::CutAgent(name) => {
            at_agent(hive, strike, name, *lasts)
        }
        Strike::StopNexus
        | Strike::StopNexusLong
        | Strike::KillNexus
        | Strike::PromoteReplica
        | Strike::ForgetScripts => at_nexus(hive, strike, *lasts),
    }
}

fn at_coordinator(
    hive: &Hive,
    number: usize,
    blow: Blow,
    strike: impl FnOnce(&Coordinator) -> Result<()>,
) -> Result<(Target, Blow)> {
    strike(
        hive.coordinators
            .get(number)
            .context("there is such a coordinator")?,
    )?;
    Ok((Target::Coordinator(number), blow))
}

/// Lets a coordinator live for a while with these fail points, and kills it then.
fn restart_for(one: &Coordinator, breaks: &str, lasts: Duration) -> Result<()> {
    one.kill()?;
    one.start(breaks)?;
    pause(lasts);
    one.kill()?;
    one.start("")
}

fn at_all_coordinators(hive: &Hive, strike: &Strike, lasts: Duration) -> Result<(Target, Blow)> {
    let all = &hive.coordinators;
    let blow = match strike {
        Strike::CutAllCoordinators => {
            let links: Vec<&Proxy> = all.iter().map(|one| &one.link).collect();
            cut(&links, lasts)?;
            Blow::CutOff
        }
        Strike::RollCoordinators => {
            for one in all {
                one.stop()?;
                one.start("")?;
                hive.until_one_is_ready(one.number)?;
            }
            Blow::Disturbed
        }
        _ => {
            for one in all {
                one.kill()?;
            }
            pause(lasts);
            for one in all {
                one.start("")?;
            }
            Blow::Killed
        }
    };
    Ok((Target::Coordinators, blow))
}

fn at_agent(hive: &Hive, strike: &Strike, name: &str, lasts: Duration) -> Result<(Target, Blow)> {
    let agent = hive.agent(name)?;
    let blow = match strike {
        Strike::StopAgent(_) => {
            agent.signal(Signal::STOP)?;
            pause(lasts);
            agent.signal(Signal::CONT)?;
            Blow::Stopped
        }
        Strike::CutAgent(_) => {
            let links: Vec<&Proxy> = agent.links.iter().collect();
            cut(&links, lasts)?;
            Blow::CutOff
        }
        _ => {
            agent.kill()?;
            pause(lasts);
            agent.start()?;
            Blow::Killed
        }
    };
    Ok((Target::Agent(name.to_owned()), blow))
}

fn at_nexus(hive: &Hive, strike: &Strike, lasts: Duration) -> Result<(Target, Blow)> {
    let redis = hive.nexus();
    let blow = match strike {
        Strike::KillNexus => {
            redis.kill9()?;
            pause(lasts);
            redis.restart()?;
            Blow::Killed
        }
        Strike::PromoteReplica => {
            hive.promote()?;
            Blow::Killed
        }
        Strike::ForgetScripts => {
            again_and_again(lasts, || redis.command(&["SCRIPT", "FLUSH"]).map(drop))?;
            Blow::Disturbed
        }
        _ => {
            redis.pause()?;
            pause(lasts);
            redis.resume()?;
            Blow::Stopped
        }
    };
    Ok((Target::Nexus, blow))
}

/// Nothing passes for so long. Connections that lost something break then.
fn cut(links: &[&Proxy], lasts: Duration) -> Result<()> {
    for link in links {
        link.set_both(Flow::Drop);
    }
    pause(lasts);
    for link in links {
        link.heal()?;
    }
    Ok(())
}

fn again_and_again(lasts: Duration, mut act: impl FnMut() -> Result<()>) -> Result<()> {
    let began_at = Moment::now();
    while Moment::now().since(began_at) < lasts {
        act()?;
        pause(AGAIN);
    }
    Ok(())
}

/// A strike lasts for its time, whatever happens.
fn pause(span: Duration) {
    End::default().pause(span);
}
