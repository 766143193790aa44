//! The jobs of a campaign: what they do, what they leave, and what they should end with.
//!
//! Every job says which attempt of which job it is, in its log and in a file of marks outside of the system's reach. The
//! marks have the time of this host's clock, read without starting a process.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use domain::{JobSpec, Timestamp};
use serde_json::json;

use crate::dice::Dice;
use crate::history::{Mark, Moment, Step};
use crate::hive::ZONE;

/// Time between two marks of a job that goes on for a while.
const BEAT: Duration = Duration::from_millis(200);
/// The exit code of programs that fail by themselves.
const OWN_FAILURE: i32 = 3;
/// The label of a spec that says with what its program exits when it is let.
pub const EXITS: &str = "exits";
/// The group of which only some may run.
const GROUP: &str = "narrow";
/// How many of the group may run.
const GROUP_LIMIT: u32 = 2;

/// Where the jobs leave their marks.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The directory.
    pub marks: PathBuf,
    /// The zones that agents are in.
    pub zones: Vec<String>,
}

/// What is to be decided of a job.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// For how many beats it goes on.
    pub beats: u64,
    /// With what it exits.
    pub exits: i32,
    /// How many of its attempts may be charged, and one more.
    pub retries: u32,
    /// The zone that it requires.
    pub zone: Option<String>,
    /// It waits for so long before it can be claimed.
    pub later: Option<Duration>,
    /// It is of the group.
    pub grouped: bool,
    /// -100 to 100.
    pub priority: i8,
}

impl Part {
    /// A job that lasts for about so long.
    pub fn lasting(span: Duration) -> Self {
        let beats = span.as_millis() / BEAT.as_millis();
        Self {
            beats: u64::try_from(beats).unwrap_or(u64::MAX),
            ..Self::default()
        }
    }
}

impl Stage {
    /// A part by chance.
    pub fn cast(&self, dice: &mut Dice) -> Part {
        let seconds = |dice: &mut Dice, least, most| {
            dice.between(Duration::from_secs(least), Duration::from_secs(most))
        };
        let mut part = match dice.below(100) {
            0..55 => Part::default(),
            55..63 => Part {
                exits: OWN_FAILURE,
                ..Part::default()
            },
            63..82 => Part::lasting(seconds(dice, 1, 3)),
            82..88 => Part::lasting(seconds(dice, 5, 8)),
            88..94 => Part {
                later: Some(seconds(dice, 1, 3)),
                ..Part::default()
            },
            _ => Part {
                grouped: true,
                ..Part::lasting(Duration::from_millis(600))
            },
        };
        part.retries = if dice.percent(50) { 2 } else { 0 };
        part.priority = if dice.percent(20) { 10 } else { 0 };
        if dice.percent(40) && !self.zones.is_empty() {
            part.zone = self.zones.get(dice.index(self.zones.len())).cloned();
        }
        part
    }

    /// The spec of a part, with this name.
    ///
    /// # Errors
    /// It is none.
    pub fn spec(&self, name: &str, part: &Part) -> Result<JobSpec> {
        let mut spec = json!({
            "name": name,
            "script": self.script(part),
            "max_attempts": 1 + part.retries,
            "priority": part.priority,
            "labels": {EXITS: part.exits.to_string()},
        });
        if let Some(zone) = &part.zone {
            spec["requires"] = json!([format!("{ZONE} = {zone}")]);
        }
        if part.grouped {
            spec["group"] = json!({"name": GROUP, "limit": GROUP_LIMIT});
        }
        let mut spec = JobSpec::from_json(&spec.to_string())?;
        if let Some(later) = part.later {
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
            spec.not_before = Some(Timestamp(u64::try_from((now + later).as_millis())?));
        }
        Ok(spec)
    }

    fn script(&self, part: &Part) -> String {
        let (marks, beats, exits) = (self.marks.display(), part.beats, part.exits);
        let pause = BEAT.as_secs_f64();
        format!(
            "mark() {{ read -r up rest </proc/uptime; echo \"$1 $HIVEFORGE_ATTEMPT $up\" >>{marks}/$HIVEFORGE_JOB_ID; }}\n\
             mark first; echo \"$HIVEFORGE_JOB_ID $HIVEFORGE_ATTEMPT\"; n=0\n\
             while [ $n -lt {beats} ]; do sleep {pause}; mark more; n=$((n+1)); done\n\
             mark last; exit {exits}"
        )
    }

    /// Everything that jobs have marked so far.
    ///
    /// # Errors
    /// A line is not as jobs write it.
    pub fn read(&self) -> Result<Vec<Mark>> {
        let mut marks = Vec::new();
        for file in std::fs::read_dir(&self.marks)? {
            let path = file?.path();
            let job = ulid(&path)?;
            for line in std::fs::read_to_string(&path)?.lines() {
                let read = mark(&job, line);
                marks.push(read.with_context(|| format!("{} has the line {line:?}", path.display()))?);
            }
        }
        Ok(marks)
    }
}

/// The files have the names of jobs: the pool, a hyphen and the ULID.
fn ulid(path: &Path) -> Result<String> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .context("a file has a name")?;
    let (_, ulid) = name.rsplit_once('-').context("a job's id has a hyphen")?;
    Ok(ulid.to_owned())
}

fn mark(job: &str, line: &str) -> Option<Mark> {
    let mut words = line.split_ascii_whitespace();
    let step = match words.next()? {
        "first" => Step::First,
        "more" => Step::More,
        "last" => Step::Last,
        _ => return None,
    };
    let attempt = words.next()?.parse().ok()?;
    let (seconds, centis) = words.next()?.split_once('.')?;
    let nanos = seconds.parse::<u64>().ok()? * 1_000_000_000 + centis.parse::<u64>().ok()? * 10_000_000;
    Some(Mark {
        job: job.to_owned(),
        attempt,
        step,
        at: Moment(nanos),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_has_the_clock_of_the_host() {
        let read = mark("01a", "first 2 12345.67").unwrap();
        assert_eq!((read.attempt, read.step), (2, Step::First));
        assert_eq!(read.at, Moment(12_345_670_000_000));
        assert_eq!(mark("01a", "first 2"), None);
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let now = mark("01a", &format!("more 1 {uptime}")).unwrap().at;
        assert!(Moment::now().since(now) < Duration::from_secs(1), "{now:?}");
    }

    #[test]
    fn every_part_is_a_spec() {
        let stage = Stage {
            marks: "/marks".into(),
            zones: vec!["north".to_owned()],
        };
        let mut dice = Dice::new(1, 2);
        for n in 0..200 {
            let part = stage.cast(&mut dice);
            let spec = stage.spec(&format!("job-{n}"), &part).unwrap();
            assert_eq!(spec.max_attempts, 1 + part.retries);
        }
    }
}
