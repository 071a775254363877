//! What Falco says of effects: what became of those that came, and what waits.

use std::fmt::Write as _;

use super::super::paint::Color;
use super::{Render, span};
use crate::cli::{lane, outbox, output};
use crate::clock;
use crate::counted::counted;
use crate::paths::Paths;
use crate::protocol::control::{IngestStatus, RouteStatus};
use crate::protocol::outbox::OutboxStatus;

impl Render {
    pub(super) fn effects(self, ingest: &IngestStatus, paths: &Paths) -> String {
        let mut text = taken(ingest);
        // The first is the chain's own, which has lines enough.
        for route in ingest.routes.iter().skip(1) {
            text.push_str(&self.route(route));
        }
        if 0 < ingest.published_60s {
            _ = writeln!(
                text,
                "rate      {} published/s over 10 s, {} over a minute",
                per_second(ingest.published_10s, 10),
                per_second(ingest.published_60s, 60),
            );
        }
        text.push_str(&lane::summary(ingest));
        if let Some((how, next)) = lane::stuck(ingest, paths) {
            let line = format!("! lane    {how}; {next}");
            _ = writeln!(text, "{}", self.paint.with(Color::Red, &line));
        }
        text.push_str(&last_error(ingest, clock::now_ms()));
        if let Some(kept) = &ingest.outbox {
            _ = writeln!(text, "{}", outbox::summary(kept));
        }
        text
    }

    fn route(self, route: &RouteStatus) -> String {
        let (name, waiting) = (&route.name, route.queued + route.in_flight);
        let waits = format!("{waiting} waiting, oldest {}", span(route.oldest_age_ms));
        if !route.is_down() {
            let link = if route.connected { "" } else { "not " };
            return format!("route     {name} {link}connected · {waits}\n");
        }
        let (down, socket) = (span(route.down_ms), &route.socket);
        let line = format!(
            "! route   {name} not connected for {down} · {waits}; start the transport that serves {socket}"
        );
        self.paint.with(Color::Red, &line) + "\n"
    }
}

fn taken(ingest: &IngestStatus) -> String {
    let link = if ingest.transport_connected {
        ""
    } else {
        " · not connected to the transport"
    };
    format!(
        "effects   {} taken, {}, {} failed, {} · {} waiting in {}, oldest {}{link}\n",
        ingest.accepted,
        succeeded(ingest),
        ingest.failed,
        counted(ingest.retries, "retry"),
        ingest.queued + ingest.in_flight,
        counted(ingest.lanes, "lane"),
        span(ingest.oldest_age_ms),
    )
}

/// What SUCCESS meant. With an outbox, what was acked is published later, unless
/// it had to go around it.
fn succeeded(ingest: &IngestStatus) -> String {
    let succeeded = ingest.succeeded;
    let is_kept = |outbox: &&OutboxStatus| !["draining", "drained"].contains(&&*outbox.state);
    match ingest.outbox.as_ref().filter(is_kept) {
        None => format!("{succeeded} published"),
        Some(OutboxStatus { around: 0, .. }) => format!("{succeeded} kept"),
        Some(OutboxStatus { around, .. }) => {
            let kept = succeeded.saturating_sub(*around);
            format!("{kept} kept, {around} published around the outbox")
        }
    }
}

/// What was told last to a daemon whose effect failed, and when.
fn last_error(ingest: &IngestStatus, now_ms: u64) -> String {
    let Some(error) = &ingest.last_error else {
        return String::new();
    };
    let ago = match ingest.last_error_ms {
        // An older version does not say when.
        0 => String::new(),
        at => format!(" {} ago:", span(now_ms.saturating_sub(at))),
    };
    format!("last      failed{ago} {}\n", output::visible(error))
}

fn per_second(count: u64, seconds: u64) -> String {
    let tenths = count * 10 / seconds;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::super::tests::render;
    use super::*;

    fn with_outbox(state: &str, around: u64) -> IngestStatus {
        IngestStatus {
            accepted: 9,
            succeeded: 7,
            outbox: Some(OutboxStatus {
                state: state.to_owned(),
                around,
                ..OutboxStatus::default()
            }),
            ..IngestStatus::default()
        }
    }

    #[test]
    fn what_went_around_an_outbox_is_not_called_kept() {
        assert_eq!(succeeded(&with_outbox("ok", 0)), "7 kept");
        let around = "5 kept, 2 published around the outbox";
        assert_eq!(succeeded(&with_outbox("bypass", 2)), around);
        assert_eq!(succeeded(&with_outbox("ok", 2)), around, "it stays so");
        assert_eq!(succeeded(&with_outbox("drained", 0)), "7 published");
        let direct = IngestStatus {
            succeeded: 7,
            ..IngestStatus::default()
        };
        assert_eq!(succeeded(&direct), "7 published");
    }

    #[test]
    fn the_last_failure_says_when_it_was_and_moves_no_cursor() {
        let failed = |last_error_ms| IngestStatus {
            last_error: Some("gap: 7\u{7}".to_owned()),
            last_error_ms,
            ..IngestStatus::default()
        };
        let told = last_error(&failed(1_000), 13_000);
        assert!(
            told.starts_with("last      failed 12 s ago: gap: 7"),
            "{told}"
        );
        assert!(!told.contains('\u{7}'), "{told}");
        assert!(last_error(&failed(0), 13_000).starts_with("last      failed gap: 7"));
        assert_eq!(last_error(&IngestStatus::default(), 13_000), "");
    }

    #[test]
    fn a_route_that_nobody_has_served_for_two_minutes_says_what_to_do() {
        let route = |connected, down_ms| RouteStatus {
            name: "eu".to_owned(),
            socket: "/base/eu.sock".to_owned(),
            connected,
            down_ms,
            queued: 5,
            ..RouteStatus::default()
        };
        let text = |connected, down_ms| render().route(&route(connected, down_ms));
        let waits = "5 waiting, oldest 0 ms";
        assert_eq!(text(true, 0), format!("route     eu connected · {waits}\n"));
        assert_eq!(
            text(false, 119_999),
            format!("route     eu not connected · {waits}\n")
        );
        assert_eq!(
            text(false, 120_000),
            format!(
                "! route   eu not connected for 2m00s · {waits}; start the transport that serves /base/eu.sock\n"
            )
        );
    }
}
