//! A minimal blocking client of Redis, for what tests ask of a server besides what they test.
//!
//! It speaks RESP2 over the Unix socket that every server of ours has, so it works while a proxy, TLS or the client under
//! test is in trouble.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

/// The longest that one answer may take. A stopped server answers nothing.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// The longest bulk string and array that are believed.
const LENGTH_MAX: i64 = 512 * 1024 * 1024;

/// An answer that is no error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing there.
    Nil,
    /// `+OK` and the like.
    Simple(String),
    /// `-ERR ...`: only within an array, elsewhere it is an error of the call.
    Error(String),
    /// A number.
    Integer(i64),
    /// Bytes.
    Bulk(Vec<u8>),
    /// Several answers.
    Array(Vec<Reply>),
}

impl Reply {
    /// The text of a simple or bulk string, with what is not UTF-8 replaced; empty for anything else.
    pub fn text(&self) -> String {
        match self {
            Self::Simple(text) | Self::Error(text) => text.clone(),
            Self::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Nil | Self::Integer(_) | Self::Array(_) => String::new(),
        }
    }

    /// The number, if it is one.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Nil | Self::Simple(_) | Self::Error(_) | Self::Bulk(_) | Self::Array(_) => None,
        }
    }

    /// The elements of an array; none for anything else.
    pub fn items(&self) -> &[Reply] {
        match self {
            Self::Array(items) => items,
            Self::Nil | Self::Simple(_) | Self::Error(_) | Self::Integer(_) | Self::Bulk(_) => &[],
        }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the Unix socket of a server.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn connect(socket: &Path) -> Result<Self> {
        let stream =
            UnixStream::connect(socket).with_context(|| format!("connect to {}", socket.display()))?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends a command and waits for its answer, at most 30 s.
    ///
    /// # Errors
    /// The connection breaks, no answer comes, or it is an error; its text is that of Redis.
    pub fn command(&mut self, arguments: &[&str]) -> Result<Reply> {
        let name = arguments.first().copied().unwrap_or_default();
        let mut request = format!("*{}\r\n", arguments.len());
        for argument in arguments {
            request.push_str(&format!("${}\r\n{argument}\r\n", argument.len()));
        }
        self.stream
            .get_mut()
            .write_all(request.as_bytes())
            .with_context(|| format!("send {name}"))?;
        match self
            .read_reply()
            .with_context(|| format!("read the answer to {name}"))?
        {
            Reply::Error(text) => bail!("{text}"),
            reply => Ok(reply),
        }
    }

    fn read_reply(&mut self) -> Result<Reply> {
        let line = self.read_line()?;
        let (kind, rest) = line
            .split_at_checked(1)
            .context("an empty line instead of an answer")?;
        Ok(match kind {
            "+" => Reply::Simple(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(rest.parse()?),
            "$" => match length(rest)? {
                None => Reply::Nil,
                Some(length) => Reply::Bulk(self.read_bulk(length)?),
            },
            "*" => match length(rest)? {
                None => Reply::Nil,
                Some(length) => Reply::Array((0..length).map(|_| self.read_reply()).collect::<Result<_>>()?),
            },
            other => bail!("{other:?} is no kind of answer"),
        })
    }

    fn read_line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        ensure!(line.ends_with("\r\n"), "the connection was closed");
        line.truncate(line.len() - 2);
        Ok(line)
    }

    fn read_bulk(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes)?;
        bytes.truncate(length);
        Ok(bytes)
    }
}

fn length(text: &str) -> Result<Option<usize>> {
    let length: i64 = text.parse()?;
    ensure!(length <= LENGTH_MAX, "an answer of {length} is too long");
    Ok(usize::try_from(length).ok())
}
