//! The first words on a connection, before the library below says anything: who both sides are.
//!
//! The library would find out by itself, but only after it has opened a session, and it does not tell whom a dialled
//! address belongs to. Here the dialling side learns it, and hangs up if that is itself or a peer that it has already.
//! Both speak JSON that may gain fields: a version that knows less reads on.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::identity::Identity;

/// How long both sides together may take for their first words.
pub(crate) const GREETING_MAX: Duration = Duration::from_secs(3);
/// What each side begins with: the protocol and its version.
const MAGIC: &[u8; 8] = b"HFMESH1\n";
/// Longest greeting after that, in bytes.
const GREETING_BYTES_MAX: u16 = 1024;
/// What the dialling side says when the session may begin.
const GO_ON: u8 = b'+';

/// Why two did not get to know each other.
#[derive(Debug, Error)]
pub(crate) enum GreetError {
    /// The connection is gone.
    #[error("it hung up before it had said who it is: {0}")]
    Io(#[from] std::io::Error),
    /// Somebody else listens there.
    #[error("what answers there is no HiveForge mesh of this version")]
    Stranger,
    /// Longer than a greeting is, or not one.
    #[error("its greeting cannot be read: {0}")]
    Unreadable(String),
    /// Two that cannot be told apart by people.
    #[error("it is called `{0}`, as this coordinator is: give each a name of its own with --mesh-name")]
    SameName(String),
    /// The other side has no use for this connection.
    #[error("it hung up: it has this peer already")]
    NotWanted,
}

/// What one side says.
#[derive(Debug, Serialize, Deserialize)]
struct Greeting {
    #[serde(rename = "coordinator")]
    from: Identity,
}

/// Greets first, and returns who answered. The connection is of use only if [`go_on`] is said then.
pub(crate) async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    own: &Identity,
) -> Result<Identity, GreetError> {
    say(stream, own).await?;
    told_apart(own, hear(stream).await?)
}

/// Lets the session begin, on the dialling side.
pub(crate) async fn go_on<S: AsyncWrite + Unpin>(stream: &mut S) -> Result<(), GreetError> {
    stream.write_all(&[GO_ON]).await?;
    Ok(stream.flush().await?)
}

/// Waits for a greeting, answers it, and returns from whom it is once the session may begin.
pub(crate) async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    own: &Identity,
) -> Result<Identity, GreetError> {
    let peer = hear(stream).await?;
    say(stream, own).await?;
    match stream.read_u8().await {
        Ok(GO_ON) => told_apart(own, peer),
        Ok(_) | Err(_) => Err(GreetError::NotWanted),
    }
}

/// Refuses somebody else of the same name. Itself is fine: the dialling side wants to know that.
fn told_apart(own: &Identity, peer: Identity) -> Result<Identity, GreetError> {
    if own.name == peer.name && !own.is_same_process(&peer) {
        return Err(GreetError::SameName(peer.name));
    }
    Ok(peer)
}

async fn say<S: AsyncWrite + Unpin>(stream: &mut S, own: &Identity) -> Result<(), GreetError> {
    let greeting = Greeting { from: own.clone() };
    let json = serde_json::to_vec(&greeting).expect("two strings are JSON");
    let length = u16::try_from(json.len()).expect("names are short");
    let parts = [MAGIC.as_slice(), &length.to_be_bytes(), &json];
    stream.write_all(&parts.concat()).await?;
    Ok(stream.flush().await?)
}

async fn hear<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Identity, GreetError> {
    let mut magic = [0; MAGIC.len()];
    stream.read_exact(&mut magic).await?;
    if &magic != MAGIC {
        return Err(GreetError::Stranger);
    }
    let length = stream.read_u16().await?;
    if length > GREETING_BYTES_MAX {
        return Err(GreetError::Unreadable(format!(
            "{length} bytes, {GREETING_BYTES_MAX} at most"
        )));
    }
    let mut json = vec![0; usize::from(length)];
    stream.read_exact(&mut json).await?;
    let greeting: Greeting =
        serde_json::from_slice(&json).map_err(|error| GreetError::Unreadable(error.to_string()))?;
    let from = greeting.from;
    if from.is_sound() {
        Ok(from)
    } else {
        Err(GreetError::Unreadable("it names nobody".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(name: &str) -> Identity {
        Identity::new(name, 1, 1)
    }

    #[tokio::test]
    async fn both_sides_learn_who_the_other_is() {
        let (mut near, mut far) = tokio::io::duplex(4096);
        let (one, two) = (identity("one"), identity("two"));
        let dialled = async {
            let met = greet(&mut near, &one).await?;
            go_on(&mut near).await?;
            Ok::<_, GreetError>(met)
        };
        let (met_by_one, met_by_two) = tokio::join!(dialled, answer(&mut far, &two));
        assert_eq!((met_by_one.unwrap(), met_by_two.unwrap()), (two, one));
    }

    #[tokio::test]
    async fn two_of_one_name_are_told_so() {
        let (mut near, mut far) = tokio::io::duplex(4096);
        let (one, other) = (Identity::new("c1", 1, 1), Identity::new("c1", 2, 1));
        let dialled = async move { greet(&mut near, &one).await };
        let (greeted, answered) = tokio::join!(dialled, answer(&mut far, &other));
        assert!(matches!(greeted, Err(GreetError::SameName(_))), "{greeted:?}");
        assert!(matches!(answered, Err(GreetError::NotWanted)), "{answered:?}");
    }

    #[tokio::test]
    async fn who_hangs_up_after_the_greeting_opens_no_session() {
        let (mut near, mut far) = tokio::io::duplex(4096);
        let (one, two) = (identity("one"), identity("two"));
        let hang_up = async move { greet(&mut near, &one).await.map(drop) };
        let (greeted, answered) = tokio::join!(hang_up, answer(&mut far, &two));
        greeted.unwrap();
        assert!(matches!(answered, Err(GreetError::NotWanted)), "{answered:?}");
    }

    #[tokio::test]
    async fn strangers_and_long_or_unsound_greetings_are_refused() {
        let framed = |json: &str| {
            [
                MAGIC.as_slice(),
                &(json.len() as u16).to_be_bytes(),
                json.as_bytes(),
            ]
            .concat()
        };
        let cases = [
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            [MAGIC.as_slice(), &u16::MAX.to_be_bytes()].concat(),
            framed("{}"),
            framed(r#"{"coordinator":{"name":"a@b","life":"1"}}"#),
        ];
        for bytes in cases {
            let (mut near, mut far) = tokio::io::duplex(4096);
            near.write_all(&bytes).await.unwrap();
            let refused = hear(&mut far).await;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            assert!(
                matches!(refused, Err(GreetError::Stranger | GreetError::Unreadable(_))),
                "{text}: {refused:?}"
            );
        }
        let (mut near, mut far) = tokio::io::duplex(4096);
        let json = r#"{"coordinator":{"name":"a","life":"1","later":1},"later":true}"#;
        near.write_all(&framed(json)).await.unwrap();
        assert_eq!(hear(&mut far).await.unwrap().name, "a");
    }
}
