//! A coordinator and an agent of the shipped binary, as processes of their own, with their files on a real disk.
//!
//! Everything is asked through the public API, with the token that the coordinator made. Dropping a process kills it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use domain::JobId;
use protocol::client::{Client, Options, read_bytes};
use protocol::jobs::{BatchItem, BatchSubmit, BatchSubmitted};
use protocol::limits::BATCH_JOBS_MAX;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::value::RawValue;
use tempfile::TempDir;

use crate::usage::Cpu;

/// Jobs that run at once; the floor has as many threads.
pub(crate) const SLOTS: usize = 2;
/// The smallest spec of the command that is measured.
pub(crate) const SPEC: &str = r#"{"command":["/bin/true"]}"#;
/// How long a process may take to start, or to stop.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long jobs may be at a stand before the benchmark gives up.
const STALL_MAX: Duration = Duration::from_secs(30);
/// Time between two looks at something that says nothing by itself.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What to start, and where.
pub(crate) struct Setup {
    /// The binary.
    pub(crate) program: PathBuf,
    /// Beneath it each system gets a directory. On a disk, or durability would cost nothing.
    pub(crate) directory: PathBuf,
}

/// A coordinator with its own directory, which is removed at the end.
pub(crate) struct Coordinator {
    process: Process,
    directory: TempDir,
    url: String,
    client: Client,
}

impl Coordinator {
    /// Starts one with an empty database.
    pub(crate) async fn start(setup: &Setup) -> anyhow::Result<Self> {
        fs::create_dir_all(&setup.directory)?;
        let directory = TempDir::with_prefix_in("bench-", &setup.directory)?;
        let nexus = format!("sqlite:{}", directory.path().join("nexus.db").display());
        let process = Process::coordinator(setup, directory.path(), &nexus, 0)?;
        let url = format!("http://{}", process.address().await?);
        let token = fs::read_to_string(directory.path().join("admin.token"))?;
        let client = Client::new([url.clone()], token.trim())?;
        process.ready(&client).await?;
        Ok(Self {
            process,
            directory,
            url,
            client,
        })
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// A client that may do what agents do.
    pub(crate) fn agent_client(&self) -> anyhow::Result<Client> {
        let token = fs::read_to_string(self.join_token())?;
        Ok(Client::new([self.url.clone()], token.trim())?)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// What it has used itself; it has no children.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        Ok(Cpu::of(self.pid())?.own)
    }

    /// The database; `-wal` behind the name is its write-ahead log.
    pub(crate) fn database(&self) -> PathBuf {
        self.directory.path().join("nexus.db")
    }

    fn join_token(&self) -> PathBuf {
        self.directory.path().join("join.token")
    }

    /// Starts an agent of this coordinator.
    pub(crate) fn start_agent(&self, setup: &Setup) -> anyhow::Result<Process> {
        let token = self.join_token().display().to_string();
        let slots = SLOTS.to_string();
        Process::start(
            &setup.program,
            &self.directory.path().join("agent-data"),
            0,
            [
                "agent",
                "--name",
                "bench",
                "--slots",
                &slots,
                "--coordinator",
                &self.url,
                "--join-token-file",
                &token,
            ],
        )
    }

    /// Queues jobs in the largest batches that there are. Each is durable when this returns.
    pub(crate) async fn submit(&self, jobs: usize) -> anyhow::Result<Vec<JobId>> {
        let mut ids = Vec::with_capacity(jobs);
        while ids.len() < jobs {
            let n = BATCH_JOBS_MAX.min(jobs - ids.len());
            let spec = RawValue::from_string(SPEC.to_owned())?;
            let batch = BatchSubmit { jobs: vec![spec; n] };
            let reply: BatchSubmitted = self
                .client
                .post("/v1/jobs/batch", &batch, Options::default())
                .await?;
            for item in reply.items {
                match item {
                    BatchItem::Submitted(submitted) => ids.push(submitted.id),
                    BatchItem::Refused(problem) => bail!("a job was refused: {problem}"),
                }
            }
        }
        Ok(ids)
    }

    /// Waits until so many finishes are on record, counted from the coordinator's start.
    pub(crate) async fn finished(&self, jobs: u64) -> anyhow::Result<()> {
        let (mut last, mut moved_at) = (0, Instant::now());
        loop {
            let finishes = self.counter("finishes").await?;
            if finishes >= jobs {
                return Ok(());
            }
            if finishes > last {
                (last, moved_at) = (finishes, Instant::now());
            }
            ensure!(
                moved_at.elapsed() < STALL_MAX,
                "{finishes} of {jobs} jobs have ended, and no more do"
            );
            // About a hundredth of the time that is left, so that looking costs the coordinator next to nothing.
            let pause = LOOK_EVERY
                * u32::try_from((jobs - finishes) / 200)
                    .unwrap_or(u32::MAX)
                    .clamp(1, 50);
            tokio::time::sleep(pause).await;
        }
    }

    /// A counter of `/metrics`.
    pub(crate) async fn counter(&self, name: &str) -> anyhow::Result<u64> {
        let reply = self.client.stream("/metrics", "*/*", Options::default()).await?;
        let text = String::from_utf8(read_bytes(reply).await?.into())?;
        let prefix = format!("hiveforge_{name}_total ");
        let value = text.lines().find_map(|line| line.strip_prefix(&prefix));
        Ok(value
            .with_context(|| format!("there is no counter {name}"))?
            .trim()
            .parse()?)
    }

    /// Stops it in order, and returns its directory with what it left there.
    pub(crate) async fn stop(self) -> anyhow::Result<TempDir> {
        self.process.stop().await?;
        Ok(self.directory)
    }
}

/// One process of the shipped binary.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a coordinator. Several of one nexus share a data directory, and with it the tokens; `number` tells their
    /// logs apart.
    pub(crate) fn coordinator(
        setup: &Setup,
        data: &Path,
        nexus: &str,
        number: usize,
    ) -> anyhow::Result<Self> {
        let arguments = ["coordinator", "--listen", "127.0.0.1:0", "--nexus", nexus];
        Self::start(&setup.program, data, number, arguments)
    }

    fn start<const N: usize>(
        program: &Path,
        data: &Path,
        number: usize,
        arguments: [&str; N],
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(data)?;
        let log = data.join(format!("log-{number}"));
        #[expect(
            clippy::disallowed_methods,
            reason = "the benchmark is no agent; this is no job"
        )]
        let child = Command::new(program)
            .args(arguments)
            .arg("--data")
            .arg(data)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| program.display().to_string())?;
        Ok(Self { child, log })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has used, and what the commands have used that it ran.
    pub(crate) fn cpu(&self) -> anyhow::Result<Cpu> {
        Cpu::of(self.child.id())
    }

    /// Tells it to end, and waits until it has.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).context("a process id")?;
        kill_process(pid, Signal::TERM)?;
        let told_at = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(
                told_at.elapsed() < PATIENCE,
                "a process does not stop; it said: {}",
                self.said()
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Where a coordinator listens, from its log: port 0 took a free one.
    pub(crate) async fn address(&self) -> anyhow::Result<String> {
        let started_at = Instant::now();
        loop {
            let said = self.said();
            let line = said.lines().find(|line| line.contains("the coordinator listens"));
            if let Some((_, address)) = line.and_then(|line| line.split_once("address=")) {
                return Ok(address.trim().to_owned());
            }
            ensure!(
                started_at.elapsed() < PATIENCE,
                "the coordinator does not start; it said: {said}"
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until the coordinator serves, which it does once its nexus has answered.
    pub(crate) async fn ready(&self, client: &Client) -> anyhow::Result<()> {
        let started_at = Instant::now();
        while let Err(error) = client.stream("/readyz", "*/*", Options::default()).await {
            ensure!(
                started_at.elapsed() < PATIENCE,
                "the coordinator does not get ready: {error}; it said: {}",
                self.said()
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended is not there to be killed.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
