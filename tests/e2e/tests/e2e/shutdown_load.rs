//! Load on a system while it is told to end: submits that go on, and everybody who holds a connection open.
//!
//! The jobs require what only real agents have, so the agent that is played here waits for work for ever. Whoever is
//! cut off says so instead of failing; what that means is for the test to judge.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use domain::{AgentId, Digest, JobId, JobSpec, Resources};
use hiveforge_tests_e2e::{Api, System, eventually, script};
use protocol::agents::AgentInfo;
use protocol::client::Options;
use protocol::leases::{ClaimReply, ClaimRequest};

/// Clients that submit one job after the other.
const SUBMITTERS: usize = 2;
/// The pause between two submits of a client, so that the agents can keep up.
const SUBMIT_PAUSE: Duration = Duration::from_millis(50);
/// Jobs that have been acknowledged when the load counts as begun.
const ACKNOWLEDGED_MIN: usize = 10;
/// A slow upload: it begins with enough to be written to the disk, and goes on a little at a time, for half a minute.
const UPLOAD_BYTES: usize = 1_300_000;
const UPLOAD_BEGIN: usize = 1_000_000;
const UPLOAD_STEP: usize = 1_000;
const UPLOAD_PAUSE: Duration = Duration::from_millis(100);
/// How long the claim waits unless it is answered before.
const CLAIM_WAIT: Duration = Duration::from_secs(30);

/// Clients that do not stop.
pub(crate) struct Load {
    over: Arc<AtomicBool>,
    submitters: Vec<JoinHandle<Vec<JobId>>>,
    claim: JoinHandle<Result<Instant>>,
    follow: JoinHandle<usize>,
    upload: JoinHandle<Result<()>>,
    idle: Vec<TcpStream>,
}

/// What the clients have to say.
pub(crate) struct Told {
    /// Jobs whose submit was acknowledged.
    pub(crate) acknowledged: Vec<JobId>,
    /// When the claim was answered, with no lease. A coordinator that is killed, or in a hurry, answers nothing.
    pub(crate) claim_answered_at: Option<Instant>,
}

/// A job for the real agents.
pub(crate) fn for_agents(spec: JobSpec) -> Result<JobSpec> {
    Ok(JobSpec {
        requires: vec!["executor = process".parse()?],
        ..spec
    })
}

/// A job that writes without a pause until there is a file `go` in the system's directory.
pub(crate) fn chatty(system: &System) -> Result<JobSpec> {
    let go = system.directory().join("go");
    for_agents(script(
        "chatty",
        &format!(
            "while [ ! -e {} ]; do echo still; sleep 0.02; done; echo done",
            go.display()
        ),
    ))
}

/// Lets the chatty job come to its end.
pub(crate) fn go(system: &System) -> Result<()> {
    Ok(std::fs::write(system.directory().join("go"), "")?)
}

/// What is uploaded slowly.
pub(crate) fn upload_content() -> Vec<u8> {
    (0..UPLOAD_BYTES).map(|n| (n % 251) as u8).collect()
}

impl Load {
    /// Begins, and returns when all clients are at work. `spec` is submitted again and again, `followed` runs.
    pub(crate) fn start(system: &System, spec: &JobSpec, followed: &JobId) -> Result<Self> {
        let address: SocketAddr = system.url().trim_start_matches("http://").parse()?;
        let token = std::fs::read_to_string(system.data().join("admin.token"))?;
        let token = token.trim();
        let over = Arc::new(AtomicBool::new(false));
        let n_acknowledged = Arc::new(AtomicUsize::new(0));
        let submitters = (0..SUBMITTERS).map(|_| {
            let (api, spec) = (Api::new(&system.url(), token)?, spec.clone());
            let (over, n) = (Arc::clone(&over), Arc::clone(&n_acknowledged));
            Ok(thread::spawn(move || submit_until(&api, &spec, &over, &n)))
        });
        let submitters = submitters.collect::<Result<_>>()?;
        let n_followed = Arc::new(AtomicUsize::new(0));
        let load = Self {
            submitters,
            claim: {
                let api = Api::new(&system.url(), token)?;
                thread::spawn(move || claim(&api))
            },
            follow: {
                let (api, job, n) = (
                    Api::new(&system.url(), token)?,
                    followed.clone(),
                    Arc::clone(&n_followed),
                );
                thread::spawn(move || follow(&api, &job, &n))
            },
            upload: {
                let (token, over) = (token.to_owned(), Arc::clone(&over));
                thread::spawn(move || upload(address, &token, &over))
            },
            idle: vec![TcpStream::connect(address)?, served_once(address)?],
            over,
        };
        eventually("all clients are at work", || {
            let busy = n_acknowledged.load(Ordering::Relaxed) >= ACKNOWLEDGED_MIN
                && n_followed.load(Ordering::Relaxed) > 0
                && system
                    .api()
                    .agents()?
                    .iter()
                    .any(|agent| agent.name.as_str() == "waits")
                && partly_uploaded(system)?;
            Ok(busy.then_some(()))
        })?;
        Ok(load)
    }

    /// Ends the load and says what became of it. The role that has the coordinator in it must have ended meanwhile.
    pub(crate) fn end(self) -> Result<Told> {
        self.over.store(true, Ordering::Relaxed);
        let mut acknowledged = Vec::new();
        for submitter in self.submitters {
            acknowledged.extend(submitter.join().ok().context("a submitter panicked")?);
        }
        let claim_answered_at = self.claim.join().ok().context("the claim panicked")?;
        // Both are broken off one way or another; how long that took is for the process's end to show.
        let n_followed = self.follow.join().ok().context("the follower panicked")?;
        ensure!(n_followed > 0, "nothing was followed");
        self.upload.join().ok().context("the upload panicked")??;
        for mut stream in self.idle {
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            ensure!(
                matches!(stream.read(&mut [0]), Ok(0)),
                "an idle connection was not closed"
            );
        }
        Ok(Told {
            acknowledged,
            claim_answered_at: claim_answered_at.ok(),
        })
    }
}

/// Submits one job after the other. What is not acknowledged may exist all the same.
#[expect(clippy::disallowed_methods, reason = "a load has a rate")]
fn submit_until(api: &Api, spec: &JobSpec, over: &AtomicBool, n: &AtomicUsize) -> Vec<JobId> {
    let mut acknowledged = Vec::new();
    while !over.load(Ordering::Relaxed) {
        match api.submit(spec) {
            Ok(id) => acknowledged.push(id),
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
        n.fetch_max(acknowledged.len(), Ordering::Relaxed);
        thread::sleep(SUBMIT_PAUSE);
    }
    acknowledged
}

/// Waits for work that never comes, and returns when that was said.
fn claim(api: &Api) -> Result<Instant> {
    let id: AgentId = "01k2b3c4d5e6f7g8h9j0000001".parse()?;
    let capacity = Resources {
        cpu_millis: 1_000,
        memory_bytes: 1 << 30,
    };
    let enrol = AgentInfo {
        id: id.clone(),
        name: "waits".parse()?,
        fingerprint: Digest::of(b"waits"),
        labels: [].into(),
        capacity,
        slots: 1,
        executor: "none".to_owned(),
        version: "0".to_owned(),
    };
    let request = ClaimRequest {
        agent: id,
        slots: 1,
        ahead: None,
        free: capacity,
        held: Vec::new(),
        wait_ms: u64::try_from(CLAIM_WAIT.as_millis())?,
        enrol: Some(Box::new(enrol)),
    };
    let options = Options::default().timeout(2 * CLAIM_WAIT);
    let reply: ClaimReply = api.post("/v1/claims", &serde_json::to_string(&request)?, options)?;
    let answered_at = Instant::now();
    ensure!(reply.leases.is_empty(), "{reply:?}");
    Ok(answered_at)
}

/// Follows a log until it breaks off, and returns how many pieces came.
fn follow(api: &Api, job: &JobId, n: &AtomicUsize) -> usize {
    let followed = api.follow(job, 1, |_, _| {
        n.fetch_add(1, Ordering::Relaxed);
    });
    match followed {
        Ok(()) | Err(_) => n.load(Ordering::Relaxed),
    }
}

/// Uploads a little at a time until nobody reads it any more.
#[expect(clippy::disallowed_methods, reason = "being slow is what this client is for")]
fn upload(address: SocketAddr, token: &str, over: &AtomicBool) -> Result<()> {
    let content = upload_content();
    let digest = Digest::of(&content);
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "PUT /v1/blobs/{digest} HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n",
        content.len()
    )?;
    let (begin, rest) = content.split_at(UPLOAD_BEGIN);
    stream.write_all(begin)?;
    for step in rest.chunks(UPLOAD_STEP) {
        if stream.write_all(step).is_err() || over.load(Ordering::Relaxed) {
            return Ok(());
        }
        thread::sleep(UPLOAD_PAUSE);
    }
    anyhow::bail!("the slow upload came to its end")
}

fn partly_uploaded(system: &System) -> Result<bool> {
    for entry in std::fs::read_dir(system.data().join("vault/tmp"))? {
        if entry?.metadata()?.len() > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A connection that had a request and may have another one.
fn served_once(address: SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET /livez HTTP/1.1\r\nhost: here\r\n\r\n")?;
    let mut reply = Vec::new();
    while !reply.ends_with(b"alive\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        reply.extend(byte);
    }
    Ok(stream)
}
