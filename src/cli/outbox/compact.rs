//! `falco outbox compact`: gains space, and says how much.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::ask::{self, Oracle};
use super::of;
use super::tell::{self, mega};
use crate::cli::exit::Failure;
use crate::cli::{output, typed};
use crate::counted::counted;
use crate::paths::Paths;
use crate::protocol::outbox::OutboxVerb;

/// How long a Falco that runs is watched: it copies slowly, for it has other
/// things to do.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is asked.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(super) async fn run(paths: &Paths, json: bool) -> Result<(), Failure> {
    let mut oracle = Oracle::to_change(paths);
    let before = ask::stats(&mut oracle).await?;
    let answer = oracle.ask(&of(OutboxVerb::Compact, Vec::new())).await?;
    // It is under way: whoever cannot be asked how far may go on with it.
    let mut oracle = Oracle::to_look(paths);
    let until = Instant::now() + PATIENCE;
    let mut after = ask::stats(&mut oracle).await?;
    while after.compacting && Instant::now() < until {
        sleep(LOOK_EVERY).await;
        after = ask::stats(&mut oracle).await?;
    }
    let is_known = after.state != "unanswered";
    if json {
        return tell::object(&json!({
            "bytes_before": before.bytes, "bytes": after.bytes,
            "segments": after.segments,
            "compacting": is_known.then_some(after.compacting),
            "no_gain": answer.no_gain,
        }));
    }
    let (was, is) = (mega(before.bytes), mega(after.bytes));
    let segments = counted(after.segments, "segment");
    let more = match answer.no_gain {
        _ if !is_known => " · it may go on; `falco outbox stats` says how far it is".to_owned(),
        _ if after.compacting => {
            " · it goes on; `falco outbox stats` says how far it is".to_owned()
        }
        Some(why) => format!(" · {why}"),
        None => String::new(),
    };
    let text = format!("{is} in {segments}, it was {was}{more}");
    output::line(&typed::complete(&text, paths))
}
