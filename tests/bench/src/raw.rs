//! The raw limit of this Redis: the writes of a job's life, in four scripts that do nothing else, sent without waiting.
//!
//! Submit, take, claim and finish write what the same steps of HiveForge write, in values of about the same size, for as
//! many jobs in one script as HiveForge has in one request. Nothing is decided, read or checked, and Redis never waits for
//! its callers. Two ways to make the same writes: a command for each, or as few commands as they fit into, which is the
//! limit for whatever writes as much to this Redis.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::store::{Appending, Store};

const SCRIPT: &str = include_str!("raw/write.lua");
/// Connections that send at the same time, so that Redis always has something to do.
const CONNECTIONS: usize = 4;
/// Lives of a batch that one connection sends before it reads the answers.
const DEPTH: usize = 4;
/// Jobs before the measurement.
const WARM_UP: usize = 2_000;
/// Bytes of what HiveForge keeps of a job.
const SPEC_BYTES: usize = 60;
const RECORD_BYTES: usize = 350;
const ENTRY_BYTES: usize = 250;
const POSITION_BYTES: usize = 8;

/// How the writes of a script are made.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// A command for each.
    OneByOne,
    /// One command for all of a kind.
    Together,
}

/// One write of a step.
#[derive(Clone, Copy)]
enum Write {
    /// A record of the job's, of so many bytes.
    Set(&'static str, usize),
    /// An entry of so many bytes at the end of a list that all jobs share.
    Push(&'static str, usize),
    /// A field of the job's in a hash that all jobs share, of so many bytes.
    Field(&'static str, usize),
    /// Into an ordered set.
    Add(&'static str),
    /// Out of it.
    Remove(&'static str),
}

/// The steps of a life with the writes of each, as `ledger` makes them.
const STEPS: [&[Write]; 4] = [
    &[
        Write::Set("spec", SPEC_BYTES),
        Write::Set("job", RECORD_BYTES),
        Write::Add("jobs"),
        Write::Add("lane"),
        Write::Push("journal", ENTRY_BYTES),
        Write::Field("threads", POSITION_BYTES),
    ],
    &[Write::Remove("lane"), Write::Add("held")],
    &[
        Write::Set("job", RECORD_BYTES),
        Write::Remove("held"),
        Write::Add("leases"),
        Write::Push("journal", ENTRY_BYTES),
        Write::Field("threads", POSITION_BYTES),
    ],
    &[
        Write::Set("job", RECORD_BYTES),
        Write::Remove("leases"),
        Write::Push("journal", ENTRY_BYTES),
        Write::Field("threads", POSITION_BYTES),
    ],
];

/// What the raw limit is.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    /// Jobs a second.
    pub(crate) rate: f64,
    /// Microseconds of Redis for a job.
    pub(crate) cpu_us: f64,
    /// Commands that write, for a job.
    pub(crate) writes: f64,
}

/// What a connection sends.
#[derive(Clone, Copy)]
struct Plan<'a> {
    address: SocketAddr,
    /// The script's.
    digest: &'a str,
    way: Way,
    batch: usize,
}

/// Measures it on a Redis of its own, with so many jobs in one script.
pub(crate) fn measure(
    appending: Appending,
    way: Way,
    (batch, jobs): (usize, usize),
) -> anyhow::Result<Limit> {
    let store = Store::start(appending)?;
    let digest = store.load(SCRIPT)?;
    let plan = Plan {
        address: store.address(),
        digest: &digest,
        way,
        batch,
    };
    live(plan, 0..WARM_UP)?;
    let (before, began_at) = (store.work()?, Instant::now());
    live(plan, WARM_UP..WARM_UP + jobs)?;
    let wall = began_at.elapsed();
    let work = store.work()?.each_since(&before, jobs);
    Ok(Limit {
        rate: jobs as f64 / wall.as_secs_f64(),
        cpu_us: work.cpu_us,
        writes: work.writes,
    })
}

/// Has jobs live, over several connections.
fn live(plan: Plan<'_>, jobs: Range<usize>) -> anyhow::Result<()> {
    let next = AtomicUsize::new(jobs.start);
    thread::scope(|scope| {
        let connections: Vec<_> = (0..CONNECTIONS)
            .map(|_| scope.spawn(|| live_one(plan, &next, jobs.end)))
            .collect();
        for connection in connections {
            let ended = connection.join();
            ended.map_err(|_| anyhow::anyhow!("a connection panicked"))??;
        }
        Ok(())
    })
}

fn live_one(plan: Plan<'_>, next: &AtomicUsize, end: usize) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(plan.address)?;
    stream.set_nodelay(true)?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let (mut bytes, mut line) = (Vec::new(), String::new());
    loop {
        bytes.clear();
        let mut scripts = 0;
        for _ in 0..DEPTH {
            let first = next.fetch_add(plan.batch, Ordering::Relaxed);
            let jobs = first.min(end)..(first + plan.batch).min(end);
            if !jobs.is_empty() {
                for step in STEPS {
                    script(&mut bytes, plan, step, jobs.clone())?;
                    scripts += 1;
                }
            }
        }
        if scripts == 0 {
            return Ok(());
        }
        stream.write_all(&bytes)?;
        for _ in 0..scripts {
            line.clear();
            answers.read_line(&mut line).context("an answer of Redis")?;
            ensure!(line == ":1\r\n", "Redis answers a script with {line:?}");
        }
    }
}

/// Adds the call of a script that does one step of each of these jobs.
fn script(bytes: &mut Vec<u8>, plan: Plan<'_>, step: &[Write], jobs: Range<usize>) -> anyhow::Result<()> {
    let commands: Vec<Vec<Vec<u8>>> = match plan.way {
        Way::OneByOne => jobs
            .flat_map(|job| step.iter().map(move |write| command(*write, job..job + 1)))
            .collect(),
        Way::Together => step.iter().map(|write| command(*write, jobs.clone())).collect(),
    };
    let n_words: usize = commands.iter().map(|words| words.len() + 1).sum();
    write!(bytes, "*{}\r\n", 3 + n_words)?;
    let mut add = |word: &[u8]| {
        write!(bytes, "${}\r\n", word.len())?;
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
        anyhow::Ok(())
    };
    add(b"EVALSHA")?;
    add(plan.digest.as_bytes())?;
    add(b"0")?;
    for words in commands {
        let (name, arguments) = words.split_first().context("a command has a name")?;
        add(name)?;
        add(arguments.len().to_string().as_bytes())?;
        for argument in arguments {
            add(argument)?;
        }
    }
    Ok(())
}

/// One command that makes this write for each of the jobs.
fn command(write: Write, jobs: Range<usize>) -> Vec<Vec<u8>> {
    let shared = |command: &[u8], name: &str| vec![command.to_vec(), format!("raw:{name}").into_bytes()];
    let mut words = match write {
        Write::Set(..) => vec![b"MSET".to_vec()],
        Write::Push(name, _) => shared(b"RPUSH", name),
        Write::Field(name, _) => shared(b"HSET", name),
        Write::Add(name) => shared(b"ZADD", name),
        Write::Remove(name) => shared(b"ZREM", name),
    };
    words.extend(jobs.flat_map(|job| arguments(write, job)));
    words
}

/// What the command needs for one job.
fn arguments(write: Write, job: usize) -> Vec<Vec<u8>> {
    let ulid = format!("{job:026}");
    match write {
        Write::Set(name, length) => vec![format!("raw:{name}/{ulid}").into_bytes(), vec![b'x'; length]],
        Write::Push(_, length) => vec![vec![b'x'; length]],
        Write::Field(_, length) => vec![ulid.into_bytes(), vec![b'x'; length]],
        Write::Add(_) => vec![job.to_string().into_bytes(), ulid.into_bytes()],
        Write::Remove(_) => vec![ulid.into_bytes()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_life_makes_every_write_of_its_steps_and_nothing_else() {
        if !servers::redis_or_skip() {
            return;
        }
        let steps: usize = STEPS.iter().map(|step| step.len()).sum();
        for (way, expected) in [
            (Way::OneByOne, steps as f64),
            (Way::Together, steps as f64 / 10.0),
        ] {
            let limit = measure(Appending::No, way, (10, 1_000)).unwrap();
            assert!((limit.writes - expected).abs() < 1e-9, "{}", limit.writes);
            println!(
                "{:.0} jobs/s, {:.1} us of Redis for a job",
                limit.rate, limit.cpu_us
            );
        }
    }
}
