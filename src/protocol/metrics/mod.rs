//! The numbers of a status, as Prometheus reads them.
//!
//! Counters start anew with their part; histograms have fixed buckets.

mod page;

use super::control::{IngestStatus, RouteStatus, Status};
use super::ipc::TransportStatus;
use super::outbox::{InboxStatus, OutboxStatus};
use page::{Page, number};

/// What the text is, for HTTP.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How an outbox can be.
const OUTBOX_STATES: [&str; 10] = [
    "recovering",
    "ok",
    "draining",
    "drained",
    "degraded",
    "low",
    "bypass",
    "full",
    "astray",
    "failed",
];

/// What a connection to Ably can be in.
const UPSTREAM_STATES: [&str; 8] = [
    "initialized",
    "connecting",
    "connected",
    "disconnected",
    "suspended",
    "closing",
    "closed",
    "failed",
];

/// Everything `status` says in numbers.
#[must_use]
pub fn text(status: &Status) -> String {
    let mut page = Page::new();
    page.family("falco_build_info", "gauge", "The version that runs.");
    page.sample("falco_build_info", &[("version", &status.version)], 1.0);
    page.gauge(
        "falco_uptime_seconds",
        "Since the start of the chain.",
        ms(status.up_ms),
    );
    page.counter(
        "falco_log_dropped_lines_total",
        "Lines of output that were lost.",
        status.logs.dropped,
    );
    parts(&mut page, status);
    if let Some(ingest) = &status.ingest {
        effects(&mut page, ingest);
    }
    if let Some(ingest) = &status.ingest {
        routes(&mut page, &ingest.routes);
    }
    if let Some(outbox) = status.ingest.as_ref().and_then(|i| i.outbox.as_ref()) {
        kept(&mut page, outbox);
    }
    if let Some(transport) = &status.transport {
        upstream(&mut page, transport);
    }
    page.text()
}

fn parts(page: &mut Page, status: &Status) {
    page.family("falco_part_ready", "gauge", "Whether a part answers.");
    for part in &status.parts {
        let ready = f64::from(u8::from(part.ready));
        page.sample("falco_part_ready", &[("part", &part.name)], ready);
    }
    page.family(
        "falco_part_restarts_total",
        "counter",
        "Starts after the first.",
    );
    for part in &status.parts {
        let restarts = f64::from(part.restarts);
        page.sample(
            "falco_part_restarts_total",
            &[("part", &part.name)],
            restarts,
        );
    }
}

fn effects(page: &mut Page, ingest: &IngestStatus) {
    page.counter(
        "falco_effects_taken_total",
        "Effects taken from daemons and the inbox.",
        ingest.accepted,
    );
    page.family(
        "falco_effects_answered_total",
        "counter",
        "Answers, by outcome.",
    );
    for (outcome, count) in [("success", ingest.succeeded), ("failed", ingest.failed)] {
        page.sample(
            "falco_effects_answered_total",
            &[("outcome", outcome)],
            number(count),
        );
    }
    let name = "falco_effects_failed_total";
    page.family(name, "counter", "Answers FAILED, by class.");
    for (class, count) in &ingest.failures {
        page.sample(name, &[("class", class)], number(*count));
    }
    page.gauge(
        "falco_lanes_parked",
        "Lanes that wait for an effect that was refused for good.",
        number(ingest.parked),
    );
    page.counter(
        "falco_lane_parkings_total",
        "Times a lane was parked.",
        ingest.parkings,
    );
    page.counter(
        "falco_lanes_unparked_total",
        "Times a lane went on without what was refused for good, because too many are parked.",
        ingest.unparked,
    );
    page.counter(
        "falco_failures_unguarded_total",
        "Failures behind which nothing was held up, because too many are waited for.",
        ingest.unguarded,
    );
    latencies(page, ingest);
    page.counter(
        "falco_effects_published_total",
        "Effects a transport has accepted.",
        ingest.published,
    );
    page.counter(
        "falco_effect_retries_total",
        "Sendings after the first.",
        ingest.retries,
    );
    page.counter(
        "falco_duplicates_possible_total",
        "Effects sent again, with the same id, though their outcome was unknown.",
        ingest.doubtful,
    );
    page.counter(
        "falco_answers_late_total",
        "Answers of a transport that came when nobody waited for them any more.",
        ingest.late,
    );
    page.gauge(
        "falco_daemons",
        "Daemons connected.",
        number(ingest.connections),
    );
    page.gauge(
        "falco_lanes",
        "Lanes that hold an effect.",
        number(ingest.lanes),
    );
    page.gauge(
        "falco_effects_waiting",
        "Effects in a lane.",
        number(ingest.queued),
    );
    page.gauge(
        "falco_effects_in_flight",
        "Effects on their way.",
        number(ingest.in_flight),
    );
    page.gauge(
        "falco_oldest_effect_seconds",
        "Age of the oldest in a lane.",
        ms(ingest.oldest_age_ms),
    );
    let connected = f64::from(u8::from(ingest.transport_connected));
    page.gauge(
        "falco_transport_connected",
        "Whether Falco has its transport.",
        connected,
    );
}

fn latencies(page: &mut Page, ingest: &IngestStatus) {
    let name = "falco_effect_answer_seconds";
    page.family(name, "histogram", "How long answers took, by outcome.");
    let outcomes = [
        ("success", &ingest.success_took),
        ("failed", &ingest.failure_took),
    ];
    for (outcome, took) in outcomes {
        let total = (took.count, took.sum_us);
        page.histogram(name, &[("outcome", outcome)], &took.buckets, total);
    }
}

/// Each transport by itself; the chain's own is called `(own)`.
fn routes(page: &mut Page, routes: &[RouteStatus]) {
    type Number = fn(&RouteStatus) -> f64;
    let families: [(&str, &str, Number); 4] = [
        (
            "falco_route_connected",
            "Whether Falco has this transport.",
            |route| f64::from(u8::from(route.connected)),
        ),
        (
            "falco_route_effects_waiting",
            "Effects in a lane of this route.",
            |route| number(route.queued),
        ),
        (
            "falco_route_effects_in_flight",
            "Effects on their way by this route.",
            |route| number(route.in_flight),
        ),
        (
            "falco_route_oldest_effect_seconds",
            "Age of the oldest in a lane of this route.",
            |route| ms(route.oldest_age_ms),
        ),
    ];
    for (name, help, value) in families {
        page.family(name, "gauge", help);
        for route in routes {
            page.sample(name, &[("route", &route.name)], value(route));
        }
    }
}

fn kept(page: &mut Page, outbox: &OutboxStatus) {
    let name = "falco_outbox_state";
    page.family(name, "gauge", "How the outbox is: 1 for what it is.");
    page.state(name, &[], &OUTBOX_STATES, &outbox.state);
    page.gauge(
        "falco_outbox_depth",
        "Effects kept until they are published.",
        number(outbox.depth),
    );
    page.gauge(
        "falco_outbox_dead_letters",
        "Effects that were given up.",
        number(outbox.dead),
    );
    page.gauge(
        "falco_outbox_oldest_seconds",
        "Age of the oldest.",
        ms(outbox.oldest_age_ms),
    );
    page.gauge(
        "falco_outbox_max_effects",
        "Effects it may keep, those that were given up included.",
        number(outbox.effects_max),
    );
    page.gauge("falco_outbox_bytes", "Bytes on disk.", number(outbox.bytes));
    page.gauge(
        "falco_outbox_max_bytes",
        "What they may reach.",
        number(outbox.bytes_max),
    );
    page.gauge(
        "falco_outbox_disk_free_bytes",
        "Room on its disk.",
        number(outbox.disk_free),
    );
    page.gauge(
        "falco_outbox_segments",
        "Files of the journal.",
        number(outbox.segments),
    );
    page.gauge(
        "falco_outbox_quarantined",
        "Damaged ranges set aside, or to be.",
        number(outbox.quarantined),
    );
    page.counter(
        "falco_outbox_published_total",
        "Effects published.",
        outbox.published,
    );
    page.counter("falco_outbox_died_total", "Effects given up.", outbox.died);
    page.counter(
        "falco_outbox_unrecorded_total",
        "Effects that were to be kept and were refused, or went around.",
        outbox.unrecorded,
    );
    page.counter(
        "falco_outbox_around_total",
        "Effects published without having been kept.",
        outbox.around,
    );
    page.counter(
        "falco_outbox_compactions_total",
        "Times space was gained.",
        outbox.compactions,
    );
    let name = "falco_outbox_sync_seconds";
    page.family(name, "histogram", "How long syncs took.");
    let syncs = (outbox.syncs, outbox.sync_us);
    page.histogram(name, &[], &outbox.sync_buckets, syncs);
    if let Some(inbox) = &outbox.inbox {
        received(page, inbox);
    }
}

fn received(page: &mut Page, inbox: &InboxStatus) {
    let name = "falco_inbox_lines_total";
    page.family(name, "counter", "Lines of the inbox, by outcome.");
    for (outcome, count) in [("taken", inbox.taken), ("rejected", inbox.rejected)] {
        page.sample(name, &[("outcome", outcome)], number(count));
    }
    page.gauge(
        "falco_inbox_files_waiting",
        "Files with something that is not taken yet.",
        number(inbox.waiting),
    );
    page.gauge(
        "falco_inbox_files_held",
        "Files that wait until somebody sees to them.",
        number(inbox.held.len() as u64),
    );
}

fn upstream(page: &mut Page, transport: &TransportStatus) {
    let name = "falco_upstream_state";
    let help = "The state of each connection to Ably: 1 for what it is in.";
    page.family(name, "gauge", help);
    for up in &transport.connections {
        let labels = [("audience", up.audience.as_str())];
        page.state(name, &labels, &UPSTREAM_STATES, &up.state);
    }
    page.gauge(
        "falco_transport_clients",
        "Clients on ably.sock.",
        number(transport.clients),
    );
}

fn ms(ms: u64) -> f64 {
    number(ms) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_cumulative_and_a_label_is_escaped() {
        let mut page = Page::new();
        kept(
            &mut page,
            &OutboxStatus {
                state: "o\"k".to_owned(),
                syncs: 4,
                sync_us: 3_500,
                sync_buckets: vec![(100, 1), (250, 2)],
                ..OutboxStatus::default()
            },
        );
        let text = page.text();
        for line in [
            r#"falco_outbox_state{state="ok"} 0"#,
            r#"falco_outbox_state{state="o\"k"} 1"#,
            r#"falco_outbox_sync_seconds_bucket{le="0.0001"} 1"#,
            r#"falco_outbox_sync_seconds_bucket{le="0.00025"} 3"#,
            r#"falco_outbox_sync_seconds_bucket{le="+Inf"} 4"#,
            "falco_outbox_sync_seconds_sum 0.0035",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
    }
}
