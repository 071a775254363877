//! What `falco up` warns of, once the chain answers.

use std::time::{Duration, Instant};

use crate::cli::exit::Failure;
use crate::cli::progress::Progress;
use crate::cli::{outbox, status};
use crate::paths::{Paths, SOCKET_PATH_MAX};
use crate::protocol::control::{LoginState, Status};
use crate::protocol::outbox::OutboxStatus;

/// How long the first connection to Ably, or the reading of the outbox, is waited
/// for before `up` says that there is none yet, and how often it is looked at.
const UPSTREAM_PATIENCE: Duration = Duration::from_secs(1);
const UPSTREAM_LOOK: Duration = Duration::from_millis(25);

/// The same of an outbox, by who stays in any case.
const OUTBOX_LOOK: Duration = Duration::from_millis(250);

/// The audience that effects are published for.
const FALCO: &str = "daemon_falco";

/// The chain answers whether or not everybody can connect to it, the outbox keeps
/// effects, and Ably answers: says so if not.
pub(super) async fn warn(paths: &Paths, progress: &Progress) {
    warn_of_long_path(paths, progress);
    let until = Instant::now() + UPSTREAM_PATIENCE;
    if let Some(outbox) = looked_at(async || status::ask(paths).await, until).await {
        tell_of_outbox(outbox, progress);
    }
    warn_of_upstream(paths, progress).await;
}

/// We reach a socket whose path fits into no address; others know no way.
fn warn_of_long_path(paths: &Paths, progress: &Progress) {
    let bytes = paths.falco_socket().as_os_str().len();
    if SOCKET_PATH_MAX < bytes {
        progress.warn(&format!(
            "the path of falco.sock has {bytes} bytes: programs that know no way around {SOCKET_PATH_MAX} cannot connect to it; choose a shorter --base-dir"
        ));
    }
}

/// The same of the outbox, however long it is read; for who stays meanwhile.
pub(super) async fn warn_of_outbox(paths: &Paths, progress: &Progress) {
    if let Some(outbox) = read(async || status::ask(paths).await).await {
        tell_of_outbox(outbox, progress);
    }
}

/// How the outbox is, if there is one: once it is read, or as it is by then.
async fn looked_at(
    ask: impl AsyncFn() -> Result<Box<Status>, Failure>,
    until: Instant,
) -> Option<OutboxStatus> {
    while let Ok(status) = ask().await {
        let outbox = status.ingest?.outbox?;
        if is_read(&outbox) || until <= Instant::now() {
            return Some(outbox);
        }
        tokio::time::sleep(UPSTREAM_LOOK).await;
    }
    None
}

/// How the outbox is, if there is one, once it is read. A chain that is asked
/// and does not answer may be busy with just that.
async fn read(ask: impl AsyncFn() -> Result<Box<Status>, Failure>) -> Option<OutboxStatus> {
    loop {
        let ingest = ask().await.ok().and_then(|status| status.ingest);
        if let Some(ingest) = ingest {
            let outbox = ingest.outbox?;
            if is_read(&outbox) {
                return Some(outbox);
            }
        }
        tokio::time::sleep(OUTBOX_LOOK).await;
    }
}

fn is_read(outbox: &OutboxStatus) -> bool {
    outbox.state != "recovering"
}

/// Tells also whoever wants to hear of nothing that goes well.
fn tell_of_outbox(outbox: OutboxStatus, progress: &Progress) {
    let unrouted = outbox::unrouted(&outbox);
    if let Some(why) = outbox.why.filter(|_| outbox.state != "degraded") {
        let state = &outbox.state;
        progress.alert(&format!("the outbox is {state}: {why}"));
    }
    for told in outbox.missed.iter().chain(&unrouted) {
        progress.alert(told);
    }
}

async fn warn_of_upstream(paths: &Paths, progress: &Progress) {
    let deadline = Instant::now() + UPSTREAM_PATIENCE;
    while let Ok(status) = status::ask(paths).await {
        if status.login.state == LoginState::LoggedOut {
            return progress.warn("nobody is logged in: every effect is refused; falco login");
        }
        let connections = status.transport.iter().flat_map(|t| &t.connections);
        let Some(up) = connections.into_iter().find(|c| c.audience == FALCO) else {
            return;
        };
        let is_late = deadline <= Instant::now();
        match &up.last_error {
            _ if up.state == "connected" => return,
            Some(error) => {
                return progress.warn(&format!("not connected to Ably: {error}; effects wait"));
            }
            None if is_late => {
                let text = "not connected to Ably yet; falco status tells";
                return progress.warn(text);
            }
            None => tokio::time::sleep(UPSTREAM_LOOK).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::cli::exit::Exit;
    use crate::protocol::control::IngestStatus;

    type Answer = Result<Box<Status>, Failure>;

    fn outbox(state: &str) -> OutboxStatus {
        OutboxStatus {
            state: state.to_owned(),
            ..OutboxStatus::default()
        }
    }

    fn answer(outbox: Option<OutboxStatus>) -> Box<Status> {
        let ingest = Some(IngestStatus {
            outbox,
            ..IngestStatus::default()
        });
        Box::new(Status {
            ingest,
            ..Status::default()
        })
    }

    fn none() -> Answer {
        Err(Failure::new(Exit::Unknown, "no answer"))
    }

    /// What who stays hears after these answers.
    async fn read_of(answers: impl IntoIterator<Item = Answer>) -> Option<OutboxStatus> {
        let answers = RefCell::new(answers.into_iter());
        read(async || answers.borrow_mut().next().expect("asked no more")).await
    }

    #[tokio::test(start_paused = true)]
    async fn who_stays_hears_of_an_outbox_however_long_it_is_read() {
        let reading = (0..1000).map(|_| Ok(answer(Some(outbox("recovering")))));
        let busy = [none(), Ok(Box::default()), none()];
        let read = Ok(answer(Some(outbox("ok"))));
        let heard = read_of(reading.chain(busy).chain([read])).await;
        assert_eq!(heard, Some(outbox("ok")));
        assert_eq!(
            read_of([none(), Ok(answer(None))]).await,
            None,
            "there is none"
        );
    }

    #[tokio::test]
    async fn who_goes_hears_how_the_outbox_is_by_then() {
        let ask = async || Ok(answer(Some(outbox("recovering"))));
        let heard = looked_at(ask, Instant::now()).await;
        assert_eq!(heard, Some(outbox("recovering")));
        assert_eq!(looked_at(async || none(), Instant::now()).await, None);
    }
}
