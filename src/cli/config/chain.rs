//! The sections about the parts of the chain themselves.

use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

use super::kind::{Checked, Choice, Count, Size, Span, Text, URL, YesNo};
use super::reader::Section;
use crate::delivery;
use crate::logfile::Limits;

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
