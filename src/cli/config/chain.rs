//! The sections about the parts of the chain themselves.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

use super::kind::{Checked, Choice, Count, Kind, Loopback, Size, Span, Text, URL, YesNo};
use super::origin::Origin;
use super::reader::Section;
use crate::ably::hosts::Hosts;
use crate::delivery;
use crate::emulator::{HistoryLimits, Limits as EmulatorLimits};
use crate::logfile::Limits;
use crate::protocol::ably::codec::Format;
use crate::protocol::ipc::LINE_BYTES_MAX;

/// What a chain ends at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Upstream {
    /// Ably with credentials; the emulator if nobody ever logged in.
    Auto,
    /// Ably, whether or not there are credentials.
    Ably,
    /// The emulator, whatever credentials there are.
    Emulator,
}

const UPSTREAM: Choice<Upstream> = Choice(&[
    ("auto", Upstream::Auto),
    ("ably", Upstream::Ably),
    ("emulator", Upstream::Emulator),
]);

const UUID: Checked = Checked(|text| match Uuid::parse_str(text) {
    Ok(_) => Ok(()),
    Err(_) => Err(format!("{text:?} is not a UUID")),
});

pub(super) fn identity(top: &mut Section) -> (Option<String>, Option<String>) {
    let made = "made once and kept";
    let device = top.optional("device_id", Some("UNBOUND_DEVICE_ID"), &UUID, made);
    let user = top.optional("user_id", Some("UNBOUND_USER_ID"), &Text, made);
    (device, user)
}

pub(super) fn upstream(top: &mut Section) -> Upstream {
    top.setting(
        "upstream",
        Some("FALCO_UPSTREAM"),
        &UPSTREAM,
        Upstream::Auto,
    )
}

/// Whether programs of others are guarded: by default where the kernel would let
/// them outlive a killed supervisor.
pub(super) fn guard(top: &mut Section) -> bool {
    top.setting("guard", None, &YesNo, cfg!(target_os = "macos"))
}

/// A filter of the environment that means nothing was never an error.
const FILTER: Checked = Checked(|text| {
    let parsed = tracing_subscriber::EnvFilter::try_new(text);
    parsed.map(drop).map_err(|error| error.to_string())
});

pub(super) fn log(top: &mut Section) -> (Option<String>, Limits) {
    let mut log = top.section("log");
    let filter = log.optional("filter", Some("FALCO_LOG"), &FILTER, "life events");
    let limits = limits(&mut log, Limits::default());
    log.finish();
    (filter, limits)
}

/// `max_bytes` of each file and how many `files` there are in all.
fn limits(section: &mut Section, default: Limits) -> Limits {
    let all = u64::from(default.old_files) + 1;
    let bytes = section.setting("max_bytes", None, &LOG_BYTES, default.bytes);
    let files = section.setting("files", None, &LOG_FILES, all);
    Limits {
        bytes,
        old_files: old_files(files),
    }
}

/// One line may have 64 KiB.
const LOG_BYTES: Size = Size {
    min: 64 * 1024,
    max: 1 << 40,
};

const LOG_FILES: Count = Count { min: 1, max: 1000 };

/// How long `up` waits for the chain, unless said.
pub(in super::super) const UP_TIMEOUT: Duration = Duration::from_secs(30);

/// As [`limits`], told only where the file says something.
pub(super) fn limits_given(section: &mut Section, default: Limits) -> Limits {
    let bytes = section.given("max_bytes", &LOG_BYTES);
    let files = section.given("files", &LOG_FILES);
    Limits {
        bytes: bytes.unwrap_or(default.bytes),
        old_files: files.map_or(default.old_files, old_files),
    }
}

/// How many there are beside the current one.
fn old_files(all: u64) -> u32 {
    u32::try_from(all.saturating_sub(1)).unwrap_or(u32::MAX)
}

pub(super) fn up(top: &mut Section) -> Duration {
    let mut up = top.section("up");
    let kind = Span::up_to_a_day(Duration::from_secs(1));
    let timeout = up.setting("timeout", None, &kind, UP_TIMEOUT);
    up.finish();
    timeout
}

/// How the emulator and the transport are watched once they were ready.
#[derive(Debug, Clone)]
pub(in super::super) struct Watched {
    /// From one answer to the next question.
    pub(in super::super) every: Duration,
    /// How long one answer may take.
    pub(in super::super) timeout: Duration,
    /// So many questions in a row without an answer are too many.
    pub(in super::super) failures: u32,
}

pub(super) fn liveness(top: &mut Section) -> Watched {
    let mut section = top.section("liveness");
    let span = Span::up_to_a_day(Duration::from_millis(100));
    let failures = Count { min: 1, max: 1000 };
    let every = section.setting("every", None, &span, Duration::from_secs(10));
    let timeout = section.setting("timeout", None, &span, Duration::from_secs(5));
    let failures = section.setting("failures", None, &failures, 3);
    section.finish();
    Watched {
        every,
        timeout,
        failures: u32::try_from(failures).unwrap_or(u32::MAX),
    }
}

/// The transport: which program, and what it is told.
#[derive(Debug, Clone)]
pub(in super::super) struct Transport {
    /// Another program than ours.
    pub(in super::super) binary: Option<PathBuf>,
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

/// The emulator: where it listens, and its limits.
#[derive(Debug, Clone)]
pub(in super::super) struct Emulator {
    /// A fixed address.
    pub(in super::super) listen: Option<SocketAddr>,
    /// What clients may ask and history keeps.
    pub(in super::super) limits: EmulatorLimits,
}

pub(super) fn emulator(top: &mut Section) -> Emulator {
    let mut s = top.section("emulator");
    let usual = EmulatorLimits::default();
    let free = "the port of last time, 8099, or a free one";
    let listen = s.optional("listen", None, &Loopback, free);
    let rate = Count {
        min: 1,
        max: u64::from(u32::MAX),
    };
    let rate = s.setting(
        "max_inbound_rate",
        None,
        &rate,
        u64::from(usual.inbound_rate),
    );
    let size = Size {
        min: 1,
        max: 1 << 30,
    };
    let size = s.setting("max_message_size", None, &size, usual.message_bytes as u64);
    let limits = EmulatorLimits {
        inbound_rate: u32::try_from(rate).unwrap_or(u32::MAX),
        message_bytes: to_usize(size),
        history: history(&mut s, &usual.history),
        ..usual
    };
    s.finish();
    Emulator { listen, limits }
}

fn history(s: &mut Section, usual: &HistoryLimits) -> HistoryLimits {
    let min = HistoryLimits::MIN;
    let count = Count {
        min: min.per_channel as u64,
        max: 1 << 40,
    };
    let size = Size {
        min: min.bytes as u64,
        max: 1 << 40,
    };
    let age = Span {
        min: min.age,
        max: Duration::from_secs(366 * 86_400),
        ..Span::whole_seconds(0)
    };
    let kept = s.setting(
        "history_per_channel",
        None,
        &count,
        usual.per_channel as u64,
    );
    let bytes = s.setting("history_bytes", None, &size, usual.bytes as u64);
    HistoryLimits {
        per_channel: to_usize(kept),
        bytes: to_usize(bytes),
        age: s.setting("history_age", None, &age, usual.age),
    }
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Emulator {
    /// The arguments that tell the emulator, as far as they are not usual.
    pub(in super::super) fn to_args(&self) -> Vec<String> {
        let usual = EmulatorLimits::default();
        let EmulatorLimits {
            inbound_rate,
            message_bytes,
            history,
            ..
        } = &self.limits;
        let seconds = |span: Duration| span.as_secs().to_string();
        let [rate, size] = [inbound_rate.to_string(), message_bytes.to_string()];
        let [kept, bytes] = [history.per_channel.to_string(), history.bytes.to_string()];
        let said = [
            ("--max-inbound-rate", rate, usual.inbound_rate.to_string()),
            ("--max-message-size", size, usual.message_bytes.to_string()),
            (
                "--history-per-channel",
                kept,
                usual.history.per_channel.to_string(),
            ),
            ("--history-bytes", bytes, usual.history.bytes.to_string()),
            (
                "--history-age",
                seconds(history.age),
                seconds(usual.history.age),
            ),
        ];
        let changed = said.into_iter().filter(|(_, now, usual)| now != usual);
        let listen = self
            .listen
            .map(|address| ["--listen".to_owned(), address.to_string()]);
        let changed = changed.map(|(flag, now, _)| [flag.to_owned(), now]);
        listen.into_iter().chain(changed).flatten().collect()
    }
}

pub(super) fn falco(top: &mut Section) -> Duration {
    let mut falco = top.section("falco");
    let kind = Span {
        whole: false,
        ..Span::whole_seconds(600)
    };
    let usual = delivery::Config::default().attempt_timeout;
    let variable = Some("FALCO_PUBLISH_TIMEOUT");
    let timeout = falco.setting("publish_timeout", variable, &kind, usual);
    falco.finish();
    timeout
}

/// Where credentials are, as far as the file says.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Credentials {
    /// A server that gives tokens.
    pub(in super::super) token_endpoint: Option<String>,
    /// A shell command that prints them.
    pub(in super::super) token_command: Option<String>,
    /// A file that holds an API key.
    pub(in super::super) api_key_file: Option<PathBuf>,
    /// A file that holds what proves to the server who asks.
    pub(in super::super) token_bearer_file: Option<PathBuf>,
}

/// Without the environment: which source of tokens is used is decided as a
/// whole, see `credentials`.
pub(super) fn credentials(top: &mut Section) -> Credentials {
    let mut s = top.section("credentials");
    let credentials = Credentials {
        token_endpoint: s.given("token_endpoint", &URL),
        token_command: s.given("token_command", &Text),
        api_key_file: s.path("api_key_file", None),
        token_bearer_file: s.path("token_bearer_file", None),
    };
    s.finish();
    credentials
}
