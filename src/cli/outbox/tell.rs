//! How it is told: a line each for people, an object each for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::cli::exit::{Exit, Failure};
use crate::cli::{output, typed};
use crate::clock;
use crate::counted::counted;
use crate::paths::Paths;
use crate::protocol::outbox::{InboxStatus, OutboxRecord, OutboxStatus, RejectedLine};

/// How long it is worth a line that something went wrong and is well again.
const NEWS: Duration = Duration::from_secs(3600);

/// One object on a line of its own.
pub(in crate::cli) fn object(told: &impl Serialize) -> Result<(), Failure> {
    let line = serde_json::to_string(told);
    output::line(&line.map_err(|e| Failure::of(Exit::Internal, &e))?)
}

pub(super) fn records(
    records: &[OutboxRecord],
    json: bool,
    text: impl Fn(&OutboxRecord) -> String,
) -> Result<(), Failure> {
    for record in records {
        if json {
            object(record)?;
        } else {
            output::line(&text(record))?;
        }
    }
    Ok(())
}

pub(super) fn listed(record: &OutboxRecord) -> String {
    let route = record.route.as_deref().map(output::visible);
    let head = format!(
        "{}  {}  {}{}",
        record.id,
        clock::utc(record.arrived_ms),
        output::visible(&record.lane),
        route.map_or(String::new(), |route| format!(" (route {route})"))
    );
    match &record.dead {
        None => head,
        Some(dead) => format!(
            "{head}  dead after {}{}: {}: {}",
            counted(dead.attempts, "attempt"),
            if dead.parks {
                ", and its lane waits for it"
            } else {
                ""
            },
            output::visible(&dead.class),
            output::visible(&dead.error)
        ),
    }
}

pub(super) fn shown(record: &OutboxRecord) -> String {
    let mut lines = vec![listed(record)];
    let mut say = |name: &str, value: &Option<String>| {
        let shown = value.as_deref().map(output::visible);
        lines.extend(shown.map(|value| format!("  {name:<9} {value}")));
    };
    say("what", &record.operation);
    say("route", &record.route);
    say("channel", &record.channel);
    say("name", &record.name);
    say("key", &record.key);
    say("payload", &record.payload);
    lines.join("\n")
}

pub(super) fn stats(stats: &OutboxStatus, paths: &Paths, json: bool) -> Result<(), Failure> {
    if json {
        return object(stats);
    }
    output::line(&typed::complete(&summary(stats), paths))
}

/// A size, for people.
pub(super) fn mega(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

/// The outbox in one line, and one for each trouble.
pub(in crate::cli) fn summary(outbox: &OutboxStatus) -> String {
    if let Some(recovering) = &outbox.recovering {
        let mut text = format!("outbox    {} · {recovering}", outbox.state);
        if let Some(why) = &outbox.why {
            _ = write!(text, "\n! outbox  {}", output::visible(why));
        }
        return text;
    }
    let span = |ms| clock::span(Duration::from_millis(ms));
    let parked = match outbox.parked {
        0 => String::new(),
        parked => format!(", {parked} parked"),
    };
    // Only a Falco that runs says how many there may be.
    let held = match outbox.effects_max {
        0 => String::new(),
        most => {
            let most = counted(most, "effect");
            format!("{} of {most}, ", outbox.depth + outbox.dead)
        }
    };
    let mut text = format!(
        "outbox    {} · {} kept in {}{parked}, oldest {} · {} published, {} dead · {held}{} of {} in {}",
        outbox.state,
        outbox.depth,
        counted(outbox.lanes, "lane"),
        span(outbox.oldest_age_ms),
        outbox.published,
        outbox.dead,
        mega(outbox.bytes),
        mega(outbox.bytes_max),
        counted(outbox.segments, "segment"),
    );
    if let Some(mean) = outbox.sync_us.checked_div(outbox.syncs) {
        let max = outbox.sync_max_us;
        _ = write!(text, " · sync {mean} µs, at most {max} µs");
    }
    for lost in lost(outbox) {
        _ = write!(text, "\n! outbox  {lost}");
    }
    for why in outbox.missed.iter().chain(&outbox.why) {
        _ = write!(text, "\n! outbox  {}", output::visible(why));
    }
    for letters in unrouted(outbox).into_iter().chain(dead(outbox)) {
        _ = write!(text, "\n! outbox  {letters}");
    }
    text.push_str(&last_error(outbox, clock::now_ms()));
    if let Some(inbox) = &outbox.inbox {
        text.push_str(&received(inbox, clock::now_ms()));
    }
    text
}

/// What it has lost of what was on disk, until somebody has seen to that.
pub(in crate::cli) fn lost(outbox: &OutboxStatus) -> impl Iterator<Item = String> + use<> {
    let ranges = |count| counted(count, "damaged range");
    let told = outbox.quarantined.saturating_sub(outbox.untold);
    let there = format!(
        "{} told of in outbox/quarantine; this is said until nothing is there any more",
        ranges(told)
    );
    let not_yet = format!(
        "{} not set aside yet: see to its disk, the next start tries again",
        ranges(outbox.untold)
    );
    let there = (0 < told).then_some(there);
    let not_yet = (0 < outbox.untold).then_some(not_yet);
    there.into_iter().chain(not_yet)
}

/// What routes that are gone have left, for as long as it can be there.
pub(in crate::cli) fn unrouted(outbox: &OutboxStatus) -> Option<String> {
    let count = outbox.unrouted.min(outbox.dead);
    let letters = counted(count, "dead letter");
    let told =
        format!("{letters} left by a route that is gone: `falco outbox list --dead` says why");
    (0 < count).then_some(told)
}

/// What was given up, and what to do about it; those of a route that is gone are
/// told by themselves.
fn dead(outbox: &OutboxStatus) -> Option<String> {
    let count = outbox.dead - outbox.unrouted.min(outbox.dead);
    let letters = counted(count, "dead letter");
    let told = format!(
        "{letters}: `falco outbox list --dead` says why; requeue publishes them, drop forgets them"
    );
    (0 < count).then_some(told)
}

/// What went wrong last: for as long as the outbox is not well, and as news for a
/// while after.
fn last_error(outbox: &OutboxStatus, now_ms: u64) -> String {
    let error = outbox.last_error.as_ref();
    let Some(error) = error.filter(|error| outbox.why.as_ref() != Some(error)) else {
        return String::new();
    };
    let age = Duration::from_millis(now_ms.saturating_sub(outbox.last_error_ms));
    let (error, ago) = (output::visible(error), clock::span(age));
    if outbox.is_degraded() {
        format!("\n! outbox  {ago} ago: {error}")
    } else if age < NEWS {
        format!("\nlast      outbox, {ago} ago, and well again: {error}")
    } else {
        String::new()
    }
}

/// The inbox, once there is something to say of it.
fn received(inbox: &InboxStatus, now_ms: u64) -> String {
    let InboxStatus {
        taken,
        rejected,
        waiting,
        ..
    } = inbox;
    let mut text = String::new();
    if 0 < taken + rejected + waiting {
        let (lines, files) = (counted(*taken, "line"), counted(*waiting, "file"));
        let wait = if *waiting == 1 { "waits" } else { "wait" };
        _ = write!(
            text,
            "\ninbox     {lines} taken, {rejected} rejected · {files} {wait}"
        );
    }
    text.push_str(&last_rejected(inbox, now_ms));
    if let Some(trouble) = &inbox.trouble {
        _ = write!(text, "\n! inbox   {}", output::visible(trouble));
    }
    for held in &inbox.held {
        let age = Duration::from_millis(now_ms.saturating_sub(held.since_ms));
        let (file, why) = (output::visible(&held.file), output::visible(&held.why));
        _ = write!(text, "\n! inbox   {file}: {why}, for {}", clock::span(age));
    }
    text
}

/// The line that was rejected last, as news for a while.
fn last_rejected(inbox: &InboxStatus, now_ms: u64) -> String {
    let age = |line: &RejectedLine| Duration::from_millis(now_ms.saturating_sub(line.at_ms));
    let last = inbox.last_rejected.as_ref();
    let Some(line) = last.filter(|line| age(line) < NEWS) else {
        return String::new();
    };
    let number = line.number.map(|number| format!(" line {number}"));
    format!(
        "\nlast      inbox, {} ago: {}{} was rejected: {}",
        clock::span(age(line)),
        output::visible(&line.file),
        number.unwrap_or_default(),
        output::visible(&line.reason)
    )
}

#[cfg(test)]
mod tests;
