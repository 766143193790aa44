//! One system: a coordinator in whatever role has it, agents of their own, and the directory of all their files.
//!
//! [`System::finish`] is how a test ends: everything is stopped in order, nothing may be left over, and the books must be
//! right. A system that is dropped without it, because a test failed, is killed, and its files stay for whoever wants to know.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::api::Api;
use crate::binary::hiveforge;
use crate::books::Books;
use crate::cli::Cli;
use crate::processes;
use crate::role::Role;
use crate::wait::eventually;

/// What a role writes to its log when it can be reached.
const LISTENS: &str = "the coordinator listens";
/// How long a role without work may take to stop.
const STOP: Duration = Duration::from_secs(20);

/// Which role has the coordinator in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `hiveforge up`: an agent comes along.
    Up,
    /// `hiveforge coordinator`.
    Coordinator,
}

/// A running system.
pub struct System {
    /// How the command line is used with it. Shared by value.
    pub cli: Cli,
    directory: TempDir,
    recipe: Recipe,
    coordinator: Option<Role>,
    agents: BTreeMap<String, Role>,
    address: SocketAddr,
    api: Api,
    starts: usize,
    is_finished: bool,
}

impl System {
    /// Starts the role that has the coordinator in it, with these further options, and waits until it answers.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(kind: Kind, options: &[&str]) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("hiveforge-").tempdir()?;
        let data = directory.path().join("data");
        Self::start_in(kind, options, directory, data)
    }

    /// The same with another data directory, which need not be in the system's own.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_in(kind: Kind, options: &[&str], directory: TempDir, data: PathBuf) -> Result<Self> {
        let mut cli = Cli::new(&hiveforge()?, &data, directory.path())
            .with("HIVEFORGE_LOG", "info,agent=debug,hiveforge_agent=debug");
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let recipe = Recipe { kind, data, options };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let role = recipe.start(&cli, any, directory.path().join("coordinator-1.log"))?;
        let address = listening_at(&role)?;
        let token = fs::read_to_string(recipe.data.join("admin.token")).context("read the admin token")?;
        let url = format!("http://{address}");
        let api = Api::new(&url, token.trim())?;
        if kind == Kind::Coordinator {
            // Only `up` writes down where it is.
            cli = cli.with("HIVEFORGE_URL", &url);
        }
        let system = Self {
            cli,
            directory,
            recipe,
            coordinator: Some(role),
            agents: BTreeMap::new(),
            address,
            api,
            starts: 1,
            is_finished: false,
        };
        system.until_ready()?;
        Ok(system)
    }

    fn until_ready(&self) -> Result<()> {
        eventually("the coordinator is ready", || Ok(self.api.bytes("/readyz").ok()))?;
        if self.recipe.kind == Kind::Up {
            self.until_agents(1)?;
        }
        Ok(())
    }

    /// Waits until so many agents have enrolled that were heard of lately.
    ///
    /// # Errors
    /// They do not.
    pub fn until_agents(&self, n: usize) -> Result<()> {
        let lost = protocol::agents::AgentState::Lost;
        eventually(&format!("{n} agents have enrolled"), || {
            let agents = self.api.agents()?;
            Ok((agents.iter().filter(|agent| agent.state != lost).count() >= n).then_some(()))
        })
    }

    /// The API with the admin token.
    pub const fn api(&self) -> &Api {
        &self.api
    }

    /// The coordinator's URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The directory of everything, logs of the roles included.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The data directory of the coordinator.
    pub fn data(&self) -> &Path {
        &self.recipe.data
    }

    /// The role that has the coordinator in it.
    ///
    /// # Errors
    /// It was killed and not started again.
    pub fn coordinator(&mut self) -> Result<&mut Role> {
        self.coordinator.as_mut().context("the coordinator was killed")
    }

    /// Kills the role that has the coordinator in it.
    ///
    /// # Errors
    /// It had ended already.
    pub fn kill_coordinator(&mut self) -> Result<()> {
        self.coordinator
            .take()
            .context("the coordinator was killed before")?
            .kill()
    }

    /// Starts the killed or ended role again: the same data, the same address.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart_coordinator(&mut self) -> Result<()> {
        self.coordinator = None;
        self.starts += 1;
        let log = self.directory().join(format!("coordinator-{}.log", self.starts));
        let role = self.recipe.start(&self.cli, self.address, log)?;
        listening_at(&role)?;
        self.coordinator = Some(role);
        self.until_ready()
    }

    /// Starts an agent with further options on a data directory of its own, and returns at once. `name` is what it is
    /// called here, and everywhere unless the options say otherwise. One that was killed or has ended leaves its
    /// directory to the next of its name.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_agent(&mut self, name: &str, options: &[&str]) -> Result<()> {
        self.start_agent_under(&[], name, options)
    }

    /// The same under another program, e.g. a tracer.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_agent_under(&mut self, wrapper: &[&str], name: &str, options: &[&str]) -> Result<()> {
        self.starts += 1;
        let log = self.directory().join(format!("agent-{name}-{}.log", self.starts));
        let mut command = self.cli.command_under(wrapper);
        let shown_name: &[&str] = if options.contains(&"--name") {
            &[]
        } else {
            &["--name", name]
        };
        command
            .args(["agent", "--coordinator", &self.url(), "--join-token-file"])
            .arg(self.recipe.data.join("join.token"))
            .arg("--data")
            .arg(self.agent_data(name))
            .args(shown_name)
            .args(options);
        self.agents.insert(name.to_owned(), Role::start(command, log)?);
        Ok(())
    }

    /// The process of an agent.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn agent(&mut self, name: &str) -> Result<&mut Role> {
        self.agents
            .get_mut(name)
            .with_context(|| format!("no agent `{name}` was started"))
    }

    /// Kills an agent.
    ///
    /// # Errors
    /// There is none of this name, or it had ended.
    pub fn kill_agent(&mut self, name: &str) -> Result<()> {
        let agent = self.agents.remove(name);
        agent
            .with_context(|| format!("no agent `{name}` was started"))?
            .kill()
    }

    /// The data directory of an agent.
    pub fn agent_data(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    /// The work directories that an agent has now, by name: `<job>.<attempt>`. `local` is the agent of `up`.
    ///
    /// # Errors
    /// They cannot be listed.
    pub fn work_dirs(&self, name: &str) -> Result<Vec<String>> {
        let data = if name == "local" {
            self.recipe.data.clone()
        } else {
            self.agent_data(name)
        };
        entries(&data.join("agent/work"))
    }

    /// Stops everything in order and checks what is left: no process, no file of a run, and right books.
    ///
    /// # Errors
    /// A role does not end well, something is left over, or the books are wrong.
    pub fn finish(mut self) -> Result<Books> {
        let agents: Vec<(String, Role)> = std::mem::take(&mut self.agents).into_iter().collect();
        for (_, agent) in &agents {
            agent.signal(Signal::TERM).ok();
        }
        for (name, mut agent) in agents {
            ends_well(&format!("agent {name}"), &mut agent)?;
            nothing_left(&self.agent_data(&name))?;
        }
        if let Some(mut role) = self.coordinator.take() {
            role.signal(Signal::TERM).ok();
            ends_well("the coordinator", &mut role)?;
        }
        if self.recipe.kind == Kind::Up {
            nothing_left(&self.recipe.data)?;
        }
        let left = processes::within(self.directory())?;
        ensure!(left.is_empty(), "processes of jobs are left over: {left:?}");
        let books = self.books()?;
        self.is_finished = true;
        Ok(books)
    }

    /// Checks the books of a system whose processes have ended.
    ///
    /// # Errors
    /// They are wrong.
    pub fn books(&self) -> Result<Books> {
        Books::check(&self.recipe.data.join("nexus.db"))
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if !self.is_finished {
            self.directory.disable_cleanup(true);
            eprintln!(
                "the logs and files of this system stay in {}",
                self.directory().display()
            );
        }
    }
}

/// How the role that has the coordinator in it is started, each time.
#[derive(Debug)]
struct Recipe {
    kind: Kind,
    data: PathBuf,
    options: Vec<String>,
}

impl Recipe {
    fn start(&self, cli: &Cli, listen: SocketAddr, log: PathBuf) -> Result<Role> {
        let mut command = cli.command();
        match self.kind {
            Kind::Up => command.arg("up"),
            Kind::Coordinator => {
                let nexus = format!("sqlite:{}", self.data.join("nexus.db").display());
                command.args(["coordinator", "--nexus", &nexus])
            }
        };
        command
            .arg("--data")
            .arg(&self.data)
            .args(["--listen", &listen.to_string()])
            .args(&self.options);
        Role::start(command, log)
    }
}

/// Reads from the log of a role where it listens.
pub(crate) fn listening_at(role: &Role) -> Result<SocketAddr> {
    eventually("a role listens", || {
        let log = role.log()?;
        let line = log.lines().find(|line| line.contains(LISTENS));
        let address = line
            .and_then(|line| line.rsplit_once("address="))
            .map(|(_, address)| address.trim());
        if let Some(address) = address {
            return Ok(Some(address.parse()?));
        }
        if log.contains("error:") {
            bail!("a role did not start: {log}");
        }
        Ok(None)
    })
}

pub(crate) fn ends_well(what: &str, role: &mut Role) -> Result<()> {
    let status = role.wait(STOP)?;
    ensure!(status.success(), "{what} ended with {status}: {}", role.log()?);
    Ok(())
}

/// An agent that ended in order leaves nothing of a run.
pub(crate) fn nothing_left(data: &Path) -> Result<()> {
    for part in ["work", "spool", "runs"] {
        let left = entries(&data.join("agent").join(part))?;
        ensure!(
            left.is_empty(),
            "{} is not empty: {left:?}",
            data.join("agent").join(part).display()
        );
    }
    Ok(())
}

fn entries(directory: &Path) -> Result<Vec<String>> {
    let listed = fs::read_dir(directory).with_context(|| format!("list {}", directory.display()))?;
    listed
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}
