//! What a child says of itself, beside its output.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::Notify;

use super::super::part::{AliveBy, ReadyBy};
use super::super::said::Said;
use super::{Birth, News, Reporter};
use crate::net::unix::{Notice, Notices};
use crate::process::capture::Journal;
use crate::protocol::life::{Life, Told};
use crate::shutdown::Shutdown;

/// Hands on what a child says of itself besides being ready and alive.
pub(super) async fn heed(said: &Said, birth: &Birth, reporter: &Reporter) {
    reporter.word.send_if_modified(|word| word.heed(said));
    if let Some(by) = said.extends {
        reporter.say(News::Extends { by }).await;
    }
    let alive = birth.alive.as_ref().map(|alive| &alive.by);
    if said.in_distress && matches!(alive, Some(AliveBy::Watchdog { .. })) {
        reporter.say(News::Distress).await;
    }
}

pub(super) async fn next_notice(notices: Option<&Notices>) -> io::Result<Notice> {
    match notices {
        Some(notices) => notices.next().await,
        None => std::future::pending().await,
    }
}

/// Resolves with what the child said once it is ready.
pub(super) async fn readiness(
    (ready, hearing): (Option<pipe::Receiver>, Hearing<'_>),
    by: &ReadyBy,
    found: &Notify,
    trouble: &mut Option<String>,
    reporter: &Reporter,
) -> String {
    let mut fact = String::new();
    match (by, ready) {
        (ReadyBy::Probe(probe), ready) => {
            if let Some(pipe) = ready {
                let mut reader = BufReader::new(pipe);
                fact = next_line(&mut reader).await.unwrap_or_default();
                hearing.begin(reader);
            }
            probe.answered(&fact, trouble, reporter).await;
        }
        (ReadyBy::Descriptor, Some(pipe)) => says_anything(pipe).await,
        (ReadyBy::Line(_), _) => found.notified().await,
        (ReadyBy::Runs(so_long), _) => tokio::time::sleep(*so_long).await,
        // A notice says so, and is heard elsewhere.
        (ReadyBy::Notify | ReadyBy::Descriptor, _) => std::future::pending().await,
    }
    fact
}

/// Resolves at the first byte; never if the pipe is closed without one.
async fn says_anything(mut pipe: pipe::Receiver) {
    if pipe.read_u8().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The next line; a pipe closed without one says nothing, and the probe
/// decides.
async fn next_line(reader: &mut BufReader<pipe::Receiver>) -> Option<String> {
    /// What is said there are small objects.
    const BYTES_MAX: u64 = 4096;
    let mut line = String::new();
    let read = reader.take(BYTES_MAX).read_line(&mut line).await;
    matches!(read, Ok(1..)).then(|| line.trim_end().to_owned())
}

/// Notes what a child of ours says of itself after it was ready.
pub(super) struct Hearing<'a> {
    pub(super) tasks: &'a Shutdown,
    pub(super) journal: &'a Journal,
}

impl Hearing<'_> {
    /// Until the child closes its end.
    fn begin(self, mut reader: BufReader<pipe::Receiver>) {
        let journal = self.journal.clone();
        self.tasks.spawn(async move {
            while let Some(line) = next_line(&mut reader).await {
                let told = serde_json::from_str::<Told>(&line).ok();
                if let Some(upstream) = told.and_then(|told| told.upstream) {
                    journal.note(Life::Upstream {
                        audience: upstream.audience,
                        state: upstream.state,
                        error: upstream.last_error.map(|error| error.to_string()),
                    });
                }
            }
        });
    }
}
