//! Options of the mesh, the link between the coordinators of one nexus.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use coordinator_tree::MeshConfig;
use mesh::Peers;

/// How coordinators reach each other.
#[derive(Debug, Args)]
#[command(next_help_heading = "Mesh (a link between coordinators, which nothing depends on)")]
pub(super) struct Link {
    /// Address on which other coordinators find this one, or off
    #[arg(
        long,
        value_name = "ADDR",
        env = "HIVEFORGE_MESH",
        hide_env_values = true,
        default_value = "off"
    )]
    mesh: Listen,
    /// Where they are: HOST:PORT,.. (this one may be among them) or dns:NAME:PORT
    #[arg(
        long,
        value_name = "PEERS",
        env = "HIVEFORGE_MESH_PEERS",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    mesh_peers: Peers,
    /// What this one is called [default: the name of the machine]
    #[arg(
        long,
        value_name = "NAME",
        env = "HIVEFORGE_MESH_NAME",
        hide_env_values = true
    )]
    mesh_name: Option<String>,
    /// File that holds the cookie which all share [default: mesh.cookie in the data directory, made there]
    #[arg(
        long,
        value_name = "FILE",
        env = "HIVEFORGE_MESH_COOKIE_FILE",
        hide_env_values = true
    )]
    mesh_cookie_file: Option<PathBuf>,
    /// File with the authority of the coordinators, in PEM; needed beyond loopback addresses
    #[arg(
        long,
        value_name = "FILE",
        env = "HIVEFORGE_MESH_CA_FILE",
        hide_env_values = true
    )]
    mesh_ca_file: Option<PathBuf>,
    /// File with this one's certificate, for the name hiveforge-mesh, in PEM
    #[arg(
        long,
        value_name = "FILE",
        env = "HIVEFORGE_MESH_CERT_FILE",
        hide_env_values = true
    )]
    mesh_cert_file: Option<PathBuf>,
    /// File with its key, in PEM
    #[arg(
        long,
        value_name = "FILE",
        env = "HIVEFORGE_MESH_KEY_FILE",
        hide_env_values = true
    )]
    mesh_key_file: Option<PathBuf>,
}

/// Where the mesh listens, if it is wanted.
#[derive(Debug, Clone, Copy)]
struct Listen(Option<SocketAddr>);

/// Neither off nor an address.
#[derive(Debug, thiserror::Error)]
#[error("it is `off` or an address such as 127.0.0.1:7080")]
struct BadListen;

impl FromStr for Listen {
    type Err = BadListen;

    fn from_str(text: &str) -> Result<Self, BadListen> {
        match text {
            "off" => Ok(Self(None)),
            address => address
                .parse()
                .map(|address| Self(Some(address)))
                .map_err(|_| BadListen),
        }
    }
}

impl Link {
    /// The mesh that is wanted, if any.
    pub(super) fn config(self) -> Option<MeshConfig> {
        Some(MeshConfig {
            listen: self.mesh.0?,
            peers: self.mesh_peers,
            name: self.mesh_name,
            cookie_file: self.mesh_cookie_file,
            ca_file: self.mesh_ca_file,
            cert_file: self.mesh_cert_file,
            key_file: self.mesh_key_file,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mesh_is_off_or_at_an_address() {
        assert!("off".parse::<Listen>().unwrap().0.is_none());
        let at = "127.0.0.1:7080".parse::<Listen>().unwrap().0;
        assert_eq!(at, Some(SocketAddr::from(([127, 0, 0, 1], 7080))));
        let refused = "on".parse::<Listen>().unwrap_err().to_string();
        assert!(refused.contains("127.0.0.1:7080"), "{refused}");
    }
}
