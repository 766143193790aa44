//! The system under attack: coordinators, agents and their Redis, each a process of its own, in one temporary directory.
//!
//! Whoever strikes shares it between threads; each process has a lock of its own, so strikes at different ones overlap.
//! Every coordinator reaches Redis through a proxy of its own. Agents that are *far* reach each coordinator through one, too.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, ensure};
use e2e::Cli;
use rustix::process::Signal;
use servers::{AppendOnly, Port, Proxy, Redis, RedisOptions};
use tempfile::TempDir;

use crate::clients::Client;
use crate::plan::{AgentPlan, Plan};
use crate::process::Process;
use crate::wait::until;

/// What agents log beside the rest: the history of their runs.
const LOGS: &str = "info,hiveforge::runs=debug";
/// The label by which jobs choose agents.
pub const ZONE: &str = "zone";

/// A running system.
pub struct Hive {
    /// What it was made by.
    pub plan: Plan,
    primary: Redis,
    replica: Option<Redis>,
    is_promoted: AtomicBool,
    /// The coordinators.
    pub coordinators: Vec<Coordinator>,
    /// The agents.
    pub agents: Vec<Agent>,
    /// Where coordinators listen for each other; none without a mesh.
    mesh: Vec<Port>,
    cli: Cli,
    directory: TempDir,
}

/// A coordinator, whether its process runs or not.
pub struct Coordinator {
    /// Its number.
    pub number: usize,
    /// Between it and Redis.
    pub link: Proxy,
    port: Port,
    process: Process,
}

/// An agent, whether its process runs or not.
pub struct Agent {
    /// What it was made by.
    pub plan: AgentPlan,
    /// Between it and each coordinator; empty when it is not far.
    pub links: Vec<Proxy>,
    process: Process,
}

impl Hive {
    /// Starts everything and waits until it is ready.
    ///
    /// # Errors
    /// Something does not start.
    pub fn start(plan: Plan) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("hiveforge-nemesis-").tempdir()?;
        let data = directory.path().join("data");
        fs::create_dir(directory.path().join("marks"))?;
        let cli = Cli::new(&e2e::hiveforge()?, &data, directory.path()).with("HIVEFORGE_LOG", LOGS);
        let options = RedisOptions {
            // What is acknowledged is on the disk, so that every loss is one of ours.
            append_only: AppendOnly::Always,
            ..RedisOptions::default()
        };
        let primary = Redis::start(options.clone())?;
        let replica = plan.replica.then(|| primary.replica(options)).transpose()?;
        let meshed = if plan.mesh { plan.coordinators } else { 0 };
        let mut hive = Self {
            mesh: (0..meshed).map(|_| Port::reserve()).collect::<Result<_>>()?,
            primary,
            replica,
            is_promoted: AtomicBool::new(false),
            coordinators: Vec::new(),
            agents: Vec::new(),
            cli,
            directory,
            plan,
        };
        for number in 0..hive.plan.coordinators {
            let coordinator = hive.new_coordinator(number)?;
            coordinator.start("")?;
            // The first one makes the tokens that the others read.
            until("a coordinator has its tokens", || {
                Ok(hive.data().join("join.token").exists().then_some(()))
            })?;
            hive.coordinators.push(coordinator);
        }
        hive.until_ready()?;
        for plan in hive.plan.agents.clone() {
            let agent = hive.new_agent(plan)?;
            agent.start()?;
            hive.agents.push(agent);
        }
        let client = hive.client(0)?;
        until("all agents have enrolled", || {
            let enrolled = client.agents()?;
            Ok((enrolled >= hive.agents.len()).then_some(()))
        })?;
        Ok(hive)
    }

    /// The directory of everything.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Leaves the directory where it is, for whoever wants to know what happened.
    pub fn keep_files(&mut self) {
        self.directory.disable_cleanup(true);
    }

    /// Where jobs leave their marks.
    pub fn marks(&self) -> PathBuf {
        self.directory().join("marks")
    }

    fn data(&self) -> PathBuf {
        self.directory().join("data")
    }

    /// The URLs of all coordinators.
    pub fn urls(&self) -> Vec<String> {
        self.coordinators.iter().map(Coordinator::url).collect()
    }

    /// A client of one coordinator.
    ///
    /// # Errors
    /// The token cannot be read.
    pub fn client(&self, number: usize) -> Result<Client> {
        let coordinator = self
            .coordinators
            .get(number)
            .context("there is such a coordinator")?;
        Client::new(&[coordinator.url()], &self.token()?)
    }

    /// A client of all coordinators.
    ///
    /// # Errors
    /// The token cannot be read.
    pub fn client_of_all(&self) -> Result<Client> {
        Client::new(&self.urls(), &self.token()?)
    }

    fn token(&self) -> Result<String> {
        let token = fs::read_to_string(self.data().join("admin.token")).context("read the admin token")?;
        Ok(token.trim().to_owned())
    }

    /// The Redis that is the nexus now.
    pub fn nexus(&self) -> &Redis {
        let promoted = self
            .replica
            .as_ref()
            .filter(|_| self.is_promoted.load(Ordering::Acquire));
        promoted.unwrap_or(&self.primary)
    }

    /// Kills the primary and puts its replica in its place.
    ///
    /// # Errors
    /// There is none, or it was done before.
    pub fn promote(&self) -> Result<()> {
        let replica = self.replica.as_ref().context("there is a replica")?;
        ensure!(
            !self.is_promoted.swap(true, Ordering::AcqRel),
            "the replica was promoted before"
        );
        self.primary.kill9()?;
        replica.promote()?;
        // So that it is a primary after a restart, too.
        replica.command(&["CONFIG", "REWRITE"])?;
        for coordinator in &self.coordinators {
            coordinator.link.retarget(replica.addr());
            coordinator.link.cut_all();
        }
        Ok(())
    }

    /// Waits until every coordinator says that it is ready.
    ///
    /// # Errors
    /// One does not.
    pub fn until_ready(&self) -> Result<()> {
        for coordinator in &self.coordinators {
            self.until_one_is_ready(coordinator.number)?;
        }
        Ok(())
    }

    /// Waits until this coordinator says that it is ready.
    ///
    /// # Errors
    /// It does not.
    pub fn until_one_is_ready(&self, number: usize) -> Result<()> {
        let client = self.client(number)?;
        until(&format!("coordinator {number} is ready"), || {
            Ok(client.is_ready().then_some(()))
        })
    }

    /// The agent of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn agent(&self, name: &str) -> Result<&Agent> {
        let found = self.agents.iter().find(|agent| agent.plan.name == name);
        found.with_context(|| format!("there is an agent {name}"))
    }

    fn new_coordinator(&self, number: usize) -> Result<Coordinator> {
        let (link, port) = (Proxy::start(self.nexus().addr())?, Port::reserve()?);
        let mut arguments = vec![
            "coordinator".to_owned(),
            "--nexus".to_owned(),
            format!("redis://{}", link.addr()),
            "--listen".to_owned(),
            port.addr().to_string(),
            "--data".to_owned(),
            self.data().display().to_string(),
            "--lease-ttl".to_owned(),
            format!("{}s", self.plan.lease_ttl.as_secs()),
        ];
        if let Some(own) = self.mesh.get(number) {
            let peers: Vec<String> = self.mesh.iter().map(|port| port.addr().to_string()).collect();
            let own = own.addr().to_string();
            let options = ["--mesh", &own, "--mesh-peers", &peers.join(","), "--mesh-name"];
            arguments.extend(options.map(str::to_owned));
            arguments.push(format!("coordinator-{number}"));
        }
        let process = Process {
            arguments,
            cli: self.cli.clone(),
            logs: self.directory().join(format!("coordinator-{number}")),
            state: Mutex::default(),
        };
        Ok(Coordinator {
            number,
            link,
            port,
            process: process.breaking(&self.plan.coordinators_break),
        })
    }

    fn new_agent(&self, plan: AgentPlan) -> Result<Agent> {
        let addresses = self.coordinators.iter().map(|one| one.port.addr());
        let links = if plan.is_far {
            addresses.clone().map(Proxy::start).collect::<Result<Vec<_>>>()?
        } else {
            Vec::new()
        };
        let seen: Vec<SocketAddr> = if plan.is_far {
            links.iter().map(Proxy::addr).collect()
        } else {
            addresses.collect()
        };
        let mut arguments = vec![
            "agent".to_owned(),
            "--join-token-file".to_owned(),
            self.data().join("join.token").display().to_string(),
            "--data".to_owned(),
            self.directory().join(&plan.name).display().to_string(),
            "--name".to_owned(),
            plan.name.clone(),
            "--slots".to_owned(),
            plan.slots.to_string(),
            "--label".to_owned(),
            format!("{ZONE}={}", plan.zone),
        ];
        for address in seen {
            arguments.extend(["--coordinator".to_owned(), format!("http://{address}")]);
        }
        let process = Process {
            arguments,
            cli: self.cli.clone(),
            logs: self.directory().join(format!("agent-{}", plan.name)),
            state: Mutex::default(),
        };
        Ok(Agent {
            process: process.breaking(&self.plan.agents_break),
            plan,
            links,
        })
    }

    /// Stops everything in order. What does not end is an error; what is left of jobs is the caller's to look for.
    ///
    /// # Errors
    /// A role does not end well.
    pub fn stop(&self) -> Result<()> {
        for agent in &self.agents {
            agent.process.signal(Signal::TERM)?;
        }
        for agent in &self.agents {
            agent.process.ended_well()?;
        }
        for coordinator in &self.coordinators {
            coordinator.process.signal(Signal::TERM)?;
        }
        for coordinator in &self.coordinators {
            coordinator.process.ended_well()?;
        }
        Ok(())
    }
}

impl Coordinator {
    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.port.addr())
    }

    /// Starts it, with more fail points than the plan's, and returns at once.
    ///
    /// # Errors
    /// It runs, or cannot be started.
    pub fn start(&self, breaks: &str) -> Result<()> {
        self.process.start(breaks)
    }

    /// Kills it.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&self) -> Result<()> {
        self.process.kill()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Asks it to stop, and waits until it has.
    ///
    /// # Errors
    /// It does not end well.
    pub fn stop(&self) -> Result<()> {
        self.process.signal(Signal::TERM)?;
        self.process.ended_well()
    }
}

impl Agent {
    /// Starts it and returns at once.
    ///
    /// # Errors
    /// It runs, or cannot be started.
    pub fn start(&self) -> Result<()> {
        self.process.start("")
    }

    /// Kills it.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&self) -> Result<()> {
        self.process.kill()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// What its processes have logged so far, one text for each start.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn logs(&self) -> Result<Vec<String>> {
        self.process.read_logs()
    }
}
