//! A certificate authority for one test, with a certificate for a server on loopback and one for a client.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use std::io::Write as _;

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// The files, all PEM.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The certificate of the authority, which both sides trust.
    pub ca: PathBuf,
    /// For the server: `127.0.0.1`, `::1` and `localhost`.
    pub server_cert: PathBuf,
    /// Its private key.
    pub server_key: PathBuf,
    /// For the client.
    pub client_cert: PathBuf,
    /// Its private key.
    pub client_key: PathBuf,
}

impl Certificates {
    /// Makes them in a directory.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn make(directory: &Path) -> Result<Self> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority
            .distinguished_name
            .push(DnType::CommonName, "authority of a test");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

        let names = ["127.0.0.1", "::1", "localhost"].map(str::to_owned).to_vec();
        let (server_cert, server_key) = issue(&authority, names, ExtendedKeyUsagePurpose::ServerAuth)?;
        let names = vec!["client".to_owned()];
        let (client_cert, client_key) = issue(&authority, names, ExtendedKeyUsagePurpose::ClientAuth)?;
        Ok(Self {
            ca: save(directory, "ca.pem", &authority.pem())?,
            server_cert: save(directory, "server.pem", &server_cert)?,
            server_key: save(directory, "server.key", &server_key)?,
            client_cert: save(directory, "client.pem", &client_cert)?,
            client_key: save(directory, "client.key", &client_key)?,
        })
    }
}

/// A certificate and its private key.
fn issue(
    authority: &CertifiedIssuer<'_, KeyPair>,
    names: Vec<String>,
    purpose: ExtendedKeyUsagePurpose,
) -> Result<(String, String)> {
    let mut params = CertificateParams::new(names)?;
    params.extended_key_usages = vec![purpose];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Writes a file that only its owner can read.
fn save(directory: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = directory.join(name);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("create {}", path.display()))?;
    file.write_all(text.as_bytes())?;
    Ok(path)
}
