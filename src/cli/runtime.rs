//! The runtime every verb that waits runs on: one thread.

use std::future::Future;
use std::io;
use std::os::unix::net::UnixStream;

use super::exit::{Exit, Failure};

/// Runs `future` to its end on a runtime of this thread.
pub(super) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = has_descriptors()
        .and_then(|()| {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
        })
        .map_err(|e| Failure::to(Exit::Internal, "start a runtime", &e))?;
    let result = runtime.block_on(future);
    // A blocking read of standard input must not keep the process.
    runtime.shutdown_background();
    result
}

/// Pairs of descriptors that a runtime opens while it is built.
const PAIRS: usize = 3;

/// Whether a runtime can open what it needs: one that gets the first of it only
/// panics, where it could fail (tokio-rs/tokio, `signal::unix`: "failed to create
/// `UnixStream`").
fn has_descriptors() -> io::Result<()> {
    let pairs: io::Result<Vec<_>> = (0..PAIRS).map(|_| UnixStream::pair()).collect();
    pairs.map(drop)
}
