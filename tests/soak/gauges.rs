//! What must not grow: memory, descriptors, the journal.

use std::fmt;

use serde_json::Value;

use crate::rig::{Rig, wait_until};

/// Ids that Falco remembers, and what one may take of memory.
const IDS_MAX: u64 = 262_144;
const BYTES_PER_ID: u64 = 128;

/// What memory may come and go with the load: a long pause of the transport
/// fills every queue, and a short run may have it in its second half only.
const SLACK_BYTES: u64 = 24 << 20;

/// Connections that may come and go with the load.
const SLACK_DESCRIPTORS: u64 = 16;

/// What a published effect may take of a journal that was emptied: its id, for
/// as long as it is remembered.
const JOURNAL_BYTES_PER_ID: u64 = 96;
const JOURNAL_SLACK_BYTES: u64 = 2 << 20;

#[derive(Debug, Clone, Copy, Default)]
struct Reading {
    sent: u64,
    falco_bytes: u64,
    transport_bytes: u64,
    descriptors: u64,
    journal_bytes: u64,
}

/// Readings of a chain whose Falco lives.
#[derive(Default)]
pub struct Gauges(Vec<Reading>);

impl Gauges {
    /// Reads everything; `sent` effects were handed over until now.
    pub fn read(&mut self, rig: &Rig, sent: u64) {
        let status = rig.status();
        let pid = status["pid"].as_u64().expect("a supervisor");
        // Other systems than Linux have no such place.
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"));
        self.0.push(Reading {
            sent,
            falco_bytes: status["rss_bytes"].as_u64().expect("a size"),
            transport_bytes: rig.part("transport")["rss_bytes"].as_u64().unwrap_or(0),
            descriptors: descriptors.map_or(0, |found| found.count() as u64),
            journal_bytes: journal_bytes(&status).unwrap_or(0),
        });
    }

    /// That the second half took no more than the first.
    pub fn check(&self) {
        let [first, second] = self.halves();
        let begun = self.0.first().map_or(0, |first| first.sent);
        let known = |half: &Reading| (half.sent - begun).min(IDS_MAX);
        // Once it knows as many as it may, one more costs nothing.
        let ids = known(&second) - known(&first);
        let slack = SLACK_BYTES + ids * BYTES_PER_ID;
        assert!(second.falco_bytes <= first.falco_bytes + slack, "{self}");
        let transport = first.transport_bytes + SLACK_BYTES;
        assert!(second.transport_bytes <= transport, "{self}");
        let descriptors = first.descriptors + SLACK_DESCRIPTORS;
        assert!(second.descriptors <= descriptors, "{self}");
        let journal = first.journal_bytes.max(second.journal_bytes);
        assert!(journal <= crate::JOURNAL_BYTES_MAX, "{self}");
    }

    /// That a journal in which nothing is kept can be made small.
    pub fn check_journal(&self, rig: &Rig) {
        if !rig.outbox().exists() {
            return;
        }
        rig.run(&["outbox", "compact"]);
        let sent = self.0.last().map_or(0, |last| last.sent);
        let most = JOURNAL_SLACK_BYTES + sent.min(IDS_MAX) * JOURNAL_BYTES_PER_ID;
        wait_until(&format!("the journal has {most} bytes"), || {
            journal_bytes(&rig.status()).is_some_and(|bytes| bytes <= most)
        });
    }

    /// The most of each half.
    fn halves(&self) -> [Reading; 2] {
        let (first, second) = self.0.split_at(self.0.len() / 2);
        [first, second].map(|half| half.iter().fold(Reading::default(), most))
    }
}

fn most(one: Reading, other: &Reading) -> Reading {
    Reading {
        sent: one.sent.max(other.sent),
        falco_bytes: one.falco_bytes.max(other.falco_bytes),
        transport_bytes: one.transport_bytes.max(other.transport_bytes),
        descriptors: one.descriptors.max(other.descriptors),
        journal_bytes: one.journal_bytes.max(other.journal_bytes),
    }
}

fn journal_bytes(status: &Value) -> Option<u64> {
    status["ingest"]["outbox"]["bytes"].as_u64()
}

impl fmt::Display for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = self.halves();
        let mib = |bytes: u64| bytes >> 20;
        write!(
            f,
            "Falco {} then {} MiB, transport {} then {} MiB, descriptors {} then {}, \
             journal {} then {} MiB",
            mib(first.falco_bytes),
            mib(second.falco_bytes),
            mib(first.transport_bytes),
            mib(second.transport_bytes),
            first.descriptors,
            second.descriptors,
            mib(first.journal_bytes),
            mib(second.journal_bytes)
        )
    }
}
