//! Ports that stay reserved while their server is down, across all test processes of the machine.
//!
//! Binding to port 0 and letting go again is a race: the port may be another's when the server wants it back after a
//! kill. A [`Port`] is a locked file in the temporary directory, and its number lies below the range from which the
//! system takes ports for outgoing connections.

use std::env;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context as _, Result, bail};

/// The first number that is given out.
const FIRST: u16 = 10_000;
/// How many numbers there are. The same number of ports above them are for the buses of Redis Cluster.
const N_PORTS: u16 = 10_000;
/// What Redis Cluster adds to its port for its bus.
pub(crate) const BUS_OFFSET: u16 = 10_000;
/// A number that spreads consecutive tries over the range; it has no factor in common with [`N_PORTS`].
const STEP: u16 = 7_919;

/// A port on loopback that nobody else in these tests takes. Nothing listens on it yet.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Locked as long as it is open.
    _lock: File,
}

impl Port {
    /// Reserves one.
    ///
    /// # Errors
    /// The temporary directory cannot be written, or all ports are taken.
    pub fn reserve() -> Result<Self> {
        static N_TRIES: AtomicU16 = AtomicU16::new(0);
        let directory = env::temp_dir().join("hiveforge-test-ports");
        fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
        let start = u64::from(process::id()) * 101;
        for _ in 0..N_PORTS {
            let n_try = u64::from(N_TRIES.fetch_add(1, Ordering::Relaxed));
            let offset = (start + n_try * u64::from(STEP)) % u64::from(N_PORTS);
            let number = FIRST + u16::try_from(offset).context("an offset is below the number of ports")?;
            let path = directory.join(number.to_string());
            let lock = File::create(&path).with_context(|| format!("create {}", path.display()))?;
            if lock.try_lock().is_ok() && is_free(number) && is_free(number + BUS_OFFSET) {
                return Ok(Self { number, _lock: lock });
            }
        }
        bail!("all {N_PORTS} ports for tests are taken")
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Its address on loopback.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

fn is_free(number: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_reserved_twice() {
        let ports: Vec<Port> = (0..50).map(|_| Port::reserve().unwrap()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 50);
    }
}
