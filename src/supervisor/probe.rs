//! Asks a part, in its own protocol, whether it answers.

mod question;

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

pub use question::Question;

use super::advised::Advised;
use super::incarnation::{News, Reporter};
use crate::net::ask::{AskError, ask};
use crate::shortage::Shortage;

/// How long one question may take while a part starts.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long an answer of a sidecar may take while it starts.
const QUESTION_PATIENCE: Duration = Duration::from_secs(5);

/// Delays between questions: short at first, since most parts answer at once.
const FIRST_DELAY: Duration = Duration::from_millis(2);
const LAST_DELAY: Duration = Duration::from_millis(100);

/// Why there is no good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unanswered {
    /// It gave none, or another one.
    Silent(String),
    /// It was not asked, for want of something of our own.
    Unasked(String),
}

impl Unanswered {
    /// What an error says of whoever was asked.
    pub(super) fn by(error: &(dyn Error + 'static)) -> Self {
        let why = Advised(error).to_string();
        match Shortage::behind(error) {
            Some(_) => Self::Unasked(why),
            None => Self::Silent(why),
        }
    }
}

impl From<String> for Unanswered {
    fn from(why: String) -> Self {
        Self::Silent(why)
    }
}

/// How a part is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    /// Our own transport: `hello.v1` on its socket.
    Transport(PathBuf),
    /// Any other transport: a publish without a channel, which every
    /// implementation refuses by name and publishes nowhere.
    ForeignTransport(PathBuf),
    /// An emulator: `GET /time` at the address it said.
    Emulator,
    /// A sidecar: what the configuration says.
    Asked(Question),
}

impl Probe {
    /// Whether everybody who wants to know may ask.
    pub(super) fn is_cheap(&self) -> bool {
        match self {
            Self::Asked(question) => question.is_cheap(),
            _ => true,
        }
    }

    /// Asks until there is an answer; notes in `trouble` why there is none yet,
    /// and tells `reporter` when it could not ask.
    pub(super) async fn answered(
        &self,
        fact: &str,
        trouble: &mut Option<String>,
        reporter: &Reporter,
    ) {
        let mut delay = FIRST_DELAY;
        while let Err(unanswered) = self.ask(fact, PATIENCE).await {
            match unanswered {
                Unanswered::Silent(why) => *trouble = Some(why),
                Unanswered::Unasked(why) => {
                    *trouble = Some(why.clone());
                    reporter.say(News::Unasked { why }).await;
                }
            }
            sleep(delay).await;
            delay = (delay * 2).min(LAST_DELAY);
        }
        *trouble = None;
    }

    /// Asks once, within `patience`.
    pub(super) async fn ask_once(&self, fact: &str, patience: Duration) -> Result<(), Unanswered> {
        let silent = |_| Err(format!("no answer within {} ms", patience.as_millis()).into());
        // Ours is to end first: silence then reads the same, whoever is asked.
        timeout(patience, self.ask(fact, patience * 2))
            .await
            .unwrap_or_else(silent)
    }

    /// Asks once, in passing; nothing if it cannot be asked, or a sidecar takes
    /// longer. How long that may take its configuration says, and those who heed
    /// that ask it too.
    pub(super) async fn ask_in_passing(
        &self,
        fact: &str,
        patience: Duration,
    ) -> Option<Result<(), String>> {
        let answer = match self {
            Self::Asked(question) => {
                let asking = question.ask_within(QUESTION_PATIENCE);
                timeout(patience, asking).await.ok()?
            }
            _ => self.ask_once(fact, patience).await,
        };
        match answer {
            Ok(()) => Some(Ok(())),
            Err(Unanswered::Silent(why)) => Some(Err(why)),
            Err(Unanswered::Unasked(_)) => None,
        }
    }

    async fn ask(&self, fact: &str, patience: Duration) -> Result<(), Unanswered> {
        match self {
            Self::Transport(path) => {
                let hello = r#"{"op":"hello.v1","request_id":"probe"}"#;
                ask_transport(path, hello, patience).await
            }
            Self::ForeignTransport(path) => {
                let publish = r#"{"op":"publish.v1","request_id":"probe","channel":"","event":"","payload_b64":""}"#;
                ask_transport(path, publish, patience).await
            }
            Self::Emulator => ask_emulator(fact, patience).await,
            Self::Asked(question) => question.ask_within(QUESTION_PATIENCE).await,
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    request_id: String,
}

async fn ask_transport(path: &Path, line: &str, patience: Duration) -> Result<(), Unanswered> {
    let answer = ask(path, line, patience)
        .await
        .map_err(|e: AskError| Unanswered::by(&e))?;
    let answer: Answer =
        serde_json::from_str(&answer).map_err(|e| format!("{}: {e}", path.display()))?;
    match answer.request_id.as_str() {
        "probe" => Ok(()),
        other => Err(format!("{} answered request {other:?}", path.display()).into()),
    }
}

/// What an emulator says when it is ready.
#[derive(Debug, Deserialize)]
pub struct EmulatorFact {
    /// `127.0.0.1:8099`.
    pub address: String,
}

impl EmulatorFact {
    /// Reads what the emulator said.
    ///
    /// # Errors
    ///
    /// When it said something else.
    pub fn parse(fact: &str) -> Result<Self, String> {
        if fact.is_empty() {
            return Err("it did not say where it listens".to_owned());
        }
        serde_json::from_str(fact).map_err(|e| format!("the emulator's ready line: {e}"))
    }
}

async fn ask_emulator(fact: &str, patience: Duration) -> Result<(), Unanswered> {
    let EmulatorFact { address } = EmulatorFact::parse(fact)?;
    let asking = async {
        let mut stream = TcpStream::connect(&address).await?;
        let request = format!("GET /time HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await?;
        std::io::Result::Ok(head)
    };
    match timeout(patience, asking).await {
        Ok(Ok(head)) if head.ends_with(b" 200") => Ok(()),
        Ok(Ok(head)) => Err(format!("{address}: {}", String::from_utf8_lossy(&head)).into()),
        Ok(Err(source)) => Err(Unanswered::by(&Unreachable { address, source })),
        Err(_) => {
            let waited = patience.as_millis();
            Err(format!("{address} did not answer within {waited} ms").into())
        }
    }
}

/// An address that a conversation did not get through to.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {source}")]
struct Unreachable {
    address: String,
    source: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::libc::{ECONNREFUSED, EMFILE};

    #[test]
    fn our_own_want_of_descriptors_is_no_silence_of_whoever_was_to_be_asked() {
        let said = |errno| {
            Unanswered::by(&Unreachable {
                address: "127.0.0.1:1".to_owned(),
                source: io::Error::from_raw_os_error(errno),
            })
        };
        assert!(matches!(said(EMFILE), Unanswered::Unasked(why) if why.contains("ulimit -n")));
        assert!(matches!(said(ECONNREFUSED), Unanswered::Silent(_)));
    }
}
