//! Sentinels over one primary and its replicas: they notice its death and promote a replica.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::Redis;
use crate::wait::{LIMIT, within};

/// The name under which the Sentinels know the primary.
pub const SERVICE: &str = "hive";
/// Sentinels that see their own clock jump by 2 s, as on a busy machine, promote nobody for 30 s.
const FAILOVER_MAX: Duration = Duration::from_secs(120);

/// A set of running Sentinels, which end when this is dropped.
#[derive(Debug)]
pub struct Sentinels {
    /// All of them, the killed ones included.
    pub members: Vec<Redis>,
}

impl Sentinels {
    /// Starts `n` of them, a majority of which decides, and waits until each knows the others and `n_replicas` replicas.
    /// A primary that does not answer for `down_after` is taken for dead.
    ///
    /// # Errors
    /// One does not come up, or they do not find each other.
    pub fn start(primary: &Redis, n: usize, n_replicas: usize, down_after: Duration) -> Result<Self> {
        let mut lines = format!(
            "sentinel monitor {SERVICE} 127.0.0.1 {port} {quorum}\n\
             sentinel down-after-milliseconds {SERVICE} {down_after}\n\
             sentinel failover-timeout {SERVICE} 10000\n\
             sentinel parallel-syncs {SERVICE} 1\n",
            port = primary.addr().port(),
            quorum = n / 2 + 1,
            down_after = down_after.as_millis(),
        );
        if let Some(password) = primary.password() {
            lines.push_str(&format!("sentinel auth-pass {SERVICE} {password}\n"));
        }
        let members = (0..n)
            .map(|_| Redis::sentinel(&lines))
            .collect::<Result<Vec<_>>>()?;
        let sentinels = Self { members };
        within("the Sentinels know each other and the replicas", LIMIT, || {
            for member in &sentinels.members {
                if !knows(member, n - 1, n_replicas)? {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })?;
        Ok(sentinels)
    }

    /// Where they listen.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.members.iter().map(Redis::addr).collect()
    }

    /// The primary, as the first Sentinel that runs knows it.
    ///
    /// # Errors
    /// None of them answers.
    pub fn primary(&self) -> Result<SocketAddr> {
        let member = self.members.iter().find(|member| member.pid().is_some());
        let member = member.context("no Sentinel runs")?;
        let reply = member.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE])?;
        let [ip, port] = reply.items() else {
            anyhow::bail!("a Sentinel answers {reply:?} when asked for the primary");
        };
        format!("{}:{}", ip.text(), port.text())
            .parse()
            .context("the address of the primary")
    }

    /// Waits until another primary than `old` is named, for at most two minutes, and says which.
    ///
    /// # Errors
    /// Nobody is promoted.
    pub fn wait_for_another_primary(&self, old: SocketAddr) -> Result<SocketAddr> {
        within("the Sentinels promote a replica", FAILOVER_MAX, || {
            let primary = self.primary()?;
            Ok((primary != old).then_some(primary))
        })
    }
}

fn knows(member: &Redis, n_others: usize, n_replicas: usize) -> Result<bool> {
    let reply = member.command(&["SENTINEL", "MASTER", SERVICE])?;
    let fields = reply.items();
    let number = |name: &str| {
        let value = fields.chunks_exact(2).find(|field| field[0].text() == name);
        value.and_then(|field| field[1].text().parse::<usize>().ok())
    };
    Ok(number("num-other-sentinels") == Some(n_others) && number("num-slaves") == Some(n_replicas))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RedisOptions, redis_or_skip};

    #[test]
    fn a_replica_is_promoted_when_the_primary_is_dead() {
        if !redis_or_skip() {
            return;
        }
        let password = Some("secret".to_owned());
        let primary = Redis::start(RedisOptions {
            password,
            ..RedisOptions::default()
        })
        .unwrap();
        let replicas = [
            primary.replica(RedisOptions::default()).unwrap(),
            primary.replica(RedisOptions::default()).unwrap(),
        ];
        let sentinels = Sentinels::start(&primary, 3, 2, Duration::from_millis(500)).unwrap();
        assert_eq!(sentinels.primary().unwrap(), primary.addr());
        primary.kill9().unwrap();
        let promoted = sentinels.wait_for_another_primary(primary.addr()).unwrap();
        let promoted = replicas
            .iter()
            .find(|replica| replica.addr() == promoted)
            .unwrap();
        within("the promoted replica takes writes", LIMIT, || {
            Ok(promoted.command(&["SET", "a", "b"]).ok())
        })
        .unwrap();
    }
}
