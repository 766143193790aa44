//! Certificates for tests: authorities, and what they sign.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// An authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Makes a directory with a certificate for a name, its key, and the authority's certificate.
    pub(crate) fn sign(&self, name: &str, into: &Path) -> PathBuf {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        fs::create_dir_all(into).unwrap();
        fs::write(into.join("ca.pem"), self.0.pem()).unwrap();
        fs::write(into.join("cert.pem"), cert.pem()).unwrap();
        fs::write(into.join("key.pem"), key.serialize_pem()).unwrap();
        into.to_owned()
    }
}
