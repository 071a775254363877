//! `falco up --foreground`: the supervisor in this process, and what is told
//! meanwhile.

use tokio::sync::{Notify, mpsc};

use super::warnings::Told;
use crate::cli::daemon::Supervisor;
use crate::cli::exit::Failure;
use crate::cli::progress::{Progress, seconds};
use crate::cli::typed;
use crate::protocol::control::{Event, Missing};
use crate::supervisor::Until;

/// Runs the supervisor until it is stopped.
pub(super) async fn stay(supervisor: Supervisor, progress: &Progress) -> Result<(), Failure> {
    let (events, mut news) = mpsc::channel(256);
    let (handles, is_up) = (supervisor.handles.clone(), Notify::new());
    let paths = &supervisor.paths.clone();
    let show = async {
        while let Some(event) = news.recv().await {
            progress.show(&event);
            if let Event::Ready(summary) = event {
                progress.say(&format!(
                    "ready in {} · pid {}",
                    seconds(summary.took_ms),
                    summary.pid
                ));
                for Missing { part, why } in &summary.missing {
                    let text = format!("without {part}: {why}");
                    progress.warn(&typed::complete(&text, paths));
                }
                is_up.notify_one();
            }
        }
    };
    let warn = async {
        let mut told = Told::default();
        loop {
            is_up.notified().await;
            if let Some(outbox) = handles.outbox_once_read().await {
                told.tell(outbox, paths, progress);
            }
        }
    };
    let chain = async { tokio::join!(supervisor.run((Until::End, events)), show) };
    tokio::select! {
        (result, ()) = chain => result,
        never = warn => never,
    }
}
