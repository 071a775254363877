//! `falco tail`: subscribe and print.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::BytesMut;
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::exit::{Exit, Failure};
use super::output;
use super::runtime;
use super::settings::{Instance, path_or_nothing};
use super::typed;
use crate::net::lines::LineBuffer;
use crate::net::unix::{self, ConnectError};
use crate::protocol::ipc::{self, Incoming};
use crate::report::Report;

/// After this it is said that nobody has answered.
const ANSWER_PATIENCE: Duration = Duration::from_secs(3);

/// Delays between attempts to reach the transport; the last one repeats.
const RECONNECT_MS: [u64; 5] = [200, 400, 800, 1600, 3000];

/// How long one attempt may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "One line is printed for each message: channel, event, payload. A payload that is
not printable text is printed in base64. Where messages of a channel may have been
missed, a line on standard error says so (in JSON: \"continuity_lost\": true).

  falco tail session:42:conversation
  falco tail device-events:$DEVICE_ID --event hello --json"
)]
pub(super) struct Args {
    /// The channels to subscribe to, by their full names
    #[arg(value_name = "CHANNEL", required = true, value_parser = NonEmptyStringValueParser::new())]
    channels: Vec<String>,
    /// Only messages of this event
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// Print messages as JSON, one object a line
    #[arg(long)]
    json: bool,
    /// The transport's socket [default: ably.sock in the base directory]
    #[arg(long, env = "UNBOUND_ABLY_SOCKET", value_name = "PATH", value_parser = path_or_nothing())]
    socket: Option<PathBuf>,
    #[command(flatten)]
    instance: Instance,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let given = args.socket.clone();
    let verbs = ["up", "status"];
    let (socket, verbs) = if let Some(socket) = given.filter(|path| !path.as_os_str().is_empty()) {
        (socket, verbs.map(|verb| format!("falco {verb}")))
    } else {
        let paths = args.instance.paths()?;
        (
            paths.ably_socket(),
            verbs.map(|verb| typed::falco(&paths, verb)),
        )
    };
    runtime::block_on(async {
        tokio::select! {
            // Also while no message comes that could not be printed.
            () = output::unread() => Ok(()),
            ended = Tail::new(args, verbs).run(&socket) => ended,
        }
    })
}

struct Tail {
    channels: Vec<String>,
    event: Option<String>,
    json: bool,
    /// What brings up what it listens to.
    up: String,
    /// What says how that is.
    status: String,
    /// Attempts since the last one that worked.
    attempts: usize,
    /// Whether the transport was ever there.
    was_connected: bool,
    /// Channels of which messages may be missing before the next one.
    gaps: HashSet<String>,
    printed: String,
}

/// Why a connection is over; another is tried.
struct Over(String);

enum End {
    Again(Over),
    ForGood(Failure),
}

impl Tail {
    fn new(args: Args, [up, status]: [String; 2]) -> Self {
        Self {
            channels: args.channels,
            event: args.event,
            json: args.json,
            up,
            status,
            attempts: 0,
            was_connected: false,
            gaps: HashSet::new(),
            printed: String::new(),
        }
    }

    async fn run(mut self, socket: &Path) -> Result<(), Failure> {
        loop {
            let over = match self.follow(socket).await {
                End::Again(over) => over,
                End::ForGood(failure) => return Err(failure),
            };
            if self.attempts == 0 {
                output::message(&format!("{}; will try again.", over.0));
            }
            let delay = RECONNECT_MS[self.attempts.min(RECONNECT_MS.len() - 1)];
            self.attempts += 1;
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
    }

    /// Connects, subscribes, and prints until the connection is over.
    async fn follow(&mut self, socket: &Path) -> End {
        let mut stream = match unix::connect(socket, CONNECT_PATIENCE).await {
            Ok(stream) => stream,
            Err(error @ ConnectError::Absent { .. }) if !self.was_connected => {
                return End::Again(Over(format!("{error}; {} brings the chain up", self.up)));
            }
            Err(error) => return End::Again(Over(Report(&error).to_string())),
        };
        if let Err(error) = stream.write_all(&self.requests()).await {
            return End::Again(Over(format!("Lost the transport: {error}")));
        }
        if std::mem::replace(&mut self.was_connected, true) {
            self.gaps.extend(self.channels.iter().cloned());
        }
        if timeout(ANSWER_PATIENCE, stream.readable()).await.is_err() {
            let status = &self.status;
            output::message(&format!(
                "No answer from the transport yet: it is busy, suspended or not connected to Ably. {status} says more."
            ));
        }
        let mut lines = LineBuffer::new(2 * ipc::LINE_BYTES_MAX);
        loop {
            if let Err(end) = self.read(&mut stream, &mut lines).await {
                return end;
            }
        }
    }

    fn requests(&self) -> BytesMut {
        let mut out = BytesMut::new();
        for (number, channel) in self.channels.iter().enumerate() {
            ipc::encode::subscribe(&mut out, number, channel, channel, self.event.as_deref());
        }
        out
    }

    /// The channel that an answer is about, for people.
    fn asked(&self, answer: &Incoming) -> String {
        let number: Option<usize> = answer.request_id.parse().ok();
        let channel = number.and_then(|number| self.channels.get(number));
        channel.map_or_else(
            || "a channel".to_owned(),
            |channel| channel.escape_debug().to_string(),
        )
    }

    /// Reads once, and prints every message that came.
    async fn read(&mut self, stream: &mut UnixStream, lines: &mut LineBuffer) -> Result<(), End> {
        match lines.fill(stream).await {
            Ok(0) => return Err(again("The transport has ended")),
            Ok(_) => {}
            Err(error) => return Err(again(&format!("Lost the transport: {error}"))),
        }
        loop {
            match lines.next_line() {
                Ok(Some(line)) => self.take(line)?,
                Ok(None) => break,
                Err(error) => return Err(again(&error.to_string())),
            }
        }
        let printed = std::mem::take(&mut self.printed);
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(printed.as_bytes());
        written
            .and_then(|()| stdout.flush())
            .map_err(|error| End::ForGood(Failure::output(&error)))
    }

    fn take(&mut self, line: &[u8]) -> Result<(), End> {
        let Ok(incoming) = serde_json::from_slice::<Incoming>(line) else {
            return Ok(());
        };
        match &*incoming.op {
            "message.v1" => self.print(&incoming),
            "subscribe.ack.v1" if incoming.ok => {
                self.attempts = 0;
                output::message(&format!("Subscribed to {}.", self.asked(&incoming)));
            }
            "subscribe.ack.v1" => return Err(refused(&self.asked(&incoming), &incoming)),
            _ => {}
        }
        Ok(())
    }

    fn print(&mut self, message: &Incoming) {
        // A subscription is called as its channel.
        let gap = self.gaps.remove(&*message.subscription_id) || message.continuity_lost;
        let Ok(payload) = BASE64.decode(&*message.payload_b64) else {
            return;
        };
        if self.json {
            self.print_json(message, &payload, gap);
            return;
        }
        let channel = message.channel.escape_debug();
        if gap {
            output::message(&format!(
                "Messages of {channel} may be missing before the next one."
            ));
        }
        let event = message.event.escape_debug();
        let text = match std::str::from_utf8(&payload) {
            Ok(text) if !text.chars().any(char::is_control) => text,
            _ => &*message.payload_b64,
        };
        _ = writeln!(self.printed, "{channel} {event} {text}");
    }

    fn print_json(&mut self, message: &Incoming, payload: &[u8], gap: bool) {
        let raw: Option<&RawValue> = serde_json::from_slice(payload).ok();
        let raw = raw.filter(|raw| !raw.get().contains('\n'));
        let line = Line {
            channel: &message.channel,
            event: &message.event,
            message_id: &message.message_id,
            received_at_ms: message.received_at_ms,
            continuity_lost: gap,
            encoding: message.encoding.as_deref(),
            payload: raw,
            payload_b64: raw.is_none().then_some(&*message.payload_b64),
        };
        if let Ok(line) = serde_json::to_string(&line) {
            _ = writeln!(self.printed, "{line}");
        }
    }
}

/// A message as `--json` prints it: a payload that is JSON stands as it is.
#[derive(Serialize)]
struct Line<'a> {
    channel: &'a str,
    event: &'a str,
    message_id: &'a str,
    received_at_ms: i64,
    continuity_lost: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_b64: Option<&'a str>,
}

fn again(why: &str) -> End {
    End::Again(Over(why.to_owned()))
}

/// A refusal that may pass is tried again like a lost connection.
fn refused(channel: &str, answer: &Incoming) -> End {
    let reason = answer.error.as_deref().unwrap_or("no reason given");
    let text = format!("Cannot subscribe to {channel}: {reason}");
    if answer.retryable.unwrap_or(true) {
        return End::Again(Over(text));
    }
    let failure = Failure::new(Exit::Failed, text);
    End::ForGood(match answer.code {
        Some(40_160) => failure.hint("the transport's token does not allow it"),
        _ => failure,
    })
}
