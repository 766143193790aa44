//! Opens the mesh that is configured: what is not said has a default, and the cookie is made if nobody brings one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use mesh::{Mesh, OpenError, Peers, TlsFiles};

use crate::tokens::{self, TokensError};

/// The file of the cookie, in the data directory.
pub const MESH_COOKIE_FILE: &str = "mesh.cookie";
/// What a cookie begins with that was made there.
const COOKIE_PREFIX: &str = "hfm_";

/// The link to the other coordinators.
#[derive(Debug, Clone)]
pub struct MeshConfig {
    /// Where to listen for them.
    pub listen: SocketAddr,
    /// Where they are.
    pub peers: Peers,
    /// What this one is called; the name of the machine, if absent.
    pub name: Option<String>,
    /// The cookie that all share; in the data directory, if absent, and made there.
    pub cookie_file: Option<PathBuf>,
    /// A file with the authority of the coordinators, in PEM.
    pub ca_file: Option<PathBuf>,
    /// A file with this one's certificate, in PEM.
    pub cert_file: Option<PathBuf>,
    /// A file with its key, in PEM.
    pub key_file: Option<PathBuf>,
}

/// The mesh cannot be opened as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum MeshConfigError {
    /// It refuses.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The cookie cannot be made.
    #[error(transparent)]
    Cookie(#[from] TokensError),
    /// TLS takes three files.
    #[error(
        "TLS of the mesh takes a CA, a certificate and a key: give all three files, or none on a loopback address"
    )]
    HalfTls,
}

impl MeshConfig {
    /// Opens the mesh. `process` is a random number.
    pub(crate) async fn open(&self, data: &Path, process: u64) -> Result<Mesh, MeshConfigError> {
        let tls = match (&self.ca_file, &self.cert_file, &self.key_file) {
            (None, None, None) => None,
            (Some(ca), Some(cert), Some(key)) => Some(TlsFiles {
                ca: ca.clone(),
                cert: cert.clone(),
                key: key.clone(),
            }),
            _ => return Err(MeshConfigError::HalfTls),
        };
        let config = mesh::Config {
            name: self.name.clone().unwrap_or_else(machine),
            listen: self.listen,
            peers: self.peers.clone(),
            tls,
            cookie: self.cookie(data)?,
        };
        Ok(Mesh::open(config, process).await?)
    }

    fn cookie(&self, data: &Path) -> Result<PathBuf, TokensError> {
        if let Some(file) = &self.cookie_file {
            return Ok(file.clone());
        }
        let file = data.join(MESH_COOKIE_FILE);
        tokens::open(&file, COOKIE_PREFIX)?;
        Ok(file)
    }
}

/// The name of this machine, or pod.
fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
