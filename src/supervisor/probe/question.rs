//! Asking a sidecar what its configuration says it can be asked.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::part::Unprepared;
use super::super::sidecar::{Check, Exchange};
use super::{Unanswered, Unreachable};
use crate::net::http::{Client, Request};
use crate::net::lines::LineBuffer;
use crate::net::tls::Tls;
use crate::net::unix;
use crate::process::child::{Child, Exit};
use crate::process::spawn::{Spawner, Spec};

/// How much of what a command says is kept for why it failed.
const WORDS_BYTES_MAX: u64 = 4096;

/// The longest answer on a Unix socket.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Makes a command that asks, with the environment of whom it asks.
pub type MakeCommand = Arc<dyn Fn(&[String]) -> Result<Spec, Unprepared> + Send + Sync>;

/// A question to a sidecar, and what it takes to ask it.
#[derive(Clone)]
pub struct Question {
    /// What is asked.
    pub check: Check,
    /// Runs a command that asks.
    pub spawner: Spawner,
    /// Makes it.
    pub make: MakeCommand,
}

/// Whether the same is asked.
impl PartialEq for Question {
    fn eq(&self, other: &Self) -> bool {
        self.check == other.check
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.check.fmt(f)
    }
}

impl Question {
    /// Whether asking costs next to nothing.
    pub(super) fn is_cheap(&self) -> bool {
        !matches!(self.check, Check::Command { .. })
    }

    /// Asks once, within `patience`.
    pub(super) async fn ask_within(&self, patience: Duration) -> Result<(), Unanswered> {
        let silent = |_| Err(format!("no answer within {} ms", patience.as_millis()).into());
        tokio::time::timeout(patience, self.ask(patience))
            .await
            .unwrap_or_else(silent)
    }

    async fn ask(&self, patience: Duration) -> Result<(), Unanswered> {
        match &self.check {
            Check::Unix { path, exchange } => {
                let stream = unix::connect(path, patience).await;
                let stream = stream.map_err(|e| Unanswered::by(&e))?;
                match exchange {
                    None => Ok(()),
                    Some(exchange) => converse(stream, exchange).await,
                }
            }
            Check::Tcp { address } => {
                let connected = TcpStream::connect(address).await;
                let unreachable = |source| Unreachable {
                    address: address.clone(),
                    source,
                };
                let connected = connected.map_err(unreachable);
                connected.map(drop).map_err(|e| Unanswered::by(&e))
            }
            Check::Http { url, status } => {
                let client = Client::new(Tls::system());
                let request = Request::get(url.clone()).within(patience);
                let answer = client.send(&request).await;
                let said = answer.map_err(|e| Unanswered::by(&e))?.status;
                if said.as_u16() == *status {
                    Ok(())
                } else {
                    Err(format!("answered {said} instead of {status}").into())
                }
            }
            Check::Command { argv } => {
                let spec = (self.make)(argv).map_err(|e| Unanswered::by(&e))?;
                let child = self.spawner.spawn(spec).await;
                command(child.map_err(|e| Unanswered::by(&e))?).await
            }
        }
    }
}

async fn converse(
    mut stream: tokio::net::UnixStream,
    Exchange { send, expect }: &Exchange,
) -> Result<(), Unanswered> {
    let broken = |e: std::io::Error| format!("the conversation broke off: {e}");
    stream.write_all(send.as_bytes()).await.map_err(broken)?;
    let mut lines = LineBuffer::new(ANSWER_BYTES_MAX);
    loop {
        while let Some(line) = lines
            .next_line()
            .map_err(|_| "too long an answer".to_owned())?
        {
            if expect.matches(line) {
                return Ok(());
            }
        }
        if lines.fill(&mut stream).await.map_err(broken)? == 0 {
            return Err(format!("no answer matches {:?}", expect.as_str()).into());
        }
    }
}

/// Dropped before its end, a command is killed with all it started.
async fn command(mut child: Child) -> Result<(), Unanswered> {
    let output = child.take_output().map_err(|e| Unanswered::by(&e))?;
    let end = child.end().map_err(|e| Unanswered::by(&e))?;
    let words = async {
        match output {
            Some(output) => tokio::join!(drained(output.stdout), drained(output.stderr)),
            None => Default::default(),
        }
    };
    tokio::pin!(words);
    let mut said = None;
    loop {
        tokio::select! {
            () = end.reached() => break,
            words = &mut words, if said.is_none() => said = Some(words),
        }
    }
    match child.reap().await.0 {
        Exit::Code(0) => Ok(()),
        exit => {
            let (out, err) = said.unwrap_or_default();
            let last = err.lines().chain(out.lines()).last().unwrap_or_default();
            Err(format!("{exit} {last}").trim_end().to_owned().into())
        }
    }
}

/// Reads to the end, and keeps the beginning.
async fn drained(mut pipe: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    _ = (&mut pipe)
        .take(WORDS_BYTES_MAX)
        .read_to_end(&mut kept)
        .await;
    _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&kept).into_owned()
}
