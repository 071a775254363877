//! What `falco up` warns of, once the chain answers.

use std::time::{Duration, Instant};

use crate::cli::progress::Progress;
use crate::cli::{outbox, status};
use crate::paths::{Paths, SOCKET_PATH_MAX};
use crate::protocol::control::LoginState;

/// How long the first connection to Ably is waited for before `up` says that
/// there is none yet, and how often it is looked at.
const UPSTREAM_PATIENCE: Duration = Duration::from_secs(1);
const UPSTREAM_LOOK: Duration = Duration::from_millis(25);

/// The audience that effects are published for.
const FALCO: &str = "daemon_falco";

/// The chain answers whether or not everybody can connect to it, the outbox keeps
/// effects, and Ably answers: says so if not.
pub(super) async fn warn(paths: &Paths, progress: &Progress) {
    warn_of_long_path(paths, progress);
    warn_of_outbox(paths, progress).await;
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

/// Also whoever wants to hear of nothing that goes well.
pub(super) async fn warn_of_outbox(paths: &Paths, progress: &Progress) {
    let deadline = Instant::now() + UPSTREAM_PATIENCE;
    while let Ok(status) = status::ask(paths).await {
        let Some(outbox) = status.ingest.and_then(|ingest| ingest.outbox) else {
            return;
        };
        if outbox.state == "recovering" && Instant::now() < deadline {
            tokio::time::sleep(UPSTREAM_LOOK).await;
            continue;
        }
        let unrouted = outbox::unrouted(&outbox);
        if let Some(why) = outbox.why.filter(|_| outbox.state != "degraded") {
            let state = &outbox.state;
            progress.alert(&format!("the outbox is {state}: {why}"));
        }
        for told in outbox.missed.iter().chain(&unrouted) {
            progress.alert(told);
        }
        return;
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
