//! Opens the nexus that is configured: its URL, and the files with what does not belong into a URL.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nexus::{
    Clock, Nexus, OpenError, Password, RedisConfig, RedisNexus, RedisTls, Replication, SqliteNexus,
    TlsIdentity,
};

use crate::nexus_url::{NexusUrl, RedisUrl};

/// Where truth lives, and how to get there.
#[derive(Debug, Clone)]
pub struct NexusConfig {
    /// Which nexus.
    pub url: NexusUrl,
    /// A file with the password of the URL's user.
    pub password_file: Option<PathBuf>,
    /// A file with the authorities that vouch for the servers, in PEM; needed with TLS.
    pub ca_file: Option<PathBuf>,
    /// A file with the certificate that a coordinator shows, in PEM.
    pub cert_file: Option<PathBuf>,
    /// A file with its key, in PEM.
    pub key_file: Option<PathBuf>,
    /// How many replicas must have what people were told is safe; none: one, where there is any.
    pub replicas: Option<u32>,
    /// How long to wait for them.
    pub replicas_wait_max: Option<Duration>,
}

impl NexusConfig {
    /// This nexus, without password, TLS files and wishes.
    pub const fn at(url: NexusUrl) -> Self {
        Self {
            url,
            password_file: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            replicas: None,
            replicas_wait_max: None,
        }
    }

    /// Opens the nexus. A Redis need not be there yet.
    ///
    /// # Errors
    /// The settings do not go together, a file cannot be read, or the file of an embedded nexus cannot be used.
    pub(crate) fn open(&self) -> Result<Arc<dyn Nexus>, NexusConfigError> {
        match &self.url {
            NexusUrl::Sqlite(path) => {
                self.nothing_of_redis()?;
                Ok(Arc::new(SqliteNexus::open(path, Clock::system())?))
            }
            NexusUrl::Redis(url) => Ok(Arc::new(RedisNexus::open(self.redis(url)?)?)),
        }
    }

    fn nothing_of_redis(&self) -> Result<(), NexusConfigError> {
        let Self {
            url: _,
            password_file,
            ca_file,
            cert_file,
            key_file,
            replicas,
            replicas_wait_max,
        } = self;
        let files = [
            ("password file", password_file),
            ("CA file", ca_file),
            ("certificate file", cert_file),
            ("key file", key_file),
        ];
        let given = files
            .into_iter()
            .find_map(|(what, file)| file.as_ref().map(|_| what))
            .or_else(|| replicas.map(|_| "number of replicas"))
            .or_else(|| replicas_wait_max.map(|_| "time to wait for replicas"));
        given.map_or(Ok(()), |what| Err(NexusConfigError::Embedded { what }))
    }

    fn redis(&self, url: &RedisUrl) -> Result<RedisConfig, NexusConfigError> {
        let usual = Replication::default();
        Ok(RedisConfig {
            user: url.user.clone(),
            password: self.password()?,
            tls: self.tls(url.tls)?,
            replication: Replication {
                wait_for: self.replicas,
                wait_max: self.replicas_wait_max.unwrap_or(usual.wait_max),
            },
            ..RedisConfig::new(url.servers.clone())
        })
    }

    fn password(&self) -> Result<Option<Password>, NexusConfigError> {
        let Some(path) = &self.password_file else {
            return Ok(None);
        };
        let text =
            String::from_utf8(read(path)?).map_err(|_| NexusConfigError::NotText { path: path.clone() })?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(NexusConfigError::NoPassword { path: path.clone() }),
            password => Ok(Some(Password::new(password))),
        }
    }

    fn tls(&self, wanted: bool) -> Result<Option<RedisTls>, NexusConfigError> {
        if !wanted {
            let given = [&self.ca_file, &self.cert_file, &self.key_file];
            return match given.iter().any(|file| file.is_some()) {
                true => Err(NexusConfigError::FilesWithoutTls),
                false => Ok(None),
            };
        }
        let ca = read(self.ca_file.as_ref().ok_or(NexusConfigError::NoCa)?)?;
        let identity = match (&self.cert_file, &self.key_file) {
            (Some(certificates), Some(key)) => Some(TlsIdentity {
                certificates: read(certificates)?,
                key: read(key)?,
            }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(NexusConfigError::HalfIdentity),
        };
        Ok(Some(RedisTls { ca, identity }))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, NexusConfigError> {
    fs::read(path).map_err(|source| NexusConfigError::File {
        path: path.to_owned(),
        source,
    })
}

/// The nexus cannot be opened as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum NexusConfigError {
    /// The backend refuses.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file cannot be read.
    #[error("read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        #[source]
        source: io::Error,
    },
    /// A password file holds something else.
    #[error("use {} as a password: it is no text", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// A password file is empty.
    #[error("use {} as a password: it is empty", path.display())]
    NoPassword {
        /// The file.
        path: PathBuf,
    },
    /// An embedded nexus has no use for what was said.
    #[error("give an embedded nexus a {what}: that is for Redis; leave it out, or use a redis:// URL")]
    Embedded {
        /// What was said.
        what: &'static str,
    },
    /// Files for TLS, but no TLS.
    #[error("use a CA, certificate or key file without TLS: write rediss:// for redis://")]
    FilesWithoutTls,
    /// TLS, but nobody to trust.
    #[error("use TLS without a CA file: name the authority that vouches for the servers (--nexus-ca-file)")]
    NoCa,
    /// A certificate without a key, or the other way round.
    #[error("use a certificate without its key, or a key without its certificate: give both or neither")]
    HalfIdentity,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> NexusConfig {
        NexusConfig::at(url.parse().unwrap())
    }

    fn refusal(config: &NexusConfig) -> String {
        config.open().err().unwrap().to_string()
    }

    #[test]
    fn what_is_for_redis_alone_is_refused_for_an_embedded_nexus() {
        let config = NexusConfig {
            replicas: Some(1),
            ..config("sqlite:/nowhere/nexus.db")
        };
        let refused = refusal(&config);
        assert!(
            refused.contains("number of replicas") && refused.contains("redis://"),
            "{refused}"
        );
    }

    #[test]
    fn files_for_tls_need_tls_and_tls_needs_a_ca_and_both_halves_of_an_identity() {
        let dir = tempfile::tempdir().unwrap();
        let file = Some(dir.path().join("some.pem"));
        fs::write(dir.path().join("some.pem"), "").unwrap();
        let plain = NexusConfig {
            ca_file: file.clone(),
            ..config("redis://forge")
        };
        assert!(refusal(&plain).contains("rediss://"));
        assert!(refusal(&config("rediss://forge")).contains("--nexus-ca-file"));
        let half = NexusConfig {
            ca_file: file.clone(),
            cert_file: file,
            ..config("rediss://forge")
        };
        assert!(refusal(&half).contains("give both or neither"));
    }

    #[test]
    fn a_password_is_the_text_of_its_file_without_the_end_of_the_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        let config = NexusConfig {
            password_file: Some(file.clone()),
            ..config("redis://hive@forge")
        };
        assert_eq!(refusal(&config), format!("read {}", file.display()));
        fs::write(&file, "\n").unwrap();
        assert!(refusal(&config).contains("it is empty"));
        fs::write(&file, "open sesame \r\n").unwrap();
        assert_eq!(config.password().unwrap(), Some(Password::new("open sesame ")));
    }
}
