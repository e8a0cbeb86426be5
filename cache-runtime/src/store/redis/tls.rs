//! Connections over TLS, with the feature of that name.

#[cfg(feature = "tls")]
pub(super) use with_tls::{client, refusal};
#[cfg(not(feature = "tls"))]
pub(super) use without_tls::{client, refusal};

#[cfg(not(feature = "tls"))]
mod without_tls {
    use ::redis::{Client, ConnectionInfo, RedisError};

    use crate::config::Tls;

    pub(crate) fn client(info: ConnectionInfo, _: &Tls) -> Result<Client, RedisError> {
        Client::open(info)
    }

    pub(crate) fn refusal(_: &RedisError) -> Option<String> {
        None
    }
}

#[cfg(feature = "tls")]
mod with_tls {
    use std::error::Error;
    use std::io;
    use std::sync::Arc;

    use ::redis::{
        Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError,
        TlsCertificates,
    };
    use rustls::crypto::{CryptoProvider, ring};
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use crate::config::Tls;

    pub(crate) fn client(info: ConnectionInfo, tls: &Tls) -> Result<Client, RedisError> {
        if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            return Client::open(info);
        }
        if CryptoProvider::get_default().is_none() {
            // Whoever has come first meanwhile is as good.
            let _ = ring::default_provider().install_default();
        }
        // None at all would be taken for an authority that vouches for nobody.
        let given = [tls.roots.as_ref(), tls.client.as_ref().map(|(certificate, _)| certificate)];
        for pem in given.into_iter().flatten() {
            if CertificateDer::pem_slice_iter(pem).next().is_none() {
                let why = "no certificate in the PEM text that is given for TLS";
                return Err((ErrorKind::InvalidClientConfig, why).into());
            }
        }
        let client_tls = tls
            .client
            .clone()
            .map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
        let certificates = TlsCertificates { client_tls, root_cert: tls.roots.clone() };
        Client::build_with_tls(info, certificates)
    }

    /// What TLS says, where it is TLS that failed: to connect once more would end in the same.
    pub(crate) fn refusal(error: &RedisError) -> Option<String> {
        // The client keeps what the connection has said behind an `Arc`, as a source of its own.
        let kept = error.source()?.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
        let said = kept.downcast_ref::<io::Error>()?.get_ref()?;
        said.downcast_ref::<rustls::Error>().map(rustls::Error::to_string)
    }
}
