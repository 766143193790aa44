//! Room for connections: each parked agent is an open file of this process, and one of its coordinator.

use anyhow::{Context as _, ensure};
use rustix::process::{Resource, getrlimit, setrlimit};

/// Files of a process beside its connections to agents.
const SPARE: usize = 256;
/// Connections that one coordinator takes; the next one waits until another ends.
const CONNECTIONS_MAX: usize = 4_096;

/// Makes room for so many connections to so many coordinators. Processes that are started later inherit it.
///
/// # Errors
/// There cannot be so many, and how there could.
pub(crate) fn make_room(connections: usize, coordinators: usize) -> anyhow::Result<()> {
    let each = connections.div_ceil(coordinators.max(1));
    ensure!(
        each + SPARE <= CONNECTIONS_MAX,
        "{connections} connections are {each} for each of {coordinators} coordinators, which take {CONNECTIONS_MAX}, \
         {SPARE} of them for others: start more with --coordinators"
    );
    let wanted = u64::try_from(connections + SPARE).context("a number of files")?;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    limit.current = Some(wanted);
    // Above the maximum only root may go.
    limit.maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    setrlimit(Resource::Nofile, limit).with_context(|| {
        format!(
            "{connections} connections need {wanted} open files: raise the limit with `ulimit -Hn {wanted}`"
        )
    })
}
