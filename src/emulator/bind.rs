//! The emulator's port: loopback only, the same one as last time if it is free.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tokio::net::TcpListener;
use tracing::warn;

use crate::plain_file;

/// The port of a first start.
const PORT_DEFAULT: u16 = 8099;

/// Why the emulator has no port.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    /// Only loopback addresses are served: there is no TLS.
    #[error(
        "{0} is no loopback address; the emulator serves this machine only, e.g. 127.0.0.1:8099"
    )]
    NotLoopback(SocketAddr),
    /// The address that was asked for is taken or not ours.
    #[error("failed to listen on {address}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    /// The kernel does not say which port it chose.
    #[error("failed to read the bound address")]
    Address(#[source] io::Error),
}

/// Listens on `wanted`; else on the port of the last start, on
/// [`PORT_DEFAULT`], or on any free one, whichever works first.
pub(super) async fn bind(dir: &Path, wanted: Option<SocketAddr>) -> Result<TcpListener, BindError> {
    if let Some(address) = wanted {
        if !address.ip().is_loopback() {
            return Err(BindError::NotLoopback(address));
        }
        return listen(address).await;
    }
    let file = dir.join("port");
    let last = plain_file::read(&file).ok();
    let last = last.and_then(|bytes| str::from_utf8(&bytes).ok()?.trim().parse().ok());
    for port in last
        .into_iter()
        .chain([PORT_DEFAULT])
        .filter(|port| *port != 0)
    {
        if let Ok(listener) = listen((Ipv4Addr::LOCALHOST, port).into()).await {
            remember(&file, port);
            return Ok(listener);
        }
    }
    let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).await?;
    remember(
        &file,
        listener.local_addr().map_err(BindError::Address)?.port(),
    );
    Ok(listener)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, BindError> {
    let listening = TcpListener::bind(address).await;
    listening.map_err(|source| BindError::Listen { address, source })
}

/// Best effort: without it the next start tries the default port first.
fn remember(file: &Path, port: u16) {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let opened = plain_file::open_own(file, &mut options);
    let written = opened.and_then(|mut file| writeln!(file, "{port}"));
    if let Err(error) = written {
        warn!(file = %file.display(), %error, "Could not keep the emulator's port.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_loopback_is_served() {
        let dir = tempfile::tempdir().expect("a directory");
        let all = "0.0.0.0:0".parse().expect("an address");
        let refused = bind(dir.path(), Some(all)).await;
        assert!(matches!(refused, Err(BindError::NotLoopback(_))));
    }

    #[tokio::test]
    async fn the_port_of_the_last_start_is_taken_again_unless_it_is_taken() {
        let dir = tempfile::tempdir().expect("a directory");
        let free = bind(dir.path(), Some((Ipv4Addr::LOCALHOST, 0).into())).await;
        let port = free.expect("listens").local_addr().expect("bound").port();
        remember(&dir.path().join("port"), port);
        let first = bind(dir.path(), None).await.expect("listens");
        assert_eq!(first.local_addr().expect("bound").port(), port);
        let second = bind(dir.path(), None).await.expect("listens");
        assert_ne!(second.local_addr().expect("bound").port(), port);
    }
}
