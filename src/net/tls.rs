//! TLS as a client, trusting what the system trusts.
//!
//! The system's roots are read when the first connection needs them: a chain
//! that talks to the emulator only never holds them in memory.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Makes TLS connections; clones share one configuration.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    config: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// Why there is no TLS connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The system offers no root certificates.
    #[error(
        "found no trusted root certificates on this system; install ca-certificates or set SSL_CERT_FILE"
    )]
    NoRoots(#[source] Option<rustls_native_certs::Error>),
    /// The host is neither a DNS name nor an IP address.
    #[error("`{host}` is no host name that TLS can check")]
    HostName {
        /// The name.
        host: String,
    },
    /// The peer's certificate was refused, or the connection broke.
    #[error("TLS handshake with {host} failed")]
    Handshake {
        /// The name the certificate was to be for.
        host: String,
        /// What rustls said.
        source: io::Error,
    },
}

impl Tls {
    /// Trusts the system's roots, read at first use.
    #[must_use]
    pub(crate) fn system() -> Self {
        Self::default()
    }

    /// Trusts these roots only.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn trusting(roots: RootCertStore) -> Self {
        let tls = Self::default();
        tls.config.get_or_init(|| client_config(roots));
        tls
    }

    /// Speaks TLS over `stream` with whoever proves to be `host`.
    ///
    /// Reading the roots at first use blocks for some milliseconds.
    ///
    /// # Errors
    ///
    /// See [`TlsError`].
    pub(crate) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, TlsError> {
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(name.to_owned()).map_err(|_| TlsError::HostName {
            host: host.to_owned(),
        })?;
        let connector = TlsConnector::from(self.config()?);
        let connected = connector.connect(name, stream).await;
        connected.map_err(|source| TlsError::Handshake {
            host: host.to_owned(),
            source,
        })
    }

    fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let roots = system_roots()?;
        Ok(Arc::clone(self.config.get_or_init(|| client_config(roots))))
    }
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (trusted, ignored) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(trusted, ignored, "Read the system's root certificates.");
    if trusted == 0 {
        return Err(TlsError::NoRoots(found.errors.pop()));
    }
    Ok(roots)
}

fn client_config(roots: RootCertStore) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

#[cfg(test)]
pub(super) mod tests {
    use rustls::ServerConfig;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::super::dial::DialError;
    use super::super::http::{Client, HttpError, Request};
    use super::*;

    const AUTHORITY: &[u8] = include_bytes!("../../tests/tls/ca.pem");
    const CERTIFICATE: &[u8] = include_bytes!("../../tests/tls/cert.pem");
    const KEY: &[u8] = include_bytes!("../../tests/tls/key.pem");

    pub(in crate::net) fn acceptor() -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificate = CertificateDer::from_pem_slice(CERTIFICATE).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(KEY).expect("a key");
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("they belong together");
        TlsAcceptor::from(Arc::new(config))
    }

    pub(in crate::net) fn authority() -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(AUTHORITY).expect("a certificate");
        roots.add(certificate).expect("an authority");
        roots
    }

    /// Greets over TLS whoever trusts it, and asks them to reach it as `host`.
    async fn greeting(tls: Tls, host: &str) -> Result<Vec<u8>, HttpError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let port = listener.local_addr().expect("bound").port();
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("accepts");
            let Ok(mut stream) = acceptor().accept(stream).await else {
                return;
            };
            let mut request = [0; 1024];
            _ = stream.read(&mut request).await.expect("reads");
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
            stream.write_all(answer).await.expect("writes");
        });
        let url = format!("https://{host}:{port}/").parse().expect("a URL");
        let answered = Client::new(tls).send(&Request::get(url)).await;
        server.await.expect("served");
        answered.map(|response| response.body.to_vec())
    }

    #[tokio::test]
    async fn a_server_with_a_trusted_certificate_for_its_name_is_spoken_to() {
        for host in ["localhost", "127.0.0.1"] {
            let answer = greeting(Tls::trusting(authority()), host).await;
            assert_eq!(answer.expect("trusted"), b"hello");
        }
    }

    #[tokio::test]
    async fn a_server_nobody_vouches_for_hears_nothing() {
        let error = greeting(Tls::trusting(RootCertStore::empty()), "localhost").await;
        let error = error.expect_err("not trusted");
        let refused = matches!(
            &error,
            HttpError::Dial(DialError::Tls(TlsError::Handshake { host, .. })) if host == "localhost"
        );
        assert!(refused, "{error:?}");
    }
}
