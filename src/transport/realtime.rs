//! The driver of one connection to Ably.
//!
//! Owns the websocket, the clock and whatever takes time; the
//! [`Connection`] decides. One turn of [`Realtime::run`] waits for something,
//! takes all of it that is there, then carries out what follows: many requests
//! become many frames and one write.
//!
//! Stops when told to: then it says CLOSE and waits a little for CLOSED.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

use super::StopBy;
use super::reply::{Failure, Reply};
use super::subscriptions::Subscriptions;
use super::token::TokenClient;
use super::upstream::Command;
use crate::ably::connection::{self, Connection};
use crate::ably::event::{Action, ConnectionState, Generation};
use crate::ably::hosts::Hosts;
use crate::ably::outbox::{Outcome, Publish};
use crate::failpoint::{self, Point};
use crate::net::http;
use crate::net::tls::Tls;
use crate::net::websocket::{Incoming, WebSocket};
use crate::protocol::ably::codec::{self, Format};
use crate::protocol::ably::message::ProtocolMessage;
use crate::protocol::ipc::{TIMED_OUT, UpstreamStatus};
use crate::protocol::token::Audience;
use crate::shutdown::Shutdown;

mod commands;
mod events;
mod jobs;
mod timer;

use commands::COMMANDS_A_TURN;
pub(super) use jobs::origin;
use jobs::{Done, Jobs};
use timer::Timer;

/// What every connection shares.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) hosts: Hosts,
    pub(super) format: Format,
    pub(super) agent: String,
    pub(super) tokens: TokenClient,
    pub(super) tls: Tls,
    pub(super) http: Arc<http::Client>,
    /// When CLOSED must have come.
    pub(super) stop_by: StopBy,
    /// Who hears of every change of state.
    pub(super) changes: Option<mpsc::Sender<UpstreamStatus>>,
}

/// Where requests come in.
#[derive(Debug)]
pub(super) struct Inlet {
    pub(super) commands: mpsc::Receiver<Command>,
    /// Publishes that go before all others.
    pub(super) urgent: mpsc::Receiver<Publish<Reply>>,
}

/// See the module.
pub(super) struct Realtime {
    audience: Audience,
    format: Format,
    connection: Connection<Reply>,
    socket: Option<(Generation, WebSocket)>,
    jobs: Jobs,
    stop_by: StopBy,
    inlet: Inlet,
    /// Whether nobody can ask anything any more.
    orphaned: bool,
    subscriptions: Subscriptions,
    status: watch::Sender<UpstreamStatus>,
    timer: Timer,
    /// What was last complained of in the log, until connected again.
    troubled: Option<ConnectionState>,
    /// Scratch space, kept for its capacity.
    inbox: Vec<Command>,
    frames: Vec<Bytes>,
    encoded: BytesMut,
}

/// What a turn waited for.
enum Woken {
    Socket(Incoming),
    Done(Done),
    Commands(usize),
    Urgent(Publish<Reply>),
    Timer,
    Stop,
}

impl Realtime {
    pub(super) fn new(
        audience: Audience,
        config: Config,
        inlet: Inlet,
        status: watch::Sender<UpstreamStatus>,
        subscriptions: Arc<AtomicU64>,
    ) -> Self {
        let hosts = config.hosts.clone();
        let machine = connection::Config::new(hosts, rand::random());
        Self {
            audience,
            format: config.format,
            connection: Connection::new(machine, now()),
            socket: None,
            stop_by: config.stop_by.clone(),
            jobs: Jobs::new(audience, config),
            inlet,
            orphaned: false,
            subscriptions: Subscriptions::new(subscriptions),
            status,
            timer: Timer::new(),
            troubled: None,
            inbox: Vec::new(),
            frames: Vec::new(),
            encoded: BytesMut::new(),
        }
    }

    /// Runs until told to `stop` and the connection is closed.
    pub(super) async fn run(mut self, stop: Shutdown) {
        self.connection.connect(now());
        loop {
            self.carry_out(now());
            self.report_status();
            if self.connection.state() == ConnectionState::Closed {
                return;
            }
            let woken = self.wait(&stop).await;
            self.take(woken, now());
        }
    }

    async fn wait(&mut self, stop: &Shutdown) -> Woken {
        let may_stop = self.connection.state() != ConnectionState::Closing;
        let due = [
            self.connection.poll_timeout(),
            self.subscriptions.poll_timeout(),
        ];
        let due = due.into_iter().flatten().min();
        let may_take = !self.orphaned && self.connection.has_room();
        tokio::select! {
            incoming = next_frames(&mut self.socket, &mut self.frames) => Woken::Socket(incoming),
            done = self.jobs.next() => Woken::Done(done),
            Some(publish) = self.inlet.urgent.recv() => Woken::Urgent(publish),
            count = self.inlet.commands.recv_many(&mut self.inbox, COMMANDS_A_TURN), if may_take => Woken::Commands(count),
            () = stop.begun(), if may_stop => Woken::Stop,
            () = self.timer.wait_until(due) => Woken::Timer,
        }
    }

    fn take(&mut self, woken: Woken, now: Instant) {
        match woken {
            Woken::Socket(Incoming::Heard) => self.take_frames(now),
            Woken::Socket(Incoming::Writable) | Woken::Timer => {}
            Woken::Socket(Incoming::Ended(why)) => self.lost(&why, now),
            Woken::Done(done) => self.take_done(done, now),
            Woken::Commands(0) => self.orphaned = true,
            Woken::Commands(_) => self.take_more_commands(),
            Woken::Urgent(publish) => self.connection.publish_urgently(publish),
            Woken::Stop => self.connection.close(now, self.stop_by.get()),
        }
        self.take_commands(now);
        self.connection.handle_timeout(now);
        self.expire_subscriptions(now);
    }

    fn take_frames(&mut self, now: Instant) {
        let Some((generation, _)) = self.socket else {
            return;
        };
        self.connection.handle_activity(generation, now);
        for frame in std::mem::take(&mut self.frames) {
            match codec::decode(self.format, &frame) {
                Ok(message) => self.connection.handle_message(generation, message, now),
                Err(error) => {
                    warn!(audience = %self.audience, bytes = frame.len(), error = %error,
                        "Ably sent a frame that is no protocol message; reconnecting.");
                    self.lost("a frame was no protocol message", now);
                    return;
                }
            }
        }
    }

    fn lost(&mut self, why: &str, now: Instant) {
        self.frames.clear();
        if let Some((generation, _)) = self.socket.take() {
            self.connection.handle_lost(generation, why, now);
        }
    }

    fn take_done(&mut self, done: Done, now: Instant) {
        match done {
            Done::Token(result) => self.connection.handle_token(result, now),
            Done::Connectivity(is_up) => self.connection.handle_connectivity(is_up, now),
            Done::Opened(generation, Ok(socket)) => {
                self.socket = Some((generation, *socket));
                self.connection.handle_activity(generation, now);
            }
            Done::Opened(generation, Err(failure)) => {
                self.connection.handle_open_failed(generation, failure, now);
            }
        }
    }

    /// Does everything the connection asks for and reports, until it has no
    /// more to say.
    fn carry_out(&mut self, now: Instant) {
        loop {
            while let Some((reply, outcome)) = self.connection.poll_settled() {
                failpoint::reach(Point::AckRead);
                reply.send(result_of(outcome));
            }
            if let Some(event) = self.connection.poll_event() {
                self.take_event(event, now);
            } else if let Some(action) = self.connection.poll_action() {
                self.act(action);
            } else if !self.send_publishes(now) {
                return;
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Send(message) => self.send(&message),
            Action::Open(request) => self.jobs.open(&request),
            Action::FetchToken { refused } => {
                debug!(audience = %self.audience, refused, "Fetching a token.");
                self.jobs.fetch_token(refused);
            }
            Action::CheckConnectivity => self.jobs.check_connectivity(),
            Action::Drop => {
                self.jobs.stop_opening();
                self.frames.clear();
                if let Some((_, socket)) = self.socket.take() {
                    socket.hang_up();
                }
            }
        }
    }

    fn send(&mut self, message: &ProtocolMessage) {
        if let Some((_, socket)) = &mut self.socket {
            let frame = Bytes::from(codec::encode(self.format, message));
            feed(socket, self.format, frame);
        }
    }

    /// Writes what may go out; whether that was anything.
    fn send_publishes(&mut self, now: Instant) -> bool {
        let Some((_, socket)) = &mut self.socket else {
            return false;
        };
        let mut any = false;
        while socket.has_room() {
            let Some(publish) = self.connection.poll_publish(now) else {
                return any;
            };
            any = true;
            let (serial, channel) = (publish.msg_serial, publish.channel);
            let messages = publish.messages;
            messages.put_protocol_message(&mut self.encoded, serial, channel);
            feed(socket, self.format, self.encoded.split().freeze());
            failpoint::reach(Point::PublishFed);
        }
        false
    }
}

/// Frames of the socket, or never without one.
async fn next_frames(
    socket: &mut Option<(Generation, WebSocket)>,
    frames: &mut Vec<Bytes>,
) -> Incoming {
    match socket {
        Some((_, socket)) => socket.next(frames).await,
        None => std::future::pending().await,
    }
}

fn feed(socket: &mut WebSocket, format: Format, frame: Bytes) {
    match format {
        Format::Json => socket.feed_text(frame),
        Format::Msgpack => socket.feed_binary(frame),
    }
}

/// An outcome in the requester's terms.
///
/// What may or may not be published is told so whatever the reason. A retryable
/// failure with 80xxx instead was never written to any connection.
fn result_of(outcome: Outcome) -> Result<(), Failure> {
    match outcome {
        Outcome::Accepted => Ok(()),
        Outcome::Refused(error) => Err(Failure::from_ably(&error, error.is_retryable())),
        Outcome::NotSent(error) => Err(Failure::from_ably(&error, true)),
        Outcome::Unknown(error) => Err(Failure {
            code: Some(TIMED_OUT),
            ..Failure::from_ably(&error, true)
        }),
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
