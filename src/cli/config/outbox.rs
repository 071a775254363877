//! The sections about what Falco does with effects: kept or not, over which
//! transports, and how it is watched.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::kind::{Checked, Choice, Count, Loopback, Size, Span, Words};
use super::reader::Section;
use crate::paths::Paths;
use crate::protocol::envelope::IDENTIFIED_EVENTS;

/// Whether effects are kept on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Delivery {
    /// No: an ack means that Ably accepted it.
    Direct,
    /// Yes: an ack means that it is on disk and will be published.
    Outbox,
}

/// What an effect that is refused for good costs the rest of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum OnRejected {
    /// Nothing: the rest is published without it.
    Skip,
    /// All of it waits until somebody says what becomes of the effect.
    Park,
}

/// When the outbox's disk is made to keep what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Sync {
    /// Before every ack.
    Always,
    /// Soon after.
    Interval,
}

/// What becomes of effects when the disk refuses to keep them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum OnJournalFailure {
    /// They are published as without an outbox.
    Bypass,
    /// Falco ends.
    Exit,
}

/// What of an effect is kept.
///
/// An outbox keeps all of it: its ack says that the effect will be published,
/// and after a crash there is nobody else to take it from. An outbox of ids
/// alone could ack only once something is published, and that is direct mode,
/// which keeps ids and hashes of what was sent last, and no payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Payload {
    /// All of it.
    Full,
    /// Its ids and hashes; the daemon resends the rest. For direct mode only.
    None,
}

/// What the section about delivery says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Mode {
    /// Whether effects are kept on disk.
    pub(in super::super) delivery: Delivery,
    /// What an effect that is refused for good costs its session.
    pub(in super::super) on_rejected: OnRejected,
    /// Events whose payloads carry what identifies them.
    pub(in super::super) identified_events: Vec<String>,
}

/// How effects are kept on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Outbox {
    /// When they are safe.
    pub(in super::super) sync: Sync,
    /// How many bytes they may take.
    pub(in super::super) max_bytes: u64,
    /// How many of them there may be.
    pub(in super::super) max_effects: u64,
    /// How long a daemon that came back has to send again before what is kept
    /// is published without it.
    pub(in super::super) resume_grace: Duration,
    /// What happens when the disk refuses.
    pub(in super::super) on_journal_failure: OnJournalFailure,
    /// What of them is kept.
    pub(in super::super) payload: Payload,
}

const DELIVERY: Choice<Delivery> =
    Choice(&[("direct", Delivery::Direct), ("outbox", Delivery::Outbox)]);

const ON_REJECTED: Choice<OnRejected> =
    Choice(&[("skip", OnRejected::Skip), ("park", OnRejected::Park)]);

const SYNC: Choice<Sync> = Choice(&[("always", Sync::Always), ("interval", Sync::Interval)]);

const ON_JOURNAL_FAILURE: Choice<OnJournalFailure> = Choice(&[
    ("bypass", OnJournalFailure::Bypass),
    ("exit", OnJournalFailure::Exit),
]);

const PAYLOAD: Choice<Payload> = Choice(&[("full", Payload::Full), ("none", Payload::None)]);

/// Smaller, and a single effect of the largest kind could not be compacted
/// beside its copy.
const JOURNAL_BYTES: Size = Size {
    min: 64 << 20,
    max: 1 << 40,
};

/// A million takes some hundred MB of memory.
const EFFECTS: Count = Count {
    min: 1000,
    max: 100_000_000,
};

pub(super) fn delivery(top: &mut Section) -> (Mode, Outbox) {
    let mut section = top.section("delivery");
    let delivery = section.setting("mode", None, &DELIVERY, Delivery::Direct);
    let on_rejected = section.setting("on_rejected", None, &ON_REJECTED, OnRejected::Skip);
    let identified = IDENTIFIED_EVENTS.map(str::to_owned).to_vec();
    let identified_events = section.setting("identified_events", None, &Words, identified);
    section.finish();
    let outbox = outbox(top, delivery);
    let mode = Mode {
        delivery,
        on_rejected,
        identified_events,
    };
    (mode, outbox)
}

fn outbox(top: &mut Section, mode: Delivery) -> Outbox {
    let mut s = top.section("outbox");
    let sync = s.setting("sync", None, &SYNC, Sync::Always);
    // Whoever asks for every effect to be safe must not find later that some
    // were not.
    let on_failure = match sync {
        Sync::Always => OnJournalFailure::Exit,
        Sync::Interval => OnJournalFailure::Bypass,
    };
    let grace = Span {
        min: Duration::ZERO,
        max: Duration::from_secs(3600),
        unit: Span::SECOND,
        whole: false,
    };
    let outbox = Outbox {
        sync,
        max_bytes: s.setting("max_bytes", None, &JOURNAL_BYTES, 1 << 30),
        max_effects: s.setting("max_effects", None, &EFFECTS, 1_000_000),
        resume_grace: s.setting("resume_grace", None, &grace, Duration::from_secs(2)),
        on_journal_failure: s.setting("on_journal_failure", None, &ON_JOURNAL_FAILURE, on_failure),
        payload: s.setting("payload", None, &PAYLOAD, Payload::Full),
    };
    if mode == Delivery::Outbox && outbox.payload == Payload::None {
        let text = "an outbox publishes from what it keeps: take \"full\", or delivery.mode = \"direct\", which keeps no payload";
        s.wrong_value("payload", text);
    }
    s.finish();
    outbox
}

/// A further transport, which effects may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Route {
    /// What effects call it.
    pub(in super::super) name: String,
    /// Where it speaks NDJSON.
    pub(in super::super) socket: PathBuf,
}

const NAME: Checked = Checked(|text| {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    match text.chars().find(|c| !fits(*c)) {
        None if text.len() <= 64 => Ok(()),
        None => Err("a name has at most 64 characters".to_owned()),
        Some(c) => Err(format!(
            "{c:?} cannot be in a name; lower-case letters, digits, - and _ can"
        )),
    }
});

pub(super) fn routes(top: &mut Section) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    for (index, table) in top.list("route").into_iter().enumerate() {
        let mut section = top.item(format!("route[{index}]"), table);
        let name = section.required("name", &NAME);
        let socket = section.path("socket", None);
        if socket.is_none() && !section.has("socket") {
            section.missing("socket");
        }
        let own = Paths::new(section.places().0);
        if socket.as_ref().is_some_and(|at| takes_no_lines(&own, at)) {
            let text = "no transport listens there: it is a socket of Falco's own";
            section.wrong_value("socket", text);
        }
        if let Some(name) = &name
            && routes.iter().any(|route| route.name == *name)
        {
            section.wrong_value("name", format!("there are two routes called {name}"));
        }
        section.finish();
        if let (Some(name), Some(socket)) = (name, socket) {
            routes.push(Route { name, socket });
        }
    }
    routes
}

/// Whether a socket of ours is at this path, and none that a transport has.
fn takes_no_lines(own: &Paths, at: &Path) -> bool {
    [
        own.falco_socket(),
        own.broker_socket(),
        own.control_socket(),
    ]
    .contains(&at.to_path_buf())
}

pub(super) fn metrics(top: &mut Section) -> Option<SocketAddr> {
    let mut metrics = top.section("metrics");
    let listen = metrics.optional("listen", None, &Loopback, "off");
    metrics.finish();
    listen
}
