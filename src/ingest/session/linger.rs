//! The end of a connection whose daemon may be in the midst of a write.
//!
//! If it were closed with bytes that nobody has read, that write would fail, and
//! the daemon might never see what it was answered. So its end is said first, and
//! what still comes is read and dropped: for a while, up to so many bytes, and
//! not once Falco stops.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::shutdown::Shutdown;

/// How long a daemon may send nothing before it is closed.
const QUIET_MAX: Duration = Duration::from_secs(2);

/// How long it may go on sending.
const LINGER_MAX: Duration = Duration::from_secs(10);

/// How much it may send: four times the longest frame that is answered without
/// an end of its connection.
const BYTES_MAX: usize = 64 * 1024 * 1024;

const READ_BYTES: usize = 16 * 1024;

/// Closes `stream` once its daemon has said all it had to say.
pub(super) async fn close(mut stream: UnixStream, shutdown: &Shutdown) {
    if stream.shutdown().await.is_err() {
        return;
    }
    tokio::select! {
        biased;
        () = shutdown.begun() => {}
        _ = timeout(LINGER_MAX, drain(&mut stream)) => {}
    }
}

async fn drain(stream: &mut UnixStream) {
    let mut buffer = vec![0; READ_BYTES];
    let mut left = BYTES_MAX;
    while let Ok(Ok(read @ 1..)) = timeout(QUIET_MAX, stream.read(&mut buffer)).await {
        let Some(rest) = left.checked_sub(read) else {
            return;
        };
        left = rest;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn what_a_daemon_still_writes_is_read_but_not_without_end() {
        let block = vec![0; 1024 * 1024];
        for (mega, is_taken) in [(32, true), (128, false)] {
            let (ours, mut theirs) = UnixStream::pair().expect("a pair");
            let closed = tokio::spawn(async move { close(ours, &Shutdown::new()).await });
            let mut written = Ok(());
            for _ in 0..mega {
                written = written.and(theirs.write_all(&block).await);
            }
            assert_eq!(written.is_ok(), is_taken, "{mega} MiB: {written:?}");
            drop(theirs);
            closed.await.expect("ends");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_long_for_a_daemon_that_is_silent_nor_at_all_when_falco_stops() {
        for (is_stopping, waited) in [(false, QUIET_MAX), (true, Duration::ZERO)] {
            let (ours, mut theirs) = UnixStream::pair().expect("a pair");
            let (shutdown, begin) = (Shutdown::new(), Instant::now());
            if is_stopping {
                shutdown.begin();
            }
            close(ours, &shutdown).await;
            assert_eq!(begin.elapsed(), waited);
            assert_eq!(theirs.read(&mut [0]).await.expect("its end"), 0);
        }
    }
}
