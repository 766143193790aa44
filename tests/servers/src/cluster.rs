//! A Redis Cluster on loopback: primaries only, the slots dealt evenly among them.

use anyhow::Result;

use crate::wait::{LIMIT, within};
use crate::{AppendOnly, Redis, RedisOptions};

/// How many slots a Cluster has.
const N_SLOTS: usize = 16_384;

/// A running Cluster, which ends when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    /// Its primaries, by the slots that they hold.
    pub members: Vec<Redis>,
}

impl Cluster {
    /// Starts one of `n_members` and waits until each of them says that the Cluster is whole.
    ///
    /// # Errors
    /// A member does not come up, or they do not agree.
    pub fn start(n_members: usize) -> Result<Self> {
        Self::start_with(n_members, AppendOnly::No)
    }

    /// As [`Cluster::start`], with persistence.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn start_with(n_members: usize, append_only: AppendOnly) -> Result<Self> {
        let options = RedisOptions {
            is_cluster_member: true,
            append_only,
            ..RedisOptions::default()
        };
        let members = (0..n_members)
            .map(|_| Redis::start(options.clone()))
            .collect::<Result<Vec<_>>>()?;
        for (i, member) in members.iter().enumerate() {
            let (first, end) = (i * N_SLOTS / n_members, (i + 1) * N_SLOTS / n_members);
            member.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(i + 1).to_string()])?;
            member.command(&[
                "CLUSTER",
                "ADDSLOTSRANGE",
                &first.to_string(),
                &(end - 1).to_string(),
            ])?;
            let port = members[0].addr().port().to_string();
            member.command(&["CLUSTER", "MEET", "127.0.0.1", &port])?;
        }
        let cluster = Self { members };
        cluster.wait_until_whole()?;
        Ok(cluster)
    }

    /// Waits until each member says that all slots are served and all members are known.
    ///
    /// # Errors
    /// They do not agree within a minute.
    pub fn wait_until_whole(&self) -> Result<()> {
        let n_members = self.members.len().to_string();
        within("the members of the Cluster agree", LIMIT, || {
            for member in &self.members {
                let text = member.command(&["CLUSTER", "INFO"])?.text();
                let says = |words: String| text.lines().any(|line| line == words);
                if !says("cluster_state:ok".to_owned())
                    || !says(format!("cluster_size:{n_members}"))
                    || !says(format!("cluster_known_nodes:{n_members}"))
                {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
    }

    /// The member that holds the slot of a key.
    ///
    /// # Errors
    /// A member does not answer.
    pub fn member_of(&self, key: &str) -> Result<&Redis> {
        let slot = self.members[0]
            .command(&["CLUSTER", "KEYSLOT", key])?
            .integer()
            .unwrap_or_default();
        let slot = usize::try_from(slot)?;
        let n_members = self.members.len();
        let holds = |i: &usize| slot < (i + 1) * N_SLOTS / n_members;
        Ok(&self.members[(0..n_members).find(holds).unwrap_or_default()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis_or_skip;

    #[test]
    fn each_key_has_one_member_and_the_others_name_it() {
        if !redis_or_skip() {
            return;
        }
        let cluster = Cluster::start(3).unwrap();
        for key in ["{a}1", "{b}1", "{c}1", "{d}1"] {
            let home = cluster.member_of(key).unwrap();
            home.command(&["SET", key, "1"]).unwrap();
            for other in cluster
                .members
                .iter()
                .filter(|member| member.addr() != home.addr())
            {
                let moved = other.command(&["GET", key]).unwrap_err().to_string();
                assert!(moved.ends_with(&home.addr().to_string()), "{moved}");
            }
        }
    }
}
