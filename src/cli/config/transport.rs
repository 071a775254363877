//! `[transport]`: which program, and what it is told.

use std::path::PathBuf;
use std::time::Duration;

use super::kind::{Checked, Choice, Kind, Size, Span, URL};
use super::mistake::Place;
use super::origin::Origin;
use super::reader::Section;
use crate::ably::hosts::Hosts;
use crate::protocol::ably::codec::Format;
use crate::protocol::ipc::LINE_BYTES_MAX;

/// The transport: which program, and what it is told.
#[derive(Debug, Clone)]
pub(in super::super) struct Transport {
    /// Another program than ours.
    pub(in super::super) binary: Option<PathBuf>,
    /// Where that is said.
    pub(super) binary_place: Option<Place>,
    /// Where Ably is.
    pub(in super::super) endpoint: String,
    /// How long it may take to end what it has begun.
    pub(in super::super) shutdown_timeout: Duration,
    /// Its settings of the contract, by the variables that carry them.
    /// Only what the file decides.
    pub(in super::super) variables: Vec<(&'static str, String)>,
}

const ENDPOINT: Checked = Checked(|text| {
    let parsed = Hosts::parse(text);
    parsed.map(drop).map_err(|error| error.to_string())
});

const FORMAT: Choice<Format> = Choice(&[("msgpack", Format::Msgpack), ("json", Format::Json)]);

/// As the transport itself takes them.
const LINE: Size = Size {
    min: 1024,
    max: 64 << 20,
};

const TTL: Span = Span {
    min: Duration::from_secs(1),
    max: Duration::from_secs(86_400),
    unit: Duration::from_millis(1),
    whole: false,
};

pub(super) fn transport(top: &mut Section) -> Transport {
    let mut section = top.section("transport");
    let binary = section.path("binary", Some("DAEMON_ABLY_BINARY"));
    let binary_place = binary.is_some().then(|| section.last_decided("binary"));
    let mut child = Child {
        section,
        variables: Vec::new(),
    };
    let day = Span::whole_seconds(86_400);
    let seconds = |span: &Duration| span.as_secs().to_string();
    let word = |format: &Format| FORMAT.show(format).replace('"', "");
    let main = "main".to_owned();
    let endpoint = child.setting(keys::ENDPOINT, &ENDPOINT, main, Clone::clone);
    child.setting(keys::FORMAT, &FORMAT, Format::Msgpack, word);
    child.setting(keys::HEARTBEAT, &day, Duration::from_secs(20), seconds);
    child.setting(keys::PUBLISH, &day, Duration::from_secs(5), seconds);
    let shutdown_timeout = child.setting(keys::SHUTDOWN, &day, Duration::from_secs(2), seconds);
    child.setting(keys::LINE, &LINE, LINE_BYTES_MAX as u64, u64::to_string);
    child.optional(keys::URL, &URL, "heartbeats are messages", Clone::clone);
    child.setting(keys::TTL, &TTL, Duration::from_secs(12), |ttl| {
        ttl.as_millis().to_string()
    });
    child.section.finish();
    Transport {
        binary,
        binary_place,
        endpoint,
        shutdown_timeout,
        variables: child.variables,
    }
}

/// A section whose settings a child gets as variables. What the environment
/// says it has anyway, so only what the file decides is noted.
struct Child<'r, 'a> {
    section: Section<'r, 'a>,
    variables: Vec<(&'static str, String)>,
}

impl Child<'_, '_> {
    fn setting<K: Kind>(
        &mut self,
        (key, variable): keys::Key,
        kind: &K,
        default: K::Value,
        write: impl Fn(&K::Value) -> String,
    ) -> K::Value {
        let (value, origin) = self.section.decide(key, Some(variable), kind, default);
        if let Origin::File { .. } = origin {
            self.variables.push((variable, write(&value)));
        }
        value
    }

    fn optional<K: Kind>(
        &mut self,
        (key, variable): keys::Key,
        kind: &K,
        absent: &str,
        write: impl Fn(&K::Value) -> String,
    ) {
        let found = self
            .section
            .decide_optional(key, Some(variable), kind, absent);
        if let Some((value, Origin::File { .. })) = found {
            self.variables.push((variable, write(&value)));
        }
    }
}

/// Keys of the transport, and the variables of the contract that carry them.
mod keys {
    pub(super) type Key = (&'static str, &'static str);

    pub(super) const ENDPOINT: Key = ("endpoint", "DAEMON_ABLY_ENDPOINT");
    pub(super) const FORMAT: Key = ("format", "DAEMON_ABLY_FORMAT");
    pub(super) const HEARTBEAT: Key = ("heartbeat_interval", "DAEMON_ABLY_HEARTBEAT_INTERVAL");
    pub(super) const PUBLISH: Key = ("publish_timeout", "DAEMON_ABLY_PUBLISH_TIMEOUT");
    pub(super) const SHUTDOWN: Key = ("shutdown_timeout", "DAEMON_ABLY_SHUTDOWN_TIMEOUT");
    pub(super) const LINE: Key = ("max_frame_bytes", "DAEMON_ABLY_MAX_FRAME_BYTES");
    pub(super) const TTL: Key = ("presence_ttl", "UNBOUND_PRESENCE_DO_TTL_MS");
    pub(super) const URL: Key = ("presence_url", "UNBOUND_PRESENCE_DO_HEARTBEAT_URL");
}
