//! How a sidecar shows that it is ready, and later that it is alive.

use std::path::PathBuf;
use std::time::Duration;

use regex_automata::meta::Regex;
use regex_automata::util::syntax;

use crate::net::http::Url;
use crate::report::Report;

/// A question that something outside the sidecar can ask it, any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// Its Unix socket takes a connection.
    Unix {
        /// Relative to the base directory.
        path: PathBuf,
        /// What is said there and what has to come back; nothing means that
        /// the connection is enough.
        exchange: Option<Exchange>,
    },
    /// A TCP port takes a connection.
    Tcp {
        /// `127.0.0.1:8080`, or a name in place of the address.
        address: String,
    },
    /// A GET is answered with this status.
    Http {
        /// Where; `http` only on this machine.
        url: Url,
        /// What is expected.
        status: u16,
    },
    /// A command exits with 0. It has the sidecar's environment and directory.
    Command {
        /// The program and its arguments; at least the program.
        argv: Vec<String>,
    },
}

/// One round trip on a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// What is sent, byte for byte.
    pub send: String,
    /// A line that answers it matches this.
    pub expect: LinePattern,
}

/// When a sidecar counts as ready, and how long that may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// What it waits for.
    pub when: ReadyWhen,
    /// From start to ready; over it is a failure.
    pub within: Duration,
}

impl Readiness {
    /// How long a start may take, unless said.
    pub const WITHIN: Duration = Duration::from_secs(10);

    /// As `when` says, within the usual time.
    #[must_use]
    pub fn new(when: ReadyWhen) -> Self {
        Self {
            when,
            within: Self::WITHIN,
        }
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new(ReadyWhen::Runs(ReadyWhen::RUNS_FOR))
    }
}

/// What shows that a sidecar is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadyWhen {
    /// It answers this.
    Answers(Check),
    /// It sends `READY=1` to `NOTIFY_SOCKET`, as services of systemd do.
    Notify,
    /// It writes a line to the descriptor that `FALCO_READY_FD` names.
    Descriptor,
    /// It prints a line that matches, on either stream.
    Line(LinePattern),
    /// It has not ended for so long.
    Runs(Duration),
}

impl ReadyWhen {
    /// How long it has to run when nothing else is said.
    pub const RUNS_FOR: Duration = Duration::from_millis(500);
}

/// How a sidecar that was ready is asked whether it still is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Liveness {
    /// What is asked.
    pub when: AliveWhen,
    /// From one answer to the next question.
    pub every: Duration,
    /// How long one answer may take.
    pub timeout: Duration,
    /// So many questions in a row without an answer, and it is restarted.
    pub failures: u32,
    /// After this machine slept, or we were stopped, it is left alone so long.
    pub resume_grace: Duration,
}

impl Liveness {
    /// As `when` says, at the usual pace.
    #[must_use]
    pub fn new(when: AliveWhen) -> Self {
        Self {
            when,
            every: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
            failures: 3,
            resume_grace: Duration::from_secs(15),
        }
    }
}

/// What shows that a sidecar is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AliveWhen {
    /// It answers this.
    Answers(Check),
    /// It has sent `WATCHDOG=1` to `NOTIFY_SOCKET` since the last time.
    Watchdog,
}

/// A regular expression for one line of output.
#[derive(Clone)]
pub struct LinePattern {
    regex: Regex,
    written: String,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a regular expression: {0}")]
pub struct PatternError(String);

impl LinePattern {
    /// Whether `line` matches anywhere.
    #[must_use]
    pub fn matches(&self, line: &[u8]) -> bool {
        self.regex.is_match(line)
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }
}

impl std::str::FromStr for LinePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        // Output need not be UTF-8.
        let bytes = syntax::Config::new().utf8(false);
        let regex = Regex::builder().syntax(bytes).build(text);
        let regex = regex.map_err(|e| PatternError(Report(&e).to_string()))?;
        let written = text.to_owned();
        Ok(Self { regex, written })
    }
}

/// As it was written: what a regular expression is made of differs from one to
/// the next, and two that are equal are to read the same.
impl std::fmt::Debug for LinePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LinePattern({:?})", self.written)
    }
}

impl PartialEq for LinePattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for LinePattern {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_inside_a_line_and_is_what_was_written() {
        let pattern: LinePattern = "listening on \\d+".parse().unwrap();
        assert!(pattern.matches(b"now listening on 8080\xff"));
        assert!(!pattern.matches(b"listening"));
        assert_eq!(pattern, "listening on \\d+".parse().unwrap());
        assert!("(".parse::<LinePattern>().is_err());
    }
}
