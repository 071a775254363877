//! Where a server is, and the stream to it: TCP, with TLS unless it is local.
//!
//! Plain text goes to loopback addresses only: what leaves this machine
//! carries tokens.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Duration, Instant, timeout};
use tokio_rustls::client::TlsStream;

use super::tls::{Tls, TlsError};

/// A server: how to speak to it, and where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    /// Whether to speak TLS.
    pub(crate) secure: bool,
    /// A name or an address, an IPv6 one in brackets.
    pub(crate) host: String,
    /// The TCP port.
    pub(crate) port: u16,
}

impl Origin {
    /// `host`, or `host:port` when the port is not the scheme's own.
    #[must_use]
    pub(crate) fn authority(&self) -> String {
        let default = if self.secure { 443 } else { 80 };
        if self.port == default {
            return self.host.clone();
        }
        format!("{}:{}", self.host, self.port)
    }
}

/// Why there is no stream to a server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// The name has no address.
    #[error("failed to resolve {host}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Plain text was asked for to another machine.
    #[error("{address} is not a loopback address, and plain text leaves this machine for nobody")]
    NotLoopback {
        /// The address of the host.
        address: SocketAddr,
    },
    /// No address accepted a connection; this is what the last one said.
    #[error("failed to connect to {address}")]
    Connect {
        /// The address tried last.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The time was over.
    #[error("no connection to {host} within {} ms", waited.as_millis())]
    TimedOut {
        /// The host.
        host: String,
        /// How long it was tried.
        waited: Duration,
    },
    /// The server closed the connection before it took anything.
    #[error("{host} closed the connection")]
    Closed {
        /// The host.
        host: String,
    },
    /// There is a connection, but no trust.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A stream to a server.
#[derive(Debug)]
pub(crate) enum Stream {
    /// To this machine.
    Plain(TcpStream),
    /// To anywhere.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connects to `origin` within `patience`.
///
/// # Errors
///
/// See [`DialError`].
pub(crate) async fn dial(
    origin: &Origin,
    tls: &Tls,
    patience: Duration,
) -> Result<Stream, DialError> {
    let connecting = connect(origin, tls, Instant::now() + patience);
    match timeout(patience, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(DialError::TimedOut {
            host: origin.host.clone(),
            waited: patience,
        }),
    }
}

async fn connect(origin: &Origin, tls: &Tls, deadline: Instant) -> Result<Stream, DialError> {
    let addresses = resolve(origin).await?;
    let stream = connect_any(origin, &addresses, deadline).await?;
    // A publish is small and waits for its ack: it must not wait for more.
    _ = stream.set_nodelay(true);
    if !origin.secure {
        return Ok(Stream::Plain(stream));
    }
    let stream = tls.connect(&origin.host, stream).await?;
    Ok(Stream::Tls(Box::new(stream)))
}

async fn resolve(origin: &Origin) -> Result<Vec<SocketAddr>, DialError> {
    let failed = |source| DialError::Resolve {
        host: origin.host.clone(),
        source,
    };
    let target = format!("{}:{}", origin.host, origin.port);
    let addresses: Vec<_> = lookup_host(target).await.map_err(failed)?.collect();
    if addresses.is_empty() {
        return Err(failed(io::Error::other("the name has no address")));
    }
    let remote = addresses.iter().find(|a| !a.ip().is_loopback());
    match remote {
        Some(&address) if !origin.secure => Err(DialError::NotLoopback { address }),
        _ => Ok(addresses),
    }
}

/// Tries each address in turn; each gets an even share of the time left, so
/// that a silent first one does not use it all.
async fn connect_any(
    origin: &Origin,
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Result<TcpStream, DialError> {
    let mut last = None;
    for (tried, &address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        let source = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        last = Some(DialError::Connect { address, source });
    }
    Err(last.unwrap_or_else(|| DialError::TimedOut {
        host: origin.host.clone(),
        waited: Duration::ZERO,
    }))
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
