//! The emulator's port: loopback only, the same one as last time if it is free.
//!
//! Who supervises an emulator keeps the port for it over its lives ([`Port`]).
//! Between two of them another chain could take it, as the default of a first
//! start, and clients would speak to that one with a key it does not know.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpListener, TcpSocket};
use tracing::warn;

use crate::plain_file;

/// The port of a first start.
const PORT_DEFAULT: u16 = 8099;

/// Clients that may wait to be accepted.
const BACKLOG: u32 = 1024;

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
    /// What was handed over is no socket that listens.
    #[error("failed to take over the port")]
    Given(#[source] io::Error),
}

/// The port of an emulator that is supervised, from its first life on until none
/// is to come soon. Clients that connect between two lives wait for the next.
#[derive(Debug, Default)]
pub(crate) struct Port(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    /// The port of the last start, as far as it is known.
    last: Option<u16>,
    listening: Option<Listening>,
}

#[derive(Debug)]
struct Listening {
    wanted: Option<SocketAddr>,
    listener: StdListener,
}

impl Port {
    /// Reads which port the emulator of `dir` had last, if that is not known yet.
    pub(crate) fn recall(&self, dir: &Path) {
        let mut held = self.held();
        held.last = held.last.or_else(|| last(dir));
    }

    /// What a life that begins is to listen on: `wanted`, or else what the last one
    /// had. Called within a runtime.
    ///
    /// # Errors
    ///
    /// When there is none to be had; whoever is started without says why.
    pub(crate) fn share(&self, wanted: Option<SocketAddr>) -> Result<OwnedFd, BindError> {
        let mut held = self.held();
        let listening = held.listening.take();
        let listener = match listening.filter(|listening| listening.wanted == wanted) {
            Some(listening) => listening.listener,
            None => listen_anew(wanted, held.last)?
                .into_std()
                .map_err(BindError::Given)?,
        };
        let shared = listener.try_clone().map_err(BindError::Given)?;
        held.last = Some(listener.local_addr().map_err(BindError::Address)?.port());
        held.listening = Some(Listening { wanted, listener });
        Ok(shared.into())
    }

    /// No life is to come soon: whoever wants the port may have it.
    pub(crate) fn release(&self) {
        self.held().listening = None;
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens on what was `given`; else on `wanted`; else on the port of the last
/// start, on [`PORT_DEFAULT`], or on any free one, whichever works first.
pub(super) fn bind(
    dir: &Path,
    wanted: Option<SocketAddr>,
    given: Option<OwnedFd>,
) -> Result<TcpListener, BindError> {
    let listener = match given {
        Some(given) => take_over(given).map_err(BindError::Given)?,
        None => listen_anew(wanted, last(dir))?,
    };
    if wanted.is_none() {
        let address = listener.local_addr().map_err(BindError::Address)?;
        remember(&dir.join("port"), address.port());
    }
    Ok(listener)
}

fn take_over(given: OwnedFd) -> io::Result<TcpListener> {
    let listener = StdListener::from(given);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn listen_anew(wanted: Option<SocketAddr>, last: Option<u16>) -> Result<TcpListener, BindError> {
    if let Some(address) = wanted {
        if !address.ip().is_loopback() {
            return Err(BindError::NotLoopback(address));
        }
        return listen(address);
    }
    if let Some(listener) = last.and_then(|port| listen(local(port)).ok()) {
        return Ok(listener);
    }
    let listener = listen(local(PORT_DEFAULT)).or_else(|_| listen(local(0)))?;
    if let Some(was) = last {
        let address = listener.local_addr().map_err(BindError::Address)?;
        warn!(was, %address, "Somebody else has the emulator's port of last time; its clients have to use another.");
    }
    Ok(listener)
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn listen(address: SocketAddr) -> Result<TcpListener, BindError> {
    let listening = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listening().map_err(|source| BindError::Listen { address, source })
}

/// The port of the last start.
fn last(dir: &Path) -> Option<u16> {
    let bytes = plain_file::read(&dir.join("port")).ok()?;
    let port = str::from_utf8(&bytes).ok()?.trim().parse().ok();
    port.filter(|port| *port != 0)
}

/// Best effort: without it the next start tries the default port first. Whoever
/// reads it finds a port at any time.
fn remember(file: &Path, port: u16) {
    if let Err(error) = plain_file::replace_own(file, format!("{port}\n").as_bytes()) {
        warn!(file = %file.display(), %error, "Could not keep the emulator's port.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port_of(listener: &TcpListener) -> u16 {
        listener.local_addr().expect("bound").port()
    }

    /// Not the default, which every chain on this machine tries.
    fn free() -> u16 {
        port_of(&listen(local(0)).expect("listens"))
    }

    #[tokio::test]
    async fn only_loopback_is_served() {
        let dir = tempfile::tempdir().expect("a directory");
        let all = "0.0.0.0:0".parse().expect("an address");
        let refused = bind(dir.path(), Some(all), None);
        assert!(matches!(refused, Err(BindError::NotLoopback(_))));
    }

    #[tokio::test]
    async fn the_port_of_the_last_start_is_taken_again_unless_it_is_taken() {
        let dir = tempfile::tempdir().expect("a directory");
        let free = bind(dir.path(), Some(local(0)), None);
        let port = port_of(&free.expect("listens"));
        remember(&dir.path().join("port"), port);
        let first = bind(dir.path(), None, None).expect("listens");
        assert_eq!(port_of(&first), port);
        let second = bind(dir.path(), None, None).expect("listens");
        assert_ne!(port_of(&second), port);
    }

    #[tokio::test]
    async fn a_port_that_is_kept_is_nobody_elses_between_two_lives() {
        let dir = tempfile::tempdir().expect("a directory");
        let port = Port::default();
        port.held().last = Some(free());
        let begin = || {
            let given = port.share(None).expect("a port");
            bind(dir.path(), None, Some(given)).expect("takes it over")
        };
        let first = begin();
        let number = port_of(&first);
        drop(first);
        assert!(listen(local(number)).is_err(), "it is kept");
        assert_eq!(last(dir.path()), Some(number), "for the next chain");
        let second = begin();
        assert_eq!(port_of(&second), number);
        drop(second);
        port.release();
        let other = listen(local(number)).expect("it is free");
        assert_ne!(port_of(&begin()), number, "it is somebody else's");
        drop(other);
    }

    #[tokio::test]
    async fn another_address_that_is_wanted_lets_go_of_the_one_before() {
        let port = Port::default();
        let number = free();
        port.held().last = Some(number);
        drop(port.share(None).expect("a port"));
        assert!(listen(local(number)).is_err(), "it is kept");
        drop(port.share(Some(local(0))).expect("a port"));
        listen(local(number)).expect("it is free");
    }
}
