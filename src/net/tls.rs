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
