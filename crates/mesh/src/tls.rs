//! Mutual TLS between coordinators: both show a certificate of the cluster's own authority, for one fixed name.
//!
//! Peers are found by addresses that nobody knows beforehand, so the name in the certificates is not that of a machine:
//! it says "I am a coordinator of this mesh" ([`TLS_NAME`]). Both sides check it, also the one that accepts.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::config::TlsFiles;

/// The name that every coordinator's certificate has among its subject alternative names (DNS).
pub const TLS_NAME: &str = "hiveforge-mesh";

/// Files that make no TLS.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The operating system refused.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Its words.
        #[source]
        source: std::io::Error,
    },
    /// There is nothing of the kind in the file.
    #[error("{} has no {what} in PEM form", path.display())]
    Nothing {
        /// The file.
        path: PathBuf,
        /// What it should have.
        what: &'static str,
    },
    /// They do not fit together, or are of a kind that is not supported.
    #[error("cannot use CA {}, certificate {} and key {} together: {why}", files.ca.display(), files.cert.display(), files.key.display())]
    Unfit {
        /// The files.
        files: TlsFiles,
        /// The library's words.
        why: String,
    },
    /// The own certificate is not one of the mesh's.
    #[error("certificate {} is not for the name `{TLS_NAME}`: add it as DNS:{TLS_NAME} to its alternative names", path.display())]
    OtherName {
        /// The file.
        path: PathBuf,
    },
}

/// Both ends of it.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) connector: TlsConnector,
}

impl Tls {
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let unfit = |why: String| TlsError::Unfit {
            files: files.clone(),
            why,
        };
        let mut roots = RootCertStore::empty();
        for root in certificates(&files.ca)? {
            roots.add(root).map_err(|error| unfit(error.to_string()))?;
        }
        let roots = Arc::new(roots);
        let chain = certificates(&files.cert)?;
        if !chain.first().is_some_and(is_of_the_mesh) {
            return Err(TlsError::OtherName {
                path: files.cert.clone(),
            });
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|error| unfit(error.to_string()))?;
        let key = key(&files.key)?;
        let versions = [&rustls::version::TLS13];
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .and_then(|config| {
                let config = config.with_client_cert_verifier(verifier);
                config.with_single_cert(chain.clone(), key.clone_key())
            })
            .map_err(|error| unfit(error.to_string()))?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .and_then(|config| {
                config
                    .with_root_certificates(roots)
                    .with_client_auth_cert(chain, key)
            })
            .map_err(|error| unfit(error.to_string()))?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            connector: TlsConnector::from(Arc::new(client)),
        })
    }
}

/// The name that the dialling side expects.
pub(crate) fn name() -> ServerName<'static> {
    ServerName::try_from(TLS_NAME).expect("it is a DNS name")
}

/// Whether a certificate, whose chain is checked elsewhere, is that of a coordinator.
pub(crate) fn is_of_the_mesh(certificate: &CertificateDer<'_>) -> bool {
    ParsedCertificate::try_from(certificate)
        .is_ok_and(|certificate| verify_server_name(&certificate, &name()).is_ok())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    found
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or_else(|| TlsError::Nothing {
            path: path.to_owned(),
            what: "certificate",
        })
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|_error| TlsError::Nothing {
        path: path.to_owned(),
        what: "private key",
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Io {
        path: path.to_owned(),
        source,
    })
}
