//! The second factor beside TLS: a text that all coordinators know, kept in a file that only its owner can read.
//!
//! It is not sent, but what the library below proves of it could be guessed at leisure by who overhears it. So it has to
//! be long and random: `openssl rand -hex 32`.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Shortest cookie, in bytes: 128 random bits as hexadecimal digits.
pub const COOKIE_BYTES_MIN: usize = 32;
/// Longest cookie, in bytes.
const COOKIE_BYTES_MAX: u64 = 4096;

/// The cookie. It never prints.
#[derive(Clone)]
pub(crate) struct Cookie(String);

/// A cookie file is of no use.
#[derive(Debug, Error)]
pub enum CookieError {
    /// The operating system refused.
    #[error("cannot read cookie file {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Its words.
        #[source]
        source: std::io::Error,
    },
    /// Others can read it, so it proves nothing.
    #[error("cookie file {} can be read by others: run `chmod 600 {}`", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// It could be guessed, or is no cookie.
    #[error(
        "cookie file {} has {found} bytes: a cookie has {COOKIE_BYTES_MIN} to {COOKIE_BYTES_MAX}; make one with \
         `openssl rand -hex 32`",
        path.display()
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// What it has, without white space around.
        found: u64,
    },
}

impl Cookie {
    pub(crate) fn read(path: &Path) -> Result<Self, CookieError> {
        let io = |source| CookieError::Io {
            path: path.to_owned(),
            source,
        };
        let length = |found| CookieError::Length {
            path: path.to_owned(),
            found,
        };
        let metadata = fs::metadata(path).map_err(io)?;
        // A secret that an orchestrator mounts belongs to root and is read through the group.
        if metadata.permissions().mode() & 0o007 != 0 {
            return Err(CookieError::Exposed {
                path: path.to_owned(),
            });
        }
        if metadata.len() > COOKIE_BYTES_MAX {
            return Err(length(metadata.len()));
        }
        let text = fs::read_to_string(path).map_err(io)?.trim().to_owned();
        if text.len() < COOKIE_BYTES_MIN {
            return Err(length(text.len() as u64));
        }
        Ok(Self(text))
    }

    /// The text, for the one who proves that it is known.
    pub(crate) fn reveal(&self) -> String {
        self.0.clone()
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookie(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cookie");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    #[test]
    fn a_long_text_that_only_its_owner_reads_is_a_cookie_and_does_not_print() {
        let text = "0123456789abcdef".repeat(2);
        let (_dir, path) = file(&format!("{text}\n"), 0o600);
        let cookie = Cookie::read(&path).unwrap();
        assert_eq!(
            (cookie.reveal(), format!("{cookie:?}")),
            (text, "Cookie(..)".to_owned())
        );
    }

    #[test]
    fn a_cookie_that_others_read_or_that_could_be_guessed_is_refused_with_the_way_out() {
        let (_dir, open) = file(&"x".repeat(32), 0o644);
        assert!(Cookie::read(&open).unwrap_err().to_string().contains("chmod 600"));
        for (text, found) in [("short\n".to_owned(), 5), ("x".repeat(5000), 5000)] {
            let (_dir, path) = file(&text, 0o600);
            let refused = Cookie::read(&path).unwrap_err();
            assert!(
                matches!(refused, CookieError::Length { found: n, .. } if n == found),
                "{refused}"
            );
            assert!(refused.to_string().contains("openssl rand"), "{refused}");
        }
    }
}
