//! The scripts, by which every write is one atomic step. They are loaded by content, so that programs of two versions side
//! by side each run their own, and loaded again whenever Redis does not know them (it forgets them with each restart,
//! failover and `SCRIPT FLUSH`).

use std::sync::LazyLock;

use redis::{Cmd, Script};

/// One script under one policy.
pub(super) struct Loaded {
    code: String,
    hash: String,
}

/// Commits growth: refused as a whole, before it runs, once memory is full.
pub(super) static GROWTH: LazyLock<Loaded> =
    LazyLock::new(|| Loaded::new("#!lua", include_str!("commit.lua")));
/// Commits relief: runs even when memory is full, for what it does is what frees memory.
pub(super) static RELIEF: LazyLock<Loaded> =
    LazyLock::new(|| Loaded::new("#!lua flags=allow-oom", include_str!("commit.lua")));
/// Takes, which moves members and brings nothing new.
pub(super) static TAKE: LazyLock<Loaded> =
    LazyLock::new(|| Loaded::new("#!lua flags=allow-oom", include_str!("take.lua")));
/// Reads a page of a set.
pub(super) static PAGE: LazyLock<Loaded> =
    LazyLock::new(|| Loaded::new("#!lua flags=no-writes", include_str!("page.lua")));
/// Reads a stretch of a log.
pub(super) static LOG: LazyLock<Loaded> =
    LazyLock::new(|| Loaded::new("#!lua flags=no-writes", include_str!("log.lua")));

/// Says which right our user lacks.
pub(super) static RIGHTS: LazyLock<Loaded> =
    LazyLock::new(|| Loaded::new("#!lua flags=no-writes", include_str!("rights.lua")));

impl Loaded {
    fn new(policy: &str, body: &str) -> Self {
        let code = format!("{policy}\n{body}");
        let hash = Script::new(&code).get_hash().to_owned();
        Self { code, hash }
    }

    /// The call of the script, to which arguments are added.
    pub(super) fn call(&self, keys: &[Vec<u8>]) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(&self.hash).arg(keys.len()).arg(keys);
        call
    }

    /// The command that makes the script known.
    pub(super) fn load(&self) -> Cmd {
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(&self.code);
        load
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_command_of_a_script_is_among_the_rights_that_are_looked_at() {
        let commands = |script: &Loaded, before: &str| -> BTreeSet<String> {
            let behind = script.code.split(before).skip(1);
            behind
                .filter_map(|text| text.split_once('\''))
                .map(|(name, _)| name.to_ascii_lowercase())
                .collect()
        };
        let mut looked_at = commands(&RIGHTS, "{ '");
        for script in [&GROWTH, &TAKE, &PAGE, &LOG] {
            let steps = commands(script, "call_in_steps('");
            for command in commands(script, "call('").union(&steps) {
                assert!(looked_at.contains(command), "{command}");
            }
        }
        looked_at.retain(|name| !GROWTH.code.contains(&format!("'{}'", name.to_ascii_uppercase())));
        assert_eq!(
            looked_at,
            BTreeSet::from(
                [
                    "lindex",
                    "ping",
                    "subscribe",
                    "time",
                    "unsubscribe",
                    "wait",
                    "zcount"
                ]
                .map(str::to_owned)
            )
        );
    }
}
