//! Telling the service manager how we are: datagrams to the socket it names.

use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Where the service manager listens.
#[derive(Debug)]
pub struct Notifier {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Notifier {
    /// Speaks to the socket called `name` (the value of `NOTIFY_SOCKET`; a
    /// leading `@` is Linux's abstract namespace).
    ///
    /// # Errors
    ///
    /// When the name is none, or there is no socket to be had.
    pub fn new(name: &str) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        let address = address(name)?;
        Ok(Self { socket, address })
    }

    /// Sends `message`, lines such as `READY=1`; never waits.
    ///
    /// # Errors
    ///
    /// When nobody receives there, or the receiver does not keep up.
    pub fn send(&self, message: &str) -> io::Result<()> {
        let bytes = message.as_bytes();
        self.socket.send_to_addr(bytes, &self.address)?;
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn address(name: &str) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }
}

#[cfg(not(target_os = "linux"))]
fn address(name: &str) -> io::Result<SocketAddr> {
    SocketAddr::from_pathname(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(manager: &UnixDatagram) -> String {
        let mut bytes = [0; 64];
        let len = manager.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..len]).into_owned()
    }

    #[test]
    fn a_message_arrives_as_one_datagram() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::new(path.to_str().unwrap()).unwrap();
        notifier.send("READY=1\nSTATUS=ready").unwrap();
        assert_eq!(heard(&manager), "READY=1\nSTATUS=ready");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_abstract_name_is_reached_too() {
        let name = format!("falco-test-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&address(&format!("@{name}")).unwrap()).unwrap();
        Notifier::new(&format!("@{name}"))
            .unwrap()
            .send("READY=1")
            .unwrap();
        assert_eq!(heard(&manager), "READY=1");
    }

    #[test]
    fn a_manager_that_does_not_read_never_makes_us_wait() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let _silent = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::new(path.to_str().unwrap()).unwrap();
        let full = (0..100_000).find_map(|_| notifier.send("WATCHDOG=1").err());
        // macOS says ENOBUFS.
        assert!(full.is_some());
    }
}
