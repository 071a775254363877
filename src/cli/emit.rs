//! `falco emit`: send side effects, print acks.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::exit::{Exit, Failure};
use super::runtime;
use super::settings::{Instance, path_or_nothing, seconds_to_wait};
use super::typed;
use crate::client::{Ack, Client, PublishError};
use crate::net::unix::{self, ConnectError};
use crate::protocol::envelope;

/// Acks waited for at once; more than the client has unacked, so that it
/// decides how far reading runs ahead.
const ACKS_MAX: usize = 8192;

/// How long connecting may take to find out that nobody is there.
const PROBE_PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without an effect's flags, standard input is read: one side effect a line, in JSON,
published as it stands. One line is printed for each, in order: SUCCESS and the
effect's id, or FAILED, the id and why. Exit 1 if any failed.

  falco emit --event hello --payload '{\"n\":1}'
  falco emit < effects.jsonl"
)]
pub(super) struct Args {
    #[command(flatten)]
    effect: Effect,
    /// How long an effect may go without an ack
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = seconds_to_wait())]
    timeout: u64,
    /// Print acks as JSON
    #[arg(long)]
    json: bool,
    /// Falco's socket [default: falco.sock in the base directory]
    #[arg(long, env = "FALCO_SOCKET", value_name = "PATH", value_parser = path_or_nothing())]
    socket: Option<PathBuf>,
    #[command(flatten)]
    instance: Instance,
}

/// One side effect, as flags.
#[derive(Debug, clap::Args)]
struct Effect {
    /// The effect's type; also the event's name if --event is not given
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// The event's name
    #[arg(long)]
    event: Option<String>,
    /// The channel [default: device-events:DEVICE_ID]
    #[arg(long)]
    channel: Option<String>,
    /// What to publish, in JSON [default: the effect itself]
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// The session: effects of one session stay in order
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Set this key of the channel's object to the payload instead of publishing
    #[arg(long, value_name = "KEY")]
    object_key: Option<String>,
    /// The message's id
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
    /// What makes copies of the effect recognisable [default: its id]
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

impl Effect {
    /// The side-effect JSON, or `None` when no flag was given.
    fn json(&self) -> Result<Option<Bytes>, Failure> {
        let fields = [
            ("type", &self.kind),
            ("event", &self.event),
            ("channel", &self.channel),
            ("session_id", &self.session),
            ("object_key", &self.object_key),
            ("message_id", &self.message_id),
            ("idempotency_key", &self.idempotency_key),
        ];
        let given = fields.into_iter().filter_map(|(name, value)| {
            let value = value.clone()?;
            Some((name.to_owned(), Value::String(value)))
        });
        let fields: Map<String, Value> = given.collect();
        let Some(payload) = &self.payload else {
            let json = Value::Object(fields).to_string();
            return Ok((json != "{}").then(|| json.into()));
        };
        // Spliced in as it stands: payload bytes are published verbatim.
        let payload: &RawValue = serde_json::from_str(payload).map_err(|error| {
            Failure::new(Exit::Usage, format!("--payload is no JSON: {error}"))
                .hint("a text needs its quotes: --payload '\"text\"'")
        })?;
        let mut json = Value::Object(fields).to_string();
        json.pop();
        let comma = if json.len() > 1 { "," } else { "" };
        Ok(Some(format!("{json}{comma}\"payload\":{payload}}}").into()))
    }
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let effect = args.effect.json()?;
    if effect.is_none() && io::stdin().is_terminal() {
        return Err(Failure::new(Exit::Usage, "there is nothing to send")
            .hint("give --event and --payload, or side effects in JSON on standard input"));
    }
    let named = args.socket.filter(|socket| !socket.as_os_str().is_empty());
    let (socket, up) = if let Some(socket) = named {
        (socket, "falco up".to_owned())
    } else {
        let paths = args.instance.paths()?;
        (paths.falco_socket(), typed::falco(&paths, "up"))
    };
    let timeout = Duration::from_secs(args.timeout);
    runtime::block_on(async {
        let probe = unix::connect(&socket, PROBE_PATIENCE).await;
        drop(probe.map_err(|error| not_there(&error, &up))?);
        emit(socket, timeout, effect, args.json).await
    })
}

async fn emit(
    socket: PathBuf,
    timeout: Duration,
    effect: Option<Bytes>,
    json: bool,
) -> Result<(), Failure> {
    let client = Client::with_timeout(socket, timeout);
    let (submitted, acks) = mpsc::channel(ACKS_MAX);
    // Dropped when the printer ends early: its reader wants no more.
    let submit = submit_all(client, effect, submitted);
    let (submit, print) = tokio::join!(submit, print_all(acks, json));
    submit.and(print)
}

fn not_there(error: &ConnectError, up: &str) -> Failure {
    match error {
        ConnectError::Absent { .. } | ConnectError::Refused { .. } => {
            let hint = format!("bring the chain up with: {up}");
            Failure::of(Exit::NotRunning, error).hint(hint)
        }
        ConnectError::TimedOut { .. } => Failure::of(Exit::TimedOut, error),
        ConnectError::Io { source, .. } => Failure::of(Exit::of_call(source, Exit::Failed), error),
        ConnectError::TooLong(_) => Failure::of(Exit::Failed, error),
    }
}

/// Submits the one effect, or every line of standard input, without waiting
/// for acks.
async fn submit_all(
    client: Client,
    effect: Option<Bytes>,
    submitted: mpsc::Sender<Ack>,
) -> Result<(), Failure> {
    if let Some(effect) = effect {
        submit(&client, effect, &submitted).await?;
        return Ok(());
    }
    let mut lines = lines_of_stdin();
    while let Some(line) = lines.recv().await {
        let line = line.map_err(|e| {
            Failure::new(Exit::Failed, format!("failed to read standard input: {e}"))
        })?;
        if !submit(&client, line, &submitted).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// Returns whether anybody still waits for acks.
async fn submit(
    client: &Client,
    effect: Bytes,
    submitted: &mpsc::Sender<Ack>,
) -> Result<bool, Failure> {
    let ack = client.submit(effect).await;
    let ack = ack.map_err(|error| Failure::of(Exit::Internal, &error))?;
    Ok(submitted.send(ack).await.is_ok())
}

/// The lines of standard input that are not blank, read on a thread of its own.
fn lines_of_stdin() -> mpsc::Receiver<io::Result<Bytes>> {
    let (lines, read) = mpsc::channel(ACKS_MAX);
    tokio::task::spawn_blocking(move || {
        for (at, line) in io::stdin().lock().split(b'\n').enumerate() {
            let line = match line {
                Ok(first) if at == 0 => Ok(envelope::without_mark(&first).to_vec()),
                other => other,
            };
            let is_blank = line.as_ref().is_ok_and(|line| line.trim_ascii().is_empty());
            let is_error = line.is_err();
            if !is_blank && lines.blocking_send(line.map(Bytes::from)).is_err() || is_error {
                return;
            }
        }
    });
    read
}

/// Prints acks in the order of submission; fails if one of them did.
async fn print_all(mut acks: mpsc::Receiver<Ack>, json: bool) -> Result<(), Failure> {
    let mut worst = Exit::Ok;
    let mut out = io::BufWriter::new(io::stdout());
    while let Some(mut ack) = acks.recv().await {
        let id = ack.effect_id().to_string();
        let fate = if let Some(fate) = (&mut ack).now_or_never() {
            fate
        } else {
            // Nothing that is known is held back while waiting.
            out.flush().map_err(|error| Failure::output(&error))?;
            ack.await
        };
        worst = worse(worst, fate.as_ref().err());
        let written = writeln!(out, "{}", line(&id, fate.err().as_ref(), json));
        let written = written.and_then(|()| if acks.is_empty() { out.flush() } else { Ok(()) });
        written.map_err(|error| Failure::output(&error))?;
    }
    out.flush().map_err(|error| Failure::output(&error))?;
    match worst {
        Exit::Ok => Ok(()),
        exit => Err(Failure::already_printed(exit)),
    }
}

/// The exit code after one more effect: a failure goes before a timeout.
fn worse(worst: Exit, error: Option<&PublishError>) -> Exit {
    match (worst, error) {
        (worst, None) => worst,
        (Exit::Ok | Exit::TimedOut, Some(PublishError::TimedOut)) => Exit::TimedOut,
        (_, Some(_)) => Exit::Failed,
    }
}

fn line(id: &str, error: Option<&PublishError>, json: bool) -> String {
    let text = error.map(|error| match error {
        PublishError::Failed(failed) => failed.to_string(),
        other => other.to_string(),
    });
    match (json, text) {
        (true, None) => json!({"effect_id": id, "status": "SUCCESS"}).to_string(),
        (true, Some(text)) => {
            json!({"effect_id": id, "status": "FAILED", "error": text}).to_string()
        }
        (false, None) => format!("SUCCESS {id}"),
        (false, Some(text)) => format!("FAILED {id} {text}"),
    }
}

#[cfg(test)]
mod tests;
