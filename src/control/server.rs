//! Takes requests on the control socket and hands them to the supervisor.
//!
//! A client that is gone, because it was killed or waits no longer, frees its
//! place at once. A status, and what was asked about Falco's outbox and lanes, is
//! withdrawn then if it has not begun: nobody would hear what became of it. What is
//! asked about the outbox begins when Falco takes it up, once it has read its
//! outbox; from there on it is finished whole. A status that has begun is let go.
//! A stop, a restart and a reload go on all the same.
//!
//! A client may close its half of the connection when it has asked, and still
//! hears the answer.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::net::lines::LineBuffer;
use crate::net::unix::{Hangup, Listener};
use crate::protocol::control::{Event, REQUEST_BYTES_MAX, Refusal, Request};
use crate::shutdown::Shutdown;

/// Connections being served at once; more wait in the socket's backlog.
const CONNECTIONS_MAX: usize = 32;

/// Events waiting for one slow reader; beyond it, it is left behind.
const EVENTS_MAX: usize = 256;

/// How long a client may take to send its request, or to take one event.
const CLIENT_PATIENCE: Duration = Duration::from_secs(2);

/// A request and where its answers go; dropping the sender ends the exchange.
#[derive(Debug)]
pub struct Command {
    /// What is asked.
    pub request: Request,
    /// Where the answers go.
    pub events: mpsc::Sender<Event>,
    /// Who asks: process and user, as the kernel says.
    pub peer: Option<(i32, u32)>,
}

/// Serves `listener` until the shutdown begins; exchanges under way then end
/// when the supervisor drops their senders.
pub fn start(listener: Listener, commands: mpsc::Sender<Command>, shutdown: &Shutdown) {
    let tasks = shutdown.clone();
    shutdown.spawn(async move {
        let slots = std::sync::Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! {
                () = tasks.begun() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok(stream) = accepted.inspect_err(|error| {
                tracing::error!(%error, "The control socket accepts no more.");
            }) else {
                return;
            };
            let commands = commands.clone();
            tasks.spawn(async move {
                serve(stream, &commands).await;
                drop(slot);
            });
        }
    });
}

/// One exchange; a client that is gone or too slow ends it.
async fn serve(mut stream: UnixStream, commands: &mpsc::Sender<Command>) {
    let Ok(Some(line)) = timeout(CLIENT_PATIENCE, read_line(&mut stream)).await else {
        return;
    };
    let request = match serde_json::from_slice(&line) {
        Ok(request) => request,
        Err(error) => {
            let error = format!("unknown request, perhaps of another version: {error}");
            let refused = Event::Refused(Refusal::impossible(error));
            _ = write(&mut stream, &refused).await;
            return;
        }
    };
    let peer = stream.peer_cred().ok();
    let peer = peer.map(|p| (p.pid().unwrap_or(0), p.uid()));
    let (events, mut answers) = mpsc::channel(EVENTS_MAX);
    let command = Command {
        request,
        events,
        peer,
    };
    let hangup = Hangup::of(&stream);
    if !hand_over(command, commands, &hangup).await {
        return;
    }
    loop {
        let event = tokio::select! {
            () = hangup.seen() => return,
            event = answers.recv() => event,
        };
        let Some(event) = event else { return };
        if !matches!(
            timeout(CLIENT_PATIENCE, write(&mut stream, &event)).await,
            Ok(Ok(()))
        ) {
            return;
        }
    }
}

/// Hands a request to the supervisor, unless it was withdrawn or nobody takes it.
async fn hand_over(command: Command, commands: &mpsc::Sender<Command>, hangup: &Hangup) -> bool {
    if !command.request.is_withdrawn_by_leaving() {
        return commands.send(command).await.is_ok();
    }
    // One that was suspended finds what others asked for, and gave up, long ago.
    if hangup.is_seen().await {
        return false;
    }
    tokio::select! {
        () = hangup.seen() => false,
        handed = commands.send(command) => handed.is_ok(),
    }
}

async fn read_line(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut lines = LineBuffer::new(REQUEST_BYTES_MAX);
    loop {
        if let Some(line) = lines.next_line().ok()? {
            return Some(line.to_vec());
        }
        if lines.fill(stream).await.ok()? == 0 {
            return None;
        }
    }
}

async fn write(stream: &mut UnixStream, event: &Event) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    stream.write_all(&line).await
}
