//! The numbers of a status, as Prometheus reads them.
//!
//! Counters start anew with their part; histograms have fixed buckets.

use std::fmt::Write as _;

use super::control::{IngestStatus, Status};
use super::ipc::TransportStatus;
use super::outbox::{InboxStatus, OutboxStatus};

/// What the text is, for HTTP.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything `status` says in numbers.
#[must_use]
pub fn text(status: &Status) -> String {
    let mut page = Page(String::new());
    page.family("falco_build_info", "gauge", "The version that runs.");
    page.sample("falco_build_info", &[("version", &status.version)], 1.0);
    page.gauge(
        "falco_up_seconds",
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
    if let Some(outbox) = status.ingest.as_ref().and_then(|i| i.outbox.as_ref()) {
        kept(&mut page, outbox);
    }
    if let Some(transport) = &status.transport {
        upstream(&mut page, transport);
    }
    page.0
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
        "Effects taken from daemons.",
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

fn kept(page: &mut Page, outbox: &OutboxStatus) {
    page.family("falco_outbox_state", "gauge", "How the outbox is.");
    page.sample("falco_outbox_state", &[("state", &outbox.state)], 1.0);
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
    page.gauge("falco_outbox_bytes", "Bytes on disk.", number(outbox.bytes));
    page.gauge(
        "falco_outbox_bytes_max",
        "What they may reach.",
        number(outbox.bytes_max),
    );
    page.gauge(
        "falco_outbox_segments",
        "Files of the journal.",
        number(outbox.segments),
    );
    page.gauge(
        "falco_outbox_quarantined",
        "Damaged ranges set aside.",
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
        "Effects the disk refused.",
        outbox.unrecorded,
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
    page.family(
        "falco_upstream",
        "gauge",
        "The state of each connection to Ably.",
    );
    for up in &transport.connections {
        let labels = [
            ("audience", up.audience.as_str()),
            ("state", up.state.as_str()),
        ];
        page.sample("falco_upstream", &labels, 1.0);
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

fn micros(us: u64) -> f64 {
    number(us) / 1_000_000.0
}

/// Exact to nine thousand million million.
#[allow(clippy::cast_precision_loss)]
fn number(count: u64) -> f64 {
    count as f64
}

/// The text format, line by line.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let escape = |v: &str| {
            v.replace('\\', r"\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n")
        };
        let labels = labels.iter().map(|(k, v)| format!("{k}=\"{}\"", escape(v)));
        let labels = labels.collect::<Vec<_>>().join(",");
        _ = match labels.as_str() {
            "" => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }

    /// `buckets` count each observation once, under its bound in microseconds;
    /// `total` is their count and their sum.
    fn histogram(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        buckets: &[(u64, u64)],
        total: (u64, u64),
    ) {
        let bucket = format!("{name}_bucket");
        let mut within = 0;
        for &(bound_us, count) in buckets {
            within += count;
            let bound = micros(bound_us).to_string();
            let labels = [labels, &[("le", &bound)]].concat();
            self.sample(&bucket, &labels, number(within));
        }
        let all = [labels, &[("le", "+Inf")]].concat();
        let (count, sum_us) = total;
        self.sample(&bucket, &all, number(count));
        self.sample(&format!("{name}_sum"), labels, micros(sum_us));
        self.sample(&format!("{name}_count"), labels, number(count));
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.sample(name, &[], number(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_cumulative_and_a_label_is_escaped() {
        let mut page = Page(String::new());
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
        for line in [
            r#"falco_outbox_state{state="o\"k"} 1"#,
            r#"falco_outbox_sync_seconds_bucket{le="0.0001"} 1"#,
            r#"falco_outbox_sync_seconds_bucket{le="0.00025"} 3"#,
            r#"falco_outbox_sync_seconds_bucket{le="+Inf"} 4"#,
            "falco_outbox_sync_seconds_sum 0.0035",
        ] {
            assert!(page.0.lines().any(|l| l == line), "{line} in {}", page.0);
        }
    }
}
