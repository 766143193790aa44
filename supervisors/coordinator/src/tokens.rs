//! The two tokens: of a data directory, made once and kept in files that only their owner can read, or from files that
//! somebody else provides.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The file of the admin token, in the data directory.
pub const ADMIN_TOKEN_FILE: &str = "admin.token";
/// The file of the join token, in the data directory.
pub const JOIN_TOKEN_FILE: &str = "join.token";
/// What an admin token begins with.
pub(crate) const ADMIN_PREFIX: &str = "hfa_";
/// What a join token begins with.
pub(crate) const JOIN_PREFIX: &str = "hfj_";
/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;

/// The tokens of a coordinator. They never print in a debug line.
pub struct Tokens {
    /// For people.
    pub admin: String,
    /// For agents.
    pub join: String,
}

/// A token file cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// The operating system refused.
    #[error("cannot use token file {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Its words.
        #[source]
        source: io::Error,
    },
    /// Others can read the file, so it is no secret any more.
    #[error("token file {} can be read by others: run `chmod 600 {}`, or remove it for a new token", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The file has no token in it.
    #[error("token file {} is empty: write the token into it, or, in a data directory, remove it for a new one", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The operating system has no randomness.
    #[error("cannot make a token")]
    NoRandomness,
}

impl Tokens {
    /// Reads the tokens of a data directory, and makes those that are missing.
    ///
    /// # Errors
    /// A file cannot be made or read, or others can read it.
    pub fn open(data: &Path) -> Result<Self, TokensError> {
        Ok(Self {
            admin: open(&data.join(ADMIN_TOKEN_FILE), ADMIN_PREFIX)?,
            join: open(&data.join(JOIN_TOKEN_FILE), JOIN_PREFIX)?,
        })
    }
}

/// Reads a token of the data directory, and makes it if it is missing.
pub(crate) fn open(path: &Path, prefix: &str) -> Result<String, TokensError> {
    let io = |source| TokensError::Io {
        path: path.to_owned(),
        source,
    };
    match make(path, prefix) {
        Ok(token) => return Ok(token),
        Err(TokensError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    if fs::metadata(path).map_err(io)?.permissions().mode() & 0o077 != 0 {
        return Err(TokensError::Exposed {
            path: path.to_owned(),
        });
    }
    read(path)
}

/// Reads a token from a file that somebody else provides, with the permissions that he chose.
pub(crate) fn read(path: &Path) -> Result<String, TokensError> {
    let text = fs::read_to_string(path).map_err(|source| TokensError::Io {
        path: path.to_owned(),
        source,
    })?;
    let token = text.trim().to_owned();
    if token.is_empty() {
        Err(TokensError::Empty {
            path: path.to_owned(),
        })
    } else {
        Ok(token)
    }
}

/// Makes a token in a file that did not exist. The file appears whole: it is written under another name first.
fn make(path: &Path, prefix: &str) -> Result<String, TokensError> {
    let io = |source| TokensError::Io {
        path: path.to_owned(),
        source,
    };
    if path.exists() {
        return Err(io(io::ErrorKind::AlreadyExists.into()));
    }
    let mut random = [0; TOKEN_BYTES];
    getrandom::fill(&mut random).map_err(|_| TokensError::NoRandomness)?;
    let token = format!("{prefix}{}", hex::encode(random));
    // Not the process id: in a container it is the same at each start, and a crash may have left a draft.
    let number = getrandom::u64().map_err(|_| TokensError::NoRandomness)?;
    let draft = path.with_extension(format!("draft-{number:016x}"));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .map_err(io)?;
    file.write_all(format!("{token}\n").as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(io)?;
    // A link refuses an existing name, where a rename would replace another process's token.
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft).map_err(io)?;
    linked.map_err(io)?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_made_once_and_only_their_owner_can_read_them() {
        let data = tempfile::tempdir().unwrap();
        let made = Tokens::open(data.path()).unwrap();
        let read = Tokens::open(data.path()).unwrap();
        assert_eq!((&made.admin, &made.join), (&read.admin, &read.join));
        assert_ne!(made.admin, made.join);
        let mode = fs::metadata(data.path().join(ADMIN_TOKEN_FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_draft_that_a_crash_has_left_is_in_nobodys_way() {
        let data = tempfile::tempdir().unwrap();
        let draft = format!("draft-{}", std::process::id());
        for file in [ADMIN_TOKEN_FILE, JOIN_TOKEN_FILE] {
            fs::write(data.path().join(file).with_extension(&draft), "").unwrap();
        }
        Tokens::open(data.path()).unwrap();
    }

    #[test]
    fn a_token_that_others_can_read_is_refused_with_the_way_out() {
        let data = tempfile::tempdir().unwrap();
        drop(Tokens::open(data.path()).unwrap());
        let path = data.path().join(JOIN_TOKEN_FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let refused = Tokens::open(data.path()).err().unwrap().to_string();
        assert!(refused.contains("chmod 600"), "{refused}");
    }
}
