//! The runtime every verb that waits runs on: one thread.

use std::future::Future;

use super::exit::{Exit, Failure};

/// Runs `future` to its end on a runtime of this thread.
pub(super) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::to(Exit::Internal, "start a runtime", &e))?;
    let result = runtime.block_on(future);
    // A blocking read of standard input must not keep the process.
    runtime.shutdown_background();
    result
}
