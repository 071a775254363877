//! `falco lane`: sessions that wait for an effect that was refused for good.
//!
//! Asks the Falco that runs: what its daemons have is known to nobody else. While
//! none does, the lanes that wait for a dead letter are read from the outbox.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;

use super::exit::Failure;
use super::outbox::args::{self, Common, Limit};
use super::outbox::ask::{self, Oracle};
use super::output;
use super::runtime::block_on;
use crate::clock;
use crate::counted::counted;
use crate::paths::Paths;
use crate::protocol::control::IngestStatus;
use crate::protocol::lane::{LaneAnswer, LaneRequest, LaneVerb, ParkedLane};

/// Lanes asked for at a time; a request is one line of bounded length.
const PAGE: usize = 100;

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
    List(Limit),
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
    match args.verb {
        Verb::List(limit) => block_on(list(&paths, limit, json)),
        Verb::Resume(which) => block_on(open(&paths, LaneVerb::Resume, which, json)),
        Verb::Discard(which) => block_on(open(&paths, LaneVerb::Discard, which, json)),
    }
}

async fn list(paths: &Paths, limit: Limit, json: bool) -> Result<(), Failure> {
    let mut oracle = Oracle::to_look(paths);
    let mut printed = 0;
    while printed < limit.count {
        let request = LaneRequest {
            limit: PAGE.min(limit.count - printed),
            skip: printed,
            ..LaneRequest::default()
        };
        let answer = oracle.ask(&request).await?;
        printed += answer.lanes.len();
        for lane in &answer.lanes {
            let line = if json {
                json!(lane).to_string()
            } else {
                listed(lane)
            };
            output::line(&line)?;
        }
        if !answer.more || answer.lanes.is_empty() {
            return Ok(());
        }
    }
    limit.say_more();
    Ok(())
}

async fn open(paths: &Paths, verb: LaneVerb, which: Which, json: bool) -> Result<(), Failure> {
    let mut oracle = Oracle::to_change(paths);
    let request = LaneRequest {
        verb,
        route: which.route,
        all: which.all,
        ..LaneRequest::default()
    };
    let lanes = args::once(which.lanes);
    let mut all = LaneAnswer::default();
    let pages = lanes.chunks(PAGE).map(<[String]>::to_vec);
    let pages = pages.chain(which.all.then(Vec::new));
    let mut end = Ok(());
    for (page, some) in pages.enumerate() {
        let some = LaneRequest {
            lanes: some,
            ..request.clone()
        };
        match oracle.ask(&some).await {
            Ok(answer) => {
                all.changed += answer.changed;
                all.refused.extend(answer.refused);
            }
            Err(failure) => {
                end = Err(ask::cut_short(failure, page, PAGE, lanes.len())?);
                break;
            }
        }
    }
    opened(&all, end, json)
}

fn opened(answer: &LaneAnswer, end: Result<(), Failure>, json: bool) -> Result<(), Failure> {
    let LaneAnswer {
        changed, refused, ..
    } = answer;
    let told = if json {
        json!({"changed": changed, "refused": refused}).to_string()
    } else {
        let go = if *changed == 1 { "goes" } else { "go" };
        format!("{} {go} on", counted(*changed, "lane"))
    };
    output::line(&told)?;
    let hint = "falco lane list says which are parked, and of which route";
    ask::ended(end, refused, Some(hint))
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
    _ = writeln!(text, "! lanes   {lanes} {are} parked: falco lane list");
    for parked in &ingest.parked_lanes {
        _ = writeln!(text, "! lane    {}", listed(parked));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_nothing_of_lanes_unless_some_are_parked() {
        assert_eq!(summary(&IngestStatus::default()), "");
        let parked = ParkedLane {
            lane: "s\u{7}".to_owned(),
            effect_id: "e".to_owned(),
            error: "rejected: no".to_owned(),
            since_ms: clock::now_ms(),
            waiting: 3,
            kept: true,
            ..ParkedLane::default()
        };
        let ingest = IngestStatus {
            parked: 1,
            parked_lanes: vec![parked],
            ..IngestStatus::default()
        };
        let text = summary(&ingest);
        assert!(text.starts_with("! lanes   1 lane is parked"), "{text}");
        assert!(text.contains("waits for e, 3 kept behind it: rejected: no"));
        assert!(
            !text.contains('\u{7}'),
            "what moves the cursor is spelt out"
        );
        let ingest = IngestStatus {
            unparked: 2,
            ..IngestStatus::default()
        };
        let text = summary(&ingest);
        assert!(text.starts_with("! lanes   2 times one went on"), "{text}");
    }
}
