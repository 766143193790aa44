//! One real `redis-server` on loopback, in a directory of its own that goes with it.
//!
//! It may be killed, stopped, frozen and started again, always on the same port and directory. What it says of itself is
//! asked over its Unix socket, so neither a proxy nor TLS nor the access rules of a test are in the way.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::options::{LOG, OWN_PASSWORD, OWN_USER, SOCKET};
use crate::wait::{LIMIT, within};
use crate::{Certificates, Client, Port, RedisOptions, Reply, Transport, install, orphans};

/// How many ports are tried: somebody who does not reserve may be faster.
const PORT_TRIES: usize = 10;
/// The configuration, in the directory of the server.
const CONFIG: &str = "redis.conf";
/// How much of the log goes into an error.
const LOG_LINES: usize = 15;

/// A Redis that ends when this is dropped. All methods may be called from any thread.
#[derive(Debug)]
pub struct Redis {
    directory: TempDir,
    port: Port,
    options: RedisOptions,
    certificates: Option<Certificates>,
    /// Whether the program is to be a Sentinel.
    is_sentinel: bool,
    /// A mutex, for a thread that makes trouble shares the server with those that ask it.
    child: Mutex<Option<Child>>,
}

impl Redis {
    /// Starts one and waits until it answers, which takes some ten milliseconds.
    ///
    /// # Errors
    /// It is not installed, or it does not come up; the error carries the end of its log.
    pub fn start(options: RedisOptions) -> Result<Self> {
        let mut last = None;
        for _ in 0..PORT_TRIES {
            let redis = Self::prepare(options.clone())?;
            let config = redis
                .options
                .render(redis.dir(), &redis.port, redis.certificates.as_ref());
            redis.write_config(&config)?;
            match redis.restart() {
                Ok(()) => return Ok(redis),
                Err(error) if redis.log().contains("Address already in use") => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.context("at least one port is tried")?)
    }

    /// Starts a replica of `self` with the same password and waits until it has everything. `replica_of` of the options
    /// may name a proxy in between.
    ///
    /// # Errors
    /// As [`Redis::start`], or it does not catch up.
    pub fn replica(&self, mut options: RedisOptions) -> Result<Self> {
        options.replica_of = options.replica_of.or_else(|| Some(self.addr()));
        options.password = options.password.or_else(|| self.options.password.clone());
        let replica = Self::start(options)?;
        within("the replica is in sync with its primary", LIMIT, || {
            let link = replica.info("replication")?;
            Ok((link.get("master_link_status").map(String::as_str) == Some("up")).then_some(()))
        })?;
        Ok(replica)
    }

    /// Starts a Sentinel with this configuration.
    pub(crate) fn sentinel(lines: &str) -> Result<Self> {
        let mut redis = Self::prepare(RedisOptions::default())?;
        redis.is_sentinel = true;
        let config = format!(
            "{}port {}\n{lines}",
            crate::options::base(redis.dir()),
            redis.port.number()
        );
        redis.write_config(&config)?;
        redis.restart()?;
        Ok(redis)
    }

    fn prepare(options: RedisOptions) -> Result<Self> {
        let directory = TempDir::with_prefix("hiveforge-redis-").context("create a directory")?;
        let certificates = match options.transport {
            Transport::Plain => None,
            Transport::Tls | Transport::MutualTls => Some(Certificates::make(directory.path())?),
        };
        Ok(Self {
            directory,
            port: Port::reserve()?,
            options,
            certificates,
            is_sentinel: false,
            child: Mutex::new(None),
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// Its address as a URL, without user and password.
    pub fn url(&self) -> String {
        let scheme = match self.options.transport {
            Transport::Plain => "redis",
            Transport::Tls | Transport::MutualTls => "rediss",
        };
        format!("{scheme}://{}", self.addr())
    }

    /// Its directory: configuration, log, append-only file.
    pub fn dir(&self) -> &Path {
        self.directory.path()
    }

    /// The certificates, where it speaks TLS.
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    /// Its log so far; empty if there is none.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.dir().join(LOG)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Kills it without a warning, frozen or not, and waits until it is gone.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill9(&self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.bury()
    }

    /// Lets it write what it has and end, as an operator would.
    ///
    /// # Errors
    /// It does not run, or does not end.
    pub fn stop(&self) -> Result<()> {
        self.signal(Signal::TERM)?;
        self.bury()
    }

    /// Starts it again in the same directory and on the same port, ending it first if it runs, and waits until it answers.
    ///
    /// # Errors
    /// It does not come up; the error carries the end of its log.
    pub fn restart(&self) -> Result<()> {
        if self.pid().is_some() {
            self.kill9()?;
        }
        let program = install::find().context("redis-server is not installed, see .ci/setup")?;
        let child = self.spawn(&program)?;
        orphans::add(child.id())?;
        *self.child() = Some(child);
        within("Redis answers", LIMIT, || self.look_for_life())
    }

    /// Freezes it: connections stay open, and nothing is answered.
    ///
    /// # Errors
    /// It does not run.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Thaws it.
    ///
    /// # Errors
    /// It does not run.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// A connection over the Unix socket as a user that may do everything.
    ///
    /// # Errors
    /// It does not run.
    pub fn client(&self) -> Result<Client> {
        let mut client = Client::connect(&self.dir().join(SOCKET))?;
        client.command(&["AUTH", OWN_USER, OWN_PASSWORD])?;
        Ok(client)
    }

    /// The answer to a command, on a connection of its own as a user that may do everything.
    ///
    /// # Errors
    /// It does not run, or answers with an error, whose text this has.
    pub fn command(&self, arguments: &[&str]) -> Result<Reply> {
        self.client()?.command(arguments)
    }

    /// The fields of a section of `INFO`.
    ///
    /// # Errors
    /// It does not answer.
    pub fn info(&self, section: &str) -> Result<BTreeMap<String, String>> {
        let text = self.command(&["INFO", section])?.text();
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Ok(fields
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect())
    }

    /// Microseconds of CPU that its main thread, the one that runs commands, has used so far.
    ///
    /// # Errors
    /// It does not answer.
    pub fn cpu_micros(&self) -> Result<u64> {
        let fields = self.info("cpu")?;
        ["used_cpu_user_main_thread", "used_cpu_sys_main_thread"]
            .into_iter()
            .map(|name| {
                let seconds = fields
                    .get(name)
                    .with_context(|| format!("INFO cpu has no {name}"))?;
                let (whole, micros) = seconds.split_once('.').unwrap_or((seconds, "0"));
                Ok(whole.parse::<u64>()? * 1_000_000 + format!("{micros:0<6}").parse::<u64>()?)
            })
            .sum()
    }

    /// Makes a replica a primary.
    ///
    /// # Errors
    /// It does not answer.
    pub fn promote(&self) -> Result<()> {
        self.command(&["REPLICAOF", "NO", "ONE"])?;
        Ok(())
    }

    /// What the default user says to come in.
    pub(crate) fn password(&self) -> Option<&str> {
        self.options.password.as_deref()
    }

    fn config(&self) -> PathBuf {
        self.dir().join(CONFIG)
    }

    fn write_config(&self, text: &str) -> Result<()> {
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.config())?;
        file.write_all(text.as_bytes())?;
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "a server for tests: no job runs in it")]
    fn spawn(&self, program: &Path) -> Result<Child> {
        let mut command = Command::new(program);
        command.arg(self.config());
        if self.is_sentinel {
            command.arg("--sentinel");
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start {}", program.display()))
    }

    /// Whether it answers and has loaded what it had on the disk. An error if it has ended.
    fn look_for_life(&self) -> Result<Option<()>> {
        if let Ok(mut client) = self.client()
            && client.command(&["PING"]).is_ok()
        {
            return Ok(Some(()));
        }
        let status = match self.child().as_mut() {
            Some(child) => child.try_wait()?,
            None => bail!("Redis was killed while it started"),
        };
        let Some(status) = status else {
            return Ok(None);
        };
        self.bury()?;
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
        bail!("Redis ended at start with {status}; the end of its log:\n{end}")
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.child();
        let child = child.as_ref().context("Redis does not run")?;
        kill_process(Pid::from_child(child), signal).with_context(|| format!("send {signal:?} to Redis"))
    }

    /// Takes leave of a process that has ended or is about to.
    fn bury(&self) -> Result<()> {
        let child = self.child().take();
        let mut child = child.context("Redis does not run")?;
        within("the end of Redis", LIMIT, || Ok(child.try_wait()?))?;
        orphans::remove(child.id())
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have been killed already, which is no error here.
        self.kill9().ok();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{AclUser, AppendOnly, redis_or_skip};

    fn get(redis: &Redis, key: &str) -> String {
        redis.command(&["GET", key]).unwrap().text()
    }

    #[test]
    fn what_is_appended_survives_a_kill_and_what_is_not_does_not() {
        if !redis_or_skip() {
            return;
        }
        for (append_only, survives) in [
            (AppendOnly::No, false),
            (AppendOnly::EverySecond, true),
            (AppendOnly::Always, true),
        ] {
            let redis = Redis::start(RedisOptions {
                append_only,
                ..RedisOptions::default()
            })
            .unwrap();
            let (addr, pid) = (redis.addr(), redis.pid());
            redis.command(&["SET", "a", "b c\r\nd"]).unwrap();
            redis.kill9().unwrap();
            assert_eq!(redis.pid(), None);
            assert!(
                redis.command(&["PING"]).is_err(),
                "a killed server answers nothing"
            );
            redis.restart().unwrap();
            assert_eq!(redis.addr(), addr);
            assert_ne!(redis.pid(), pid);
            assert_eq!(
                get(&redis, "a"),
                if survives { "b c\r\nd" } else { "" },
                "{append_only:?}"
            );
        }
    }

    #[test]
    fn a_frozen_server_answers_again_when_it_is_thawed() {
        if !redis_or_skip() {
            return;
        }
        let redis = Redis::start(RedisOptions::default()).unwrap();
        let mut client = redis.client().unwrap();
        redis.pause().unwrap();
        let (sender, answers) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || sender.send(client.command(&["PING"]).unwrap().text()).unwrap());
            assert!(answers.recv_timeout(Duration::from_millis(200)).is_err());
            redis.resume().unwrap();
            assert_eq!(answers.recv_timeout(LIMIT).unwrap(), "PONG");
        });
    }

    #[test]
    fn a_replica_has_what_its_primary_has_and_can_take_over() {
        if !redis_or_skip() {
            return;
        }
        let password = Some("secret".to_owned());
        let primary = Redis::start(RedisOptions {
            password,
            ..RedisOptions::default()
        })
        .unwrap();
        primary.command(&["SET", "a", "b"]).unwrap();
        let replica = primary.replica(RedisOptions::default()).unwrap();
        assert_eq!(get(&replica, "a"), "b");
        let refused = replica.command(&["SET", "a", "c"]).unwrap_err().to_string();
        assert!(refused.starts_with("READONLY"), "{refused}");
        primary.kill9().unwrap();
        replica.promote().unwrap();
        replica.command(&["SET", "a", "c"]).unwrap();
    }

    #[test]
    fn limits_users_and_tls_are_as_asked_for() {
        if !redis_or_skip() {
            return;
        }
        let redis = Redis::start(RedisOptions {
            memory_max: Some(3_000_000),
            memory_policy: Some("allkeys-lru".to_owned()),
            users: vec![AclUser {
                name: "hf".to_owned(),
                password: "secret".to_owned(),
                rules: "~hf:* +@all -config".to_owned(),
            }],
            transport: Transport::MutualTls,
            replicas_min: Some((1, 2)),
            extra: vec!["databases 3".to_owned()],
            ..RedisOptions::default()
        })
        .unwrap();
        let setting = |name| redis.command(&["CONFIG", "GET", name]).unwrap().items()[1].text();
        assert_eq!(setting("maxmemory"), "3000000");
        assert_eq!(setting("maxmemory-policy"), "allkeys-lru");
        assert_eq!(setting("databases"), "3");
        assert_eq!(setting("tls-port"), redis.addr().port().to_string());
        assert!(redis.url().starts_with("rediss://"), "{}", redis.url());
        assert!(redis.certificates().unwrap().client_key.exists());
        let refused = redis.command(&["SET", "a", "b"]).unwrap_err().to_string();
        assert!(refused.starts_with("NOREPLICAS"), "{refused}");
        let mut client = redis.client().unwrap();
        client.command(&["AUTH", "hf", "secret"]).unwrap();
        let refused = client
            .command(&["CONFIG", "GET", "port"])
            .unwrap_err()
            .to_string();
        assert!(refused.starts_with("NOPERM"), "{refused}");
    }

    #[test]
    fn starting_takes_well_under_a_second() {
        if !redis_or_skip() {
            return;
        }
        let time = || {
            let began_at = std::time::Instant::now();
            Redis::start(RedisOptions::default()).unwrap();
            began_at.elapsed()
        };
        let fastest = (0..5).map(|_| time()).min().unwrap();
        println!("the fastest of five starts took {fastest:?}");
        assert!(fastest < Duration::from_secs(1), "{fastest:?}");
    }

    #[test]
    fn the_cost_of_work_can_be_read() {
        if !redis_or_skip() {
            return;
        }
        let redis = Redis::start(RedisOptions::default()).unwrap();
        let before = redis.cpu_micros().unwrap();
        redis
            .command(&["EVAL", "for i = 1, 1000000 do redis.sha1hex('') end", "0"])
            .unwrap();
        let used = redis.cpu_micros().unwrap() - before;
        assert!(used > 10_000, "a million digests cost {used} microseconds");
    }

    #[test]
    fn a_setting_that_redis_does_not_know_is_an_error_with_its_words() {
        if !redis_or_skip() {
            return;
        }
        let extra = vec!["no-such-setting 1".to_owned()];
        let error = Redis::start(RedisOptions {
            extra,
            ..RedisOptions::default()
        })
        .unwrap_err();
        assert!(format!("{error:#}").contains("ended at start"), "{error:#}");
    }
}
