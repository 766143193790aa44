//! One command to the primary of a space, and its reply: for everything but commits.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Pipeline, Value};

use super::dial::Connection;
use super::directory::Directory;
use super::failure::{Trouble, refused, unexpected};
use super::keys::Keys;
use super::reply::Unexpected;
use super::script::Loaded;
use crate::NexusError;

/// How long a reply may take. A Redis that syncs each turn of its loop may need a part of a second for it.
const CALL_MAX: Duration = Duration::from_secs(4);

/// What a lost reply means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing was changed in any case.
    Reads,
    /// It may have been carried out.
    Writes,
}

/// A reply, and who gave it.
pub(super) struct Reply {
    value: Value,
    connection: Arc<Connection>,
}

impl Reply {
    /// Makes sense of it.
    pub(super) fn read<T>(self, read: impl FnOnce(Value) -> Result<T, Unexpected>) -> Result<T, NexusError> {
        read(self.value).map_err(|strange| unexpected(self.connection.server(), strange))
    }

    /// Which process of Redis it came from; empty if that is not known.
    pub(super) fn run_id(&self) -> String {
        self.connection.run_id().to_owned()
    }
}

/// Runs a script, which is loaded where it is not known.
pub(super) async fn script(
    directory: &Directory,
    keys: &Keys,
    (script, effect): (&Loaded, Effect),
    call: Cmd,
) -> Result<Reply, NexusError> {
    let mut pipeline = Pipeline::new();
    pipeline.add_command(call);
    match send(directory, keys, effect, &pipeline).await {
        Ok(reply) => return Ok(reply),
        Err(failure) if failure.is_of_script => {}
        Err(failure) => return Err(failure.error),
    }
    let mut load_first = Pipeline::new();
    load_first.add_command(script.load());
    for command in pipeline.cmd_iter() {
        load_first.add_command(command.clone());
    }
    send(directory, keys, effect, &load_first)
        .await
        .map_err(|failure| failure.error)
}

/// Sends a plain command that reads.
pub(super) async fn command(directory: &Directory, keys: &Keys, command: Cmd) -> Result<Reply, NexusError> {
    let mut pipeline = Pipeline::new();
    pipeline.add_command(command);
    send(directory, keys, Effect::Reads, &pipeline)
        .await
        .map_err(|failure| failure.error)
}

struct Failure {
    error: NexusError,
    /// Only because the script is not known.
    is_of_script: bool,
}

impl From<NexusError> for Failure {
    fn from(error: NexusError) -> Self {
        Self {
            error,
            is_of_script: false,
        }
    }
}

/// The reply to the last command.
async fn send(
    directory: &Directory,
    keys: &Keys,
    effect: Effect,
    commands: &Pipeline,
) -> Result<Reply, Failure> {
    let primary = directory
        .primary(keys.slot())
        .await
        .map_err(NexusError::Unavailable)?;
    let connection = match primary.line().connection().await {
        Ok(connection) => connection,
        Err(why) => {
            primary.doubt();
            return Err(NexusError::Unavailable(why).into());
        }
    };
    let replies = match connection.send(commands, CALL_MAX).await {
        Ok(replies) => replies,
        Err(why) => {
            primary.doubt();
            primary.line().abandon(&connection).await;
            let why = Arc::new(why);
            let error = match effect {
                Effect::Reads => NexusError::Unavailable(why),
                Effect::Writes => NexusError::OutcomeUnknown(why),
            };
            return Err(error.into());
        }
    };
    match replies.into_iter().next_back().unwrap_or_default() {
        Value::ServerError(error) => {
            let trouble = Trouble::of(&error);
            if trouble == Trouble::Misrouted {
                primary.doubt();
            }
            Err(Failure {
                error: refused(connection.server(), error),
                is_of_script: trouble == Trouble::UnknownScript,
            })
        }
        value => Ok(Reply { value, connection }),
    }
}
