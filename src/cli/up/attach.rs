//! Waiting for a start that is somebody else's, or for a chain that runs.

use std::time::Instant;

use super::Deadline;
use super::launch::stopped_meanwhile;
use crate::cli::exit::{Exit, Failure};
use crate::cli::holder::{self, Tried};
use crate::cli::progress::Progress;
use crate::control::client::Exchange;
use crate::paths::Paths;
use crate::protocol::control::{Event, Request, Summary};
use crate::supervisor::instance::Holder;

/// Waits for the chain of whoever holds the lock; `None` if the holder is gone
/// or going and the lock should be asked for again.
pub(super) async fn attach(
    paths: &Paths,
    progress: &Progress,
    mut deadline: Deadline,
    who: Option<Holder>,
) -> Result<Option<Summary>, Failure> {
    let begun = Exchange::begin(&paths.control_socket(), &Request::Attach).await;
    let Ok(mut exchange) = begun else {
        return still_time(deadline.at, paths, who).map(|()| None);
    };
    loop {
        let left = deadline.at.saturating_duration_since(Instant::now());
        match exchange.next(left).await {
            Ok(Event::Ready(summary)) => return Ok(Some(summary)),
            Ok(Event::Failed(failure)) => return Err(Failure::from_start(failure)),
            Ok(Event::Stopped { .. }) => return Err(stopped_meanwhile(paths)),
            Ok(Event::Refused(_)) => {
                return still_time(deadline.at, paths, who).map(|()| None);
            }
            Ok(event) => {
                deadline.handle(&event);
                progress.show(&event);
            }
            Err(_) => return still_time(deadline.at, paths, who).map(|()| None),
        }
    }
}

fn still_time(deadline: Instant, paths: &Paths, who: Option<Holder>) -> Result<(), Failure> {
    if Instant::now() < deadline {
        return Ok(());
    }
    Err(holder::unresponsive(
        paths,
        who.as_ref(),
        Exit::TimedOut,
        Tried::Asking,
    ))
}
