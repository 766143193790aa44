//! Members in processes of their own: started, told things, stopped, killed, and waited for.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;

use crate::member;

/// Far beyond what anything here takes on a loaded machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);
/// All members listen on this port, each at an address of its own.
const PORT: u16 = 17_080;

pub(crate) const COOKIE: &str = "0123456789abcdef0123456789abcdef";

/// A cluster that is to be, as its members are configured.
pub(crate) struct Cluster {
    pub(crate) dir: TempDir,
    /// Where members listen who have been named.
    addresses: BTreeMap<String, Ipv4Addr>,
}

/// A running member. It is killed when dropped.
pub(crate) struct Member {
    child: Child,
    stdin: Option<ChildStdin>,
    said: Receiver<String>,
}

/// What differs from one member to another.
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) cookie: Option<&'static str>,
    pub(crate) tls: Option<PathBuf>,
    /// Instead of all that were named.
    pub(crate) peers: Option<String>,
}

impl Cluster {
    /// A cluster with these members, none of which runs.
    pub(crate) fn new(names: &[&str]) -> Self {
        let addresses = names.iter().map(|name| ((*name).to_owned(), free_address()));
        Self {
            dir: tempfile::tempdir().unwrap(),
            addresses: addresses.collect(),
        }
    }

    pub(crate) fn address(&self, name: &str) -> String {
        format!("{}:{PORT}", self.addresses[name])
    }

    /// Everybody's addresses, as they are configured.
    pub(crate) fn peers(&self) -> String {
        let peers: Vec<_> = self.addresses.keys().map(|name| self.address(name)).collect();
        peers.join(",")
    }

    pub(crate) fn cookie(&self, text: &str) -> PathBuf {
        let path = self.dir.path().join(format!("cookie-{}", text.len()));
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub(crate) fn start(&self, name: &str) -> Member {
        self.start_with(name, Settings::default())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is no agent, and no other thread holds a pipe"
    )]
    pub(crate) fn start_with(&self, name: &str, settings: Settings) -> Member {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([
                "--exact",
                "member::member",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(member::NAME, name)
            .env(member::LISTEN, self.address(name))
            .env(member::PEERS, settings.peers.unwrap_or_else(|| self.peers()))
            .env(member::COOKIE, self.cookie(settings.cookie.unwrap_or(COOKIE)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(dir) = settings.tls {
            command.env(member::TLS, dir);
        }
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (tx, said) = channel();
        thread::spawn(move || {
            let lines = stdout.lines().map_while(Result::ok);
            let marked = lines.filter_map(|line| line.strip_prefix(member::MARK).map(str::to_owned));
            // It fails once nobody listens any more.
            marked
                .map(|line| tx.send(line))
                .take_while(Result::is_ok)
                .for_each(drop);
        });
        let stdin = child.stdin.take();
        let mut member = Member { child, stdin, said };
        assert_eq!(member.hear::<String>(), "ready", "{name}");
        member
    }
}

/// A loopback address that no other test uses: each process has 250 of its own.
fn free_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let process = std::process::id();
    let [_, _, middle, low] = process.to_be_bytes();
    let last = NEXT.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::new(127, middle.max(1), low, last)
}

impl Member {
    /// Tells it to do something, and returns what it says to that.
    pub(crate) fn tell<T: DeserializeOwned>(&mut self, what: &str) -> T {
        let stdin = self.stdin.as_mut().unwrap();
        writeln!(stdin, "{what}").unwrap();
        self.hear()
    }

    fn hear<T: DeserializeOwned>(&mut self) -> T {
        let line = self.said.recv_timeout(LIMIT).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// The state of each of its peers by name: `up`, or why not.
    pub(crate) fn peers(&mut self) -> BTreeMap<String, String> {
        self.tell("peers")
    }

    pub(crate) fn sees(&mut self, name: &str) -> String {
        self.peers()
            .remove(name)
            .unwrap_or_else(|| "not listed".to_owned())
    }

    /// Waits until a peer is up.
    pub(crate) fn wait_for(&mut self, name: &str) {
        self.wait_until(name, |state| state == "up");
    }

    /// Waits until a peer is listed in such a state, and returns how long that took.
    pub(crate) fn wait_until(&mut self, name: &str, is_it: impl Fn(&str) -> bool) -> Duration {
        let begun = Instant::now();
        until(&format!("{name} as wanted"), || {
            let state = self.sees(name);
            if is_it(&state) { Ok(()) } else { Err(state) }
        });
        begun.elapsed()
    }

    pub(crate) fn observe(&mut self, question: &str) -> (u64, BTreeMap<String, String>) {
        let heard: Value = self.tell(&format!("observe {question}"));
        let answers = serde_json::from_value(heard["answers"].clone()).unwrap();
        (heard["ms"].as_u64().unwrap(), answers)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops it, and waits until each of its threads has stopped: the signal returns before they have.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
        let threads = format!("/proc/{}/task", self.child.id());
        until("a process that is stopped", || {
            let stats = fs::read_dir(&threads)
                .unwrap()
                .map(|thread| thread.unwrap().path().join("stat"));
            let running: Vec<String> = stats
                .map(|stat| fs::read_to_string(stat).unwrap())
                .filter(|stat| !stat.contains(") T "))
                .collect();
            if running.is_empty() {
                Ok(())
            } else {
                Err(format!("{running:?}"))
            }
        });
    }

    /// Kills it at once, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.end();
    }
}

/// Looks until it is so.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that sleeps between looks; it waits for a condition"
)]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(why) => assert!(begun.elapsed() < LIMIT, "waited in vain for {what}: {why}"),
        }
        thread::sleep(PAUSE);
    }
}
