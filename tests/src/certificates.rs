//! Certificates of this test's own.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// An authority, and a server and a client that it vouches for, as PEM in files. Gone with the value.
#[derive(Debug)]
pub struct Certificates(TempDir);

impl Certificates {
    /// Makes all of them anew.
    ///
    /// # Panics
    ///
    /// When they can't be made or written.
    #[must_use]
    pub fn new() -> Self {
        let certificates = Self(TempDir::new().expect("a temporary directory"));
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.distinguished_name.push(DnType::CommonName, "an authority");
        let key = KeyPair::generate().expect("a key");
        let root = CertifiedIssuer::self_signed(root, key).expect("an authority");
        certificates.write("root.pem", &root.pem());
        for name in ["server", "client"] {
            let key = KeyPair::generate().expect("a key");
            let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address");
            // One that is called as its authority is taken for its own.
            params.distinguished_name.push(DnType::CommonName, name);
            let signed = params.signed_by(&key, &root).expect("it is signed");
            certificates.write(&format!("{name}.pem"), &signed.pem());
            certificates.write(&format!("{name}.key"), &key.serialize_pem());
        }
        certificates
    }

    /// `root.pem`, and `server` or `client` with `.pem` or `.key`.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What is in one.
    ///
    /// # Panics
    ///
    /// When there is none of this name.
    #[must_use]
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.file(name)).expect("it was written")
    }

    fn write(&self, name: &str, pem: &str) {
        std::fs::write(self.file(name), pem).expect("its own directory can be written to");
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}
