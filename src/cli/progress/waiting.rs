//! Who is waited for while a stop takes its time: one line that changes on a
//! terminal, and elsewhere a line now and then.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::cli::output;
use crate::protocol::control::PartWaiting;

/// How often the same is said where lines stay.
const SAID_AGAIN: Duration = Duration::from_secs(5);

/// What was said last of who is waited for.
#[derive(Debug, Default)]
pub(super) struct Waits(RefCell<Said>);

#[derive(Debug, Default)]
enum Said {
    #[default]
    Nothing,
    /// A line on a terminal that the next one takes the place of.
    Live,
    /// A line that stays, and for whom.
    Line {
        who: Vec<(String, Option<String>)>,
        at: Instant,
    },
}

impl Waits {
    /// Says `text` on a terminal, in the place of what was said before.
    pub(super) fn say_live(&self, text: &str) {
        output::live(text);
        self.0.replace(Said::Live);
    }

    /// Whether it is time for a line that stays: those who are waited for are
    /// others, or it is long since the last one.
    pub(super) fn is_due(&self, parts: &[PartWaiting], now: Instant) -> bool {
        let now_for = |part: &PartWaiting| (part.part.clone(), part.signal.clone());
        let who: Vec<_> = parts.iter().map(now_for).collect();
        let said = matches!(&*self.0.borrow(), Said::Line { who: before, at }
            if *before == who && now < *at + SAID_AGAIN);
        if !said {
            self.0.replace(Said::Line { who, at: now });
        }
        !said
    }

    /// Takes the line away that only told how it stood.
    pub(super) fn clear(&self) {
        if matches!(*self.0.borrow(), Said::Live) {
            output::clear_live();
            self.0.replace(Said::Nothing);
        }
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Who is waited for, and how long at most: for a line that stays.
pub(super) fn text(parts: &[PartWaiting], within: Option<u64>) -> String {
    let within = within.map(|ms| format!("; all is gone in {} at most", whole(ms)));
    format!("waiting for {}{}", all(parts), within.unwrap_or_default())
}

/// The same for a line that is cut off at the edge of a terminal: what holds
/// for all comes first.
pub(super) fn live_text(
    parts: &[PartWaiting],
    within: Option<u64>,
    way_out: Option<&str>,
) -> String {
    let can_be_killed = parts.iter().any(|part| part.kill_in_ms.is_some());
    let way_out = way_out.filter(|_| can_be_killed);
    let within = within.map(|ms| format!(" {} at most", whole(ms)));
    let way_out = way_out.map(|way_out| format!(", {way_out}"));
    let [within, way_out] = [within, way_out].map(Option::unwrap_or_default);
    format!("waiting{within}{way_out}: {}", all(parts))
}

fn all(parts: &[PartWaiting]) -> String {
    let who: Vec<String> = parts.iter().map(one).collect();
    who.join(", ")
}

/// `transport (pid 123, SIGTERM 4 s ago, SIGKILL in 6 s)`.
fn one(part: &PartWaiting) -> String {
    let who = match part.pids.as_slice() {
        [] if part.signal.is_some() => "no process left".to_owned(),
        [] => "in-process".to_owned(),
        [pid] => format!("pid {pid}"),
        [pid, rest @ ..] => format!("pid {pid} and {} below it", rest.len()),
    };
    let (asked, then) = match &part.signal {
        Some(signal) => (signal.as_str(), "SIGKILL"),
        None => ("asked", "abandoned"),
    };
    let since = whole(part.since_ms);
    let then = part
        .kill_in_ms
        .map(|ms| format!(", {then} in {}", whole(ms)));
    let then = then.unwrap_or_default();
    format!("{} ({who}, {asked} {since} ago{then})", part.part)
}

/// Whole seconds.
fn whole(ms: u64) -> String {
    format!("{} s", (ms + 500) / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transport(signal: &str, kill_in_ms: Option<u64>) -> PartWaiting {
        PartWaiting {
            part: "transport".to_owned(),
            pids: vec![123],
            signal: Some(signal.to_owned()),
            since_ms: 4012,
            kill_in_ms,
        }
    }

    #[test]
    fn who_is_waited_for_is_named_with_what_was_done_and_what_comes() {
        let part = transport("SIGTERM", Some(5988));
        let parts = std::slice::from_ref(&part);
        assert_eq!(
            text(parts, Some(12_600)),
            "waiting for transport (pid 123, SIGTERM 4 s ago, SIGKILL in 6 s); \
             all is gone in 13 s at most"
        );
        let live = live_text(parts, Some(12_600), Some("press Ctrl-C to kill now"));
        assert_eq!(
            live,
            "waiting 13 s at most, press Ctrl-C to kill now: \
             transport (pid 123, SIGTERM 4 s ago, SIGKILL in 6 s)"
        );
        let below = PartWaiting {
            pids: vec![123, 124, 125],
            ..part
        };
        assert!(one(&below).contains("pid 123 and 2 below it"));
        let gone = PartWaiting {
            pids: Vec::new(),
            ..below
        };
        assert!(one(&gone).contains("no process left"));
    }

    #[test]
    fn there_is_no_way_out_once_all_are_killed() {
        let killed = [transport("SIGKILL", None)];
        assert_eq!(
            live_text(&killed, None, Some("press Ctrl-C to kill now")),
            "waiting: transport (pid 123, SIGKILL 4 s ago)"
        );
    }

    #[test]
    fn a_line_that_stays_is_not_said_again_every_second() {
        let (waits, now) = (Waits::default(), Instant::now());
        let (asked, killed) = (transport("SIGTERM", Some(1)), transport("SIGKILL", None));
        assert!(waits.is_due(std::slice::from_ref(&asked), now));
        let soon = now + Duration::from_secs(1);
        assert!(!waits.is_due(std::slice::from_ref(&asked), soon));
        assert!(waits.is_due(&[killed], soon), "it is another signal");
        assert!(waits.is_due(std::slice::from_ref(&asked), soon));
        assert!(waits.is_due(&[asked], soon + SAID_AGAIN));
    }
}
