//! Several coordinators over one Redis, and agents that know them all.
//!
//! The coordinators share a data directory, and so tokens and vault, as they would share a network file system.
//! [`Fleet::finish`] is how a test ends, as for a [`System`](crate::System).

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use nexus::{Password, RedisConfig, RedisServers, ServerAddr};
use rustix::process::Signal;
use servers::{Port, Redis};
use tempfile::TempDir;

use crate::api::Api;
use crate::binary::hiveforge;
use crate::books::Books;
use crate::cli::Cli;
use crate::processes;
use crate::role::Role;
use crate::system::{ends_well, listening_at, nothing_left};
use crate::wait::eventually;

/// How a fleet is set up.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// How many coordinators.
    pub coordinators: usize,
    /// Their further options.
    pub options: Vec<String>,
    /// The password of the Redis, if it wants one.
    pub password: Option<String>,
    /// They are linked by a mesh, in which they are called c0, c1 and so on.
    pub mesh: bool,
}

impl Recipe {
    /// So many coordinators with nothing special.
    pub const fn of(coordinators: usize) -> Self {
        Self {
            coordinators,
            options: Vec::new(),
            password: None,
            mesh: false,
        }
    }

    /// The same, linked by a mesh.
    pub fn meshed(coordinators: usize) -> Self {
        Self {
            mesh: true,
            ..Self::of(coordinators)
        }
    }
}

/// A running fleet.
pub struct Fleet {
    /// How the command line is used with it: it knows all coordinators. Shared by value.
    pub cli: Cli,
    /// The nexus.
    pub redis: Redis,
    recipe: Recipe,
    directory: TempDir,
    coordinators: Vec<Coordinator>,
    /// Where each of them listens for the others, if they are linked.
    mesh: Vec<Port>,
    agents: BTreeMap<String, Role>,
    starts: usize,
    is_finished: bool,
}

/// A coordinator, dead or alive.
struct Coordinator {
    role: Option<Role>,
    address: SocketAddr,
    api: Api,
}

impl Fleet {
    /// Starts coordinators over this Redis, and waits until all are ready.
    ///
    /// # Errors
    /// One does not start, or is not ready.
    pub fn start(redis: Redis, recipe: Recipe) -> Result<Self> {
        let fleet = Self::start_early(redis, recipe)?;
        fleet.until_ready()?;
        Ok(fleet)
    }

    /// Starts coordinators, and waits until all listen. The Redis need not be there.
    ///
    /// # Errors
    /// One does not start.
    pub fn start_early(redis: Redis, recipe: Recipe) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("hiveforge-").tempdir()?;
        let data = directory.path().join("data");
        let cli = Cli::new(&hiveforge()?, &data, directory.path()).with("HIVEFORGE_LOG", "info,agent=debug");
        if let Some(password) = &recipe.password {
            fs::write(directory.path().join("redis.password"), password)?;
        }
        let n = recipe.coordinators;
        let links = if recipe.mesh { n } else { 0 };
        let mut fleet = Self {
            cli,
            redis,
            recipe,
            directory,
            coordinators: Vec::new(),
            mesh: (0..links).map(|_| Port::reserve()).collect::<Result<_>>()?,
            agents: BTreeMap::new(),
            starts: 0,
            is_finished: false,
        };
        for n in 0..n {
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let role = fleet.start_coordinator(n, any)?;
            let address = listening_at(&role)?;
            let token = fs::read_to_string(data.join("admin.token")).context("read the admin token")?;
            fleet.coordinators.push(Coordinator {
                role: Some(role),
                address,
                api: Api::new(&format!("http://{address}"), token.trim())?,
            });
        }
        fleet.cli = fleet.cli.clone().with("HIVEFORGE_URL", fleet.urls().join(","));
        Ok(fleet)
    }

    /// Starts one more process of a coordinator, which the fleet does not know: for what is to be refused.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_role(&mut self, listen: SocketAddr, options: &[&str]) -> Result<Role> {
        self.starts += 1;
        let log = self.directory().join(format!("coordinator-{}.log", self.starts));
        let mut command = self.cli.command();
        command
            .args([
                "coordinator",
                "--nexus",
                &format!("redis://{}", self.redis.addr()),
            ])
            .args(["--listen", &listen.to_string(), "--data"])
            .arg(self.data())
            .args(&self.recipe.options)
            .args(options);
        if self.recipe.password.is_some() {
            command
                .arg("--nexus-password-file")
                .arg(self.directory().join("redis.password"));
        }
        Role::start(command, log)
    }

    fn start_coordinator(&mut self, n: usize, listen: SocketAddr) -> Result<Role> {
        let Some(own) = self.mesh.get(n) else {
            return self.start_role(listen, &[]);
        };
        let peers: Vec<String> = self.mesh.iter().map(|port| port.addr().to_string()).collect();
        let (own, name) = (own.addr().to_string(), format!("c{n}"));
        let options = [
            "--mesh",
            &own,
            "--mesh-name",
            &name,
            "--mesh-peers",
            &peers.join(","),
        ];
        self.start_role(listen, &options)
    }

    /// Waits until every living coordinator is ready.
    ///
    /// # Errors
    /// One is not.
    pub fn until_ready(&self) -> Result<()> {
        let living = self.coordinators.iter().filter(|one| one.role.is_some());
        for Coordinator { api, address, .. } in living {
            eventually(&format!("{address} is ready"), || Ok(api.bytes("/readyz").ok()))?;
        }
        Ok(())
    }

    /// The API of one coordinator with the admin token.
    pub fn api(&self, n: usize) -> &Api {
        &self.coordinators[n].api
    }

    /// The URL of one coordinator.
    pub fn url(&self, n: usize) -> String {
        format!("http://{}", self.coordinators[n].address)
    }

    /// The URLs of all.
    pub fn urls(&self) -> Vec<String> {
        (0..self.coordinators.len()).map(|n| self.url(n)).collect()
    }

    /// The process of one coordinator.
    ///
    /// # Errors
    /// It was killed and not started again.
    pub fn coordinator(&self, n: usize) -> Result<&Role> {
        self.coordinators[n]
            .role
            .as_ref()
            .context("the coordinator was killed")
    }

    /// Kills a coordinator.
    ///
    /// # Errors
    /// It had ended already.
    pub fn kill(&mut self, n: usize) -> Result<()> {
        let role = self.coordinators[n].role.take();
        role.context("the coordinator was killed before")?.kill()
    }

    /// Starts a killed coordinator again at the same address.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart(&mut self, n: usize) -> Result<()> {
        let role = self.start_coordinator(n, self.coordinators[n].address)?;
        listening_at(&role)?;
        self.coordinators[n].role = Some(role);
        self.until_ready()
    }

    /// Starts an agent that knows all coordinators, with further options, on a data directory of its own.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_agent(&mut self, name: &str, options: &[&str]) -> Result<()> {
        self.start_agent_of(name, &self.urls(), options)
    }

    /// The same for one that knows only these coordinators.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_agent_of(&mut self, name: &str, urls: &[String], options: &[&str]) -> Result<()> {
        self.starts += 1;
        let log = self.directory().join(format!("agent-{name}-{}.log", self.starts));
        let mut command = self.cli.command();
        command.args(["agent", "--name", name, "--join-token-file"]);
        command.arg(self.data().join("join.token"));
        command.arg("--data").arg(self.directory().join(name));
        for url in urls {
            command.args(["--coordinator", url]);
        }
        command.args(options);
        self.agents.insert(name.to_owned(), Role::start(command, log)?);
        Ok(())
    }

    /// The directory of everything, logs of the roles included.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The data directory of the coordinators.
    pub fn data(&self) -> PathBuf {
        self.directory().join("data")
    }

    /// Stops everything in order and checks what is left: no process, no file of a run, and right books.
    ///
    /// # Errors
    /// A role does not end well, something is left over, or the books are wrong.
    pub fn finish(mut self) -> Result<Books> {
        for (name, mut agent) in std::mem::take(&mut self.agents) {
            agent.signal(Signal::TERM).ok();
            ends_well(&format!("agent {name}"), &mut agent)?;
            nothing_left(&self.directory().join(name))?;
        }
        for coordinator in &mut self.coordinators {
            if let Some(mut role) = coordinator.role.take() {
                role.signal(Signal::TERM).ok();
                ends_well("a coordinator", &mut role)?;
            }
        }
        let left = processes::within(self.directory())?;
        ensure!(left.is_empty(), "processes of jobs are left over: {left:?}");
        let addr = self.redis.addr();
        let server = ServerAddr::new(addr.ip().to_string(), addr.port());
        let books = Books::check_redis(RedisConfig {
            password: self.recipe.password.as_deref().map(Password::new),
            ..RedisConfig::new(RedisServers::Single(server))
        })?;
        self.is_finished = true;
        Ok(books)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if !self.is_finished {
            self.directory.disable_cleanup(true);
            eprintln!(
                "the logs and files of this fleet stay in {}",
                self.directory().display()
            );
        }
    }
}
