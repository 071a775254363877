//! What `falco up` warns of, once the chain answers.

use std::time::{Duration, Instant};

use crate::cli::exit::Failure;
use crate::cli::progress::Progress;
use crate::cli::{moment, outbox, status, typed};
use crate::journal;
use crate::paths::{Paths, SOCKET_PATH_MAX};
use crate::protocol::control::{LoginState, Status};
use crate::protocol::outbox::OutboxStatus;

/// How long the first connection to Ably, or the reading of the outbox, is waited
/// for before `up` says that there is none yet, and how often it is looked at.
const UPSTREAM_PATIENCE: Duration = Duration::from_secs(1);
const UPSTREAM_LOOK: Duration = Duration::from_millis(25);

/// The audience that effects are published for.
const FALCO: &str = "daemon_falco";

/// The chain answers whether or not everybody can connect to it, the outbox keeps
/// effects, and Ably answers: says so if not.
pub(super) async fn warn(paths: &Paths, progress: &Progress) {
    warn_of_long_path(paths, progress);
    let until = Instant::now() + UPSTREAM_PATIENCE;
    if let Some(outbox) = looked_at(async || status::ask(paths).await, until).await {
        Told::default().tell(outbox, paths, progress);
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

fn is_read(outbox: &OutboxStatus) -> bool {
    outbox.state != "recovering"
}

/// What was told of the outbox, as [`timeless`].
#[derive(Debug, Default)]
pub(super) struct Told(Vec<String>);

impl Told {
    /// Tells what is new; also whoever wants to hear of nothing that goes well.
    pub(super) fn tell(&mut self, outbox: OutboxStatus, paths: &Paths, progress: &Progress) {
        for text in self.news(troubles(outbox)) {
            progress.alert(&typed::complete(&text, paths));
        }
    }

    /// What of `troubles` was not so the last time.
    fn news(&mut self, troubles: Vec<String>) -> impl Iterator<Item = String> + use<> {
        let now = troubles.iter().map(|text| timeless(text)).collect();
        let before = std::mem::replace(&mut self.0, now);
        let is_new = move |text: &String| !before.contains(&timeless(text));
        troubles.into_iter().filter(is_new)
    }
}

/// A text without the moments in it: that something was so again later is no news.
fn timeless(text: &str) -> String {
    let is_moment = |word: &str| moment::is_one(word.trim_end_matches([':', ';', ',']));
    let words = text.split(' ').filter(|word| !is_moment(word));
    words.collect::<Vec<_>>().join(" ")
}

/// What the outbox has lost or misses, and what it does not keep.
fn troubles(outbox: OutboxStatus) -> Vec<String> {
    let unrouted = outbox::unrouted(&outbox);
    let lost = outbox::lost(&outbox);
    let lost = lost.map(|lost| format!("the outbox has lost what was on disk: {lost}"));
    // Of a loss more is said below; of whatever else is so, only here.
    let is_lost = 0 < outbox.quarantined;
    let why = outbox.why.filter(|why| !is_lost || why != journal::DAMAGED);
    let why = why.map(|why| format!("the outbox is {}: {why}", outbox.state));
    let first = why.into_iter().chain(lost);
    let last = outbox.missed.into_iter().chain(unrouted);
    first.chain(last).collect()
}

async fn warn_of_upstream(paths: &Paths, progress: &Progress) {
    let deadline = Instant::now() + UPSTREAM_PATIENCE;
    while let Ok(status) = status::ask(paths).await {
        if status.login.state == LoginState::LoggedOut {
            let login = typed::falco(paths, "login");
            let text = format!("nobody is logged in: nothing is published; {login}");
            return progress.warn(&text);
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
                let status = typed::falco(paths, "status");
                return progress.warn(&format!("not connected to Ably yet; {status} tells"));
            }
            None => tokio::time::sleep(UPSTREAM_LOOK).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::Exit;
    use crate::protocol::control::IngestStatus;

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

    fn none() -> Result<Box<Status>, Failure> {
        Err(Failure::new(Exit::Unknown, "no answer"))
    }

    fn missing(what: &str) -> OutboxStatus {
        OutboxStatus {
            missed: Some(what.to_owned()),
            ..outbox("ok")
        }
    }

    #[test]
    fn what_is_so_still_is_told_once_and_what_comes_back_again() {
        let mut told = Told::default();
        let mut news = |outbox| told.news(troubles(outbox)).collect::<Vec<_>>();
        assert_eq!(news(missing("a")), ["a"]);
        assert!(news(missing("a")).is_empty());
        let full = OutboxStatus {
            state: "full".to_owned(),
            why: Some("no room".to_owned()),
            ..missing("a")
        };
        assert_eq!(news(full), ["the outbox is full: no room"]);
        assert!(news(outbox("ok")).is_empty());
        assert_eq!(news(missing("a")), ["a"]);
    }

    #[test]
    fn a_reason_in_which_only_a_moment_is_another_is_told_once() {
        let mut told = Told::default();
        let mut news = |why: &str| {
            let outbox = OutboxStatus {
                why: Some(why.to_owned()),
                ..outbox("degraded")
            };
            told.news(troubles(outbox)).collect::<Vec<_>>()
        };
        let first = "no room, last at 2026-11-21T09:15:40.002Z: ulimit -f";
        assert_eq!(news(first), [format!("the outbox is degraded: {first}")]);
        assert!(news("no room, last at 2026-11-22T10:00:00Z: ulimit -f").is_empty());
        assert_eq!(news("no room on 2 disks: ulimit -f").len(), 1);
        assert_eq!(news("no room on 3 disks: ulimit -f").len(), 1);
    }

    #[test]
    fn a_proven_loss_is_told_with_where_more_is_said_of_it() {
        let lost = |quarantined| OutboxStatus {
            quarantined,
            why: Some(journal::DAMAGED.to_owned()),
            ..outbox("degraded")
        };
        let told = troubles(lost(1));
        assert_eq!(told.len(), 1);
        assert!(
            told[0].contains("1 damaged range told of in outbox/quarantine"),
            "{told:?}"
        );
        let not_set_aside = OutboxStatus {
            untold: 1,
            ..lost(1)
        };
        let told = troubles(not_set_aside);
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("1 damaged range not set aside yet"));
    }

    #[test]
    fn a_loss_hides_no_other_reason() {
        let hangs = "its disk has not answered since 2026-11-21T09:15:40Z: look whether it hangs";
        let both = format!(
            "{}; files may not become long enough: ulimit -f",
            journal::DAMAGED
        );
        for why in [hangs, &both] {
            let told = troubles(OutboxStatus {
                quarantined: 1,
                why: Some(why.to_owned()),
                ..outbox("degraded")
            });
            assert_eq!(told[0], format!("the outbox is degraded: {why}"));
            assert!(told[1].contains("1 damaged range told of in outbox/quarantine"));
        }
    }

    #[tokio::test]
    async fn who_goes_hears_how_the_outbox_is_by_then() {
        let ask = async || Ok(answer(Some(outbox("recovering"))));
        let heard = looked_at(ask, Instant::now()).await;
        assert_eq!(heard, Some(outbox("recovering")));
        assert_eq!(looked_at(async || none(), Instant::now()).await, None);
    }
}
