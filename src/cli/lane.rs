//! `falco lane`: sessions that wait for an effect that was refused for good, and
//! those that stand still with one that is tried in vain.
//!
//! Asks the Falco that runs: what its daemons have is known to nobody else. While
//! none does, the lanes that wait for a dead letter are read from the outbox.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::exit::Failure;
use super::outbox::args::{self, Common, Limit};
use super::outbox::{pages, tell};
use super::output;
use super::runtime::block_on;
use super::typed;
use crate::clock;
use crate::counted::counted;
use crate::paths::Paths;
use crate::protocol::control::IngestStatus;
use crate::protocol::lane::{LaneRequest, LaneVerb, ParkedLane, StuckLane};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the lanes that are parked, and what each waits for
    ///
    /// A lane whose next effect is tried in vain goes on by itself and is not among
    /// them: --stuck lists those.
    List {
        /// List those that stand still without being parked instead, the longest first
        ///
        /// Their next effect was tried in vain and is tried on. A Falco that runs knows
        /// them. None are listed while it has no connection to the transport of their
        /// route, and none that only wait for Ably to be reached again: falco status
        /// says that.
        #[arg(long)]
        stuck: bool,
        #[command(flatten)]
        limit: Limit,
    },
    /// Let lanes go on without what they wait for; a dead letter stays one
    Resume(Which),
    /// Let lanes go on, and drop the dead letters they wait for
    Discard(Which),
}

#[derive(Debug, clap::Args)]
struct Which {
    /// The lanes, as `list` prints them
    #[arg(value_name = "LANE", required_unless_present = "all")]
    lanes: Vec<String>,
    /// They are lanes of this route
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// All that are parked, of every route
    #[arg(long, conflicts_with_all = ["lanes", "route"])]
    all: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let paths = args.common.instance.paths()?;
    let json = args.common.json;
    let done = match args.verb {
        Verb::List { stuck, limit } => block_on(list(&paths, stuck, limit, json)),
        Verb::Resume(which) => block_on(open(&paths, LaneVerb::Resume, which, json)),
        Verb::Discard(which) => block_on(open(&paths, LaneVerb::Discard, which, json)),
    };
    done.map_err(|failure| failure.at(&paths))
}

async fn list(paths: &Paths, stuck: bool, limit: Limit, json: bool) -> Result<(), Failure> {
    let verb = if stuck {
        LaneVerb::Stuck
    } else {
        LaneVerb::List
    };
    let request = LaneRequest {
        verb,
        ..LaneRequest::default()
    };
    pages::list(paths, request, limit, |answer| {
        print(&answer.lanes, json, listed)?;
        print(&answer.stuck, json, listed_stuck)
    })
    .await
}

/// Prints lanes, for people as `text` has them.
fn print<T: Serialize>(
    lanes: &[T],
    json: bool,
    text: impl Fn(&T) -> String,
) -> Result<(), Failure> {
    let print = |lane: &T| {
        if json {
            tell::object(lane)
        } else {
            output::line(&text(lane))
        }
    };
    lanes.iter().try_for_each(print)
}

async fn open(paths: &Paths, verb: LaneVerb, which: Which, json: bool) -> Result<(), Failure> {
    let request = LaneRequest {
        verb,
        lanes: args::once(which.lanes),
        route: which.route,
        all: which.all,
        ..LaneRequest::default()
    };
    let changed = pages::change(paths, request).await?;
    let told = |count| {
        let go = if count == 1 { "goes" } else { "go" };
        format!("{} {go} on", counted(count, "lane"))
    };
    let list = typed::falco(paths, "lane list");
    let hint = format!("{list} says which are parked, and of which route");
    changed.tell(json, told, Some(&hint))
}

fn listed(parked: &ParkedLane) -> String {
    let route = parked.route.as_ref();
    let route = route.map_or(String::new(), |route| format!(" (route {route})"));
    let age = Duration::from_millis(clock::now_ms().saturating_sub(parked.since_ms));
    let behind = match (parked.kept, parked.waiting) {
        (false, _) => "its daemon has it".to_owned(),
        (true, count) => format!("{count} kept behind it"),
    };
    format!(
        "{}{route}  for {}  waits for {}, {behind}: {}",
        output::visible(&parked.lane),
        clock::span(age),
        parked.effect_id,
        output::visible(&parked.error),
    )
}

fn listed_stuck(stuck: &StuckLane) -> String {
    let route = stuck.route.as_ref();
    let route = route.map_or(String::new(), |route| format!(" (route {route})"));
    let age = Duration::from_millis(clock::now_ms().saturating_sub(stuck.since_ms));
    let kept = if stuck.kept { " kept" } else { "" };
    format!(
        "{}{route}  for {}  tried {} {}, {}{kept} behind it: {}",
        output::visible(&stuck.lane),
        clock::span(age),
        stuck.effect_id,
        counted(stuck.attempts, "time"),
        stuck.waiting,
        output::visible(&stuck.error),
    )
}

/// The lane that stands still the longest without being parked, if that is long:
/// how it is, and what to do about it.
pub(super) fn stuck(ingest: &IngestStatus, paths: &Paths) -> Option<(String, String)> {
    let now_ms = clock::now_ms();
    let stuck = ingest.stuck.as_ref().filter(|lane| lane.is_long(now_ms))?;
    let StuckLane {
        lane, effect_id, ..
    } = stuck;
    let route = stuck.route.as_ref();
    let route = route.map_or(String::new(), |route| format!(" (route {route})"));
    let age = Duration::from_millis(now_ms.saturating_sub(stuck.since_ms));
    let how = format!(
        "{}{route} has stood still for {}: {effect_id} was tried {}, {} behind it: {}",
        output::visible(lane),
        clock::span(age),
        counted(stuck.attempts, "time"),
        stuck.waiting,
        output::visible(&stuck.error),
    );
    let falco = |verb: &str| typed::falco(paths, &format!("outbox {verb} {effect_id}"));
    let next = if stuck.kept {
        format!(
            "it is tried until Ably takes it; {} says what it is, {} lets the lane go on without it",
            falco("show"),
            falco("drop")
        )
    } else {
        "its daemon is answered once its time is over".to_owned()
    };
    let all = typed::falco(paths, "lane list --stuck");
    let next = format!("{next}; {all} lists all that stand still");
    Some((how, next))
}

/// The lanes that are parked, for a status; nothing if none are.
pub(super) fn summary(ingest: &IngestStatus) -> String {
    let mut text = String::new();
    if ingest.unparked > 0 {
        let went = counted(ingest.unparked, "time");
        _ = writeln!(
            text,
            "! lanes   {went} one went on without what was refused: too many are parked"
        );
    }
    if ingest.parked == 0 {
        return text;
    }
    let (lanes, are) = (
        counted(ingest.parked, "lane"),
        if ingest.parked == 1 { "is" } else { "are" },
    );
    _ = writeln!(text, "! lanes   {lanes} {are} parked: `falco lane list`");
    for parked in &ingest.parked_lanes {
        _ = writeln!(text, "! lane    {}", listed(parked));
    }
    text
}

#[cfg(test)]
mod tests;
