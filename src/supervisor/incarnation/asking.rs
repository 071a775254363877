//! Whether a child is alive, as it or its probe says.

use futures_util::future::BoxFuture;

use super::super::part::{Alive, AliveBy};
use super::super::probe::Unanswered;
use super::News;

/// Asks whether the child is alive.
pub(super) fn ask(
    alive: Option<&Alive>,
    said: &str,
    has_pinged: &mut bool,
) -> BoxFuture<'static, Result<(), Unanswered>> {
    match alive {
        Some(Alive {
            by: AliveBy::Probe(probe),
            timeout,
        }) => {
            let (probe, said, timeout) = (probe.clone(), said.to_owned(), *timeout);
            Box::pin(async move { probe.ask_once(&said, timeout).await })
        }
        Some(Alive { .. }) => {
            let pinged = std::mem::take(has_pinged);
            let silent = || Unanswered::Silent("it sent no WATCHDOG=1".to_owned());
            Box::pin(std::future::ready(pinged.then_some(()).ok_or_else(silent)))
        }
        None => Box::pin(std::future::ready(Ok(()))),
    }
}

/// Resolves with the answer to what is being asked; never if nothing is.
pub(super) async fn answer(
    asking: &mut Option<BoxFuture<'_, Result<(), Unanswered>>>,
) -> Result<(), Unanswered> {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

/// What an answer means for those who wanted to know.
pub(super) fn pulse(answer: Result<(), Unanswered>) -> News {
    let answer = match answer {
        Ok(()) => Ok(()),
        Err(Unanswered::Silent(why)) => Err(why),
        Err(Unanswered::Unasked(why)) => return News::Unasked { why },
    };
    News::Pulse { answer }
}
