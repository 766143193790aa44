//! Several coordinators of the shipped binary over one nexus, as processes of their own, with one data directory.

use std::fs;
use std::time::Duration;

use protocol::client::Client;
use tempfile::TempDir;

use crate::fleet::Doors;
use crate::system::{Process, Setup};

/// Coordinators that share a nexus. Dropping it kills them.
pub(crate) struct Hive {
    coordinators: Vec<Process>,
    doors: Doors,
    _directory: TempDir,
}

impl Hive {
    /// Starts so many. `nexus` is a URL; without one it is a SQLite file, which only one coordinator can have.
    pub(crate) async fn start(
        setup: &Setup,
        nexus: Option<&str>,
        coordinators: usize,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(&setup.directory)?;
        let directory = TempDir::with_prefix_in("bench-", &setup.directory)?;
        let data = directory.path();
        let file = format!("sqlite:{}", data.join("nexus.db").display());
        let token = |name| fs::read_to_string(data.join(name)).map(|token| token.trim().to_owned());
        let (mut processes, mut addresses) = (Vec::new(), Vec::new());
        for number in 0..coordinators {
            let process = Process::coordinator(setup, data, nexus.unwrap_or(&file), number)?;
            // One after the other: the first one makes the tokens that the others read.
            let address = process.address().await?;
            let client = Client::new([format!("http://{address}")], &token("admin.token")?)?;
            process.ready(&client).await?;
            addresses.push(address);
            processes.push(process);
        }
        let doors = Doors {
            addresses,
            admin: token("admin.token")?,
            join: token("join.token")?,
        };
        Ok(Self {
            coordinators: processes,
            doors,
            _directory: directory,
        })
    }

    pub(crate) const fn doors(&self) -> &Doors {
        &self.doors
    }

    /// What each of them has used so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Vec<Duration>> {
        self.coordinators
            .iter()
            .map(|process| Ok(process.cpu()?.own))
            .collect()
    }

    /// Bytes of memory of all of them together.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        self.coordinators
            .iter()
            .map(|process| crate::usage::resident_bytes(process.id()))
            .sum()
    }

    /// Stops them in order.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        for process in self.coordinators {
            process.stop().await?;
        }
        Ok(())
    }
}
