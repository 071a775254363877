//! Whether anybody is left at the other end of a connection.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdStream;

use tokio::io::{Interest, Ready};
use tokio::net::UnixStream;

/// Notices that the other end of a connection is gone, whatever else is waited
/// for on it.
///
/// Who has only finished speaking (as `nc -N` does) still listens, and is not
/// gone: only when both directions are closed can nothing be heard any more.
#[derive(Debug)]
pub struct Hangup(Option<UnixStream>);

impl Hangup {
    /// Watches the other end of `stream`. Where no descriptor is left to do so
    /// with, nothing is noticed before something is written.
    #[must_use]
    pub fn of(stream: &UnixStream) -> Self {
        // Of its own: what is learnt here is kept from no reader or writer.
        let own = stream.as_fd().try_clone_to_owned().map(StdStream::from);
        Self(own.and_then(UnixStream::from_std).ok())
    }

    /// Whether it is gone by now; before anything was written.
    pub async fn is_seen(&self) -> bool {
        let Some(watched) = &self.0 else {
            return false;
        };
        // The kernel has a first word on every connection that is watched.
        let word = watched.ready(Interest::WRITABLE).await;
        word.is_ok_and(Ready::is_write_closed)
    }

    /// Resolves once it is gone; cancel safe.
    pub async fn seen(&self) {
        let Some(watched) = &self.0 else {
            return std::future::pending().await;
        };
        while let Ok(word) = watched.ready(Interest::WRITABLE).await {
            if word.is_write_closed() {
                return;
            }
            // Not room is waited for, but the next word.
            let no_room = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
            _ = watched.try_io(Interest::WRITABLE, no_room);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Shutdown;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(50);
    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn who_has_finished_speaking_still_listens_and_who_is_gone_is_gone() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let hangup = Hangup::of(&ours);
        assert!(!hangup.is_seen().await);
        theirs.write_all(b"said").await.unwrap();
        theirs.shutdown().await.unwrap();
        assert!(timeout(MOMENT, hangup.seen()).await.is_err());

        drop(theirs);
        assert!(timeout(PATIENCE, hangup.seen()).await.is_ok());
        assert!(hangup.is_seen().await && Hangup::of(&ours).is_seen().await);
    }

    #[tokio::test]
    async fn watching_keeps_nothing_from_whoever_reads_or_writes() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let hangup = Hangup::of(&ours);
        let much = vec![7; 1 << 20];
        let mut heard = vec![0; 1 << 20];
        let talk = async {
            tokio::join!(ours.write_all(&much), theirs.read_exact(&mut heard))
                .0
                .unwrap();
            theirs.write_all(b"!").await.unwrap();
            ours.read_u8().await.unwrap()
        };
        tokio::select! {
            () = hangup.seen() => panic!("nobody is gone"),
            said = timeout(PATIENCE, talk) => assert_eq!(said, Ok(b'!')),
        }
        let theirs = theirs.into_std().unwrap();
        theirs.shutdown(Shutdown::Both).unwrap();
        assert!(timeout(PATIENCE, hangup.seen()).await.is_ok());
    }
}
