//! One test a rule, in virtual time, against a scripted server.

mod auth;
mod connecting;
mod losing;
mod publishing;

use super::super::event::{OpenFailure, OpenRequest, Token};
use super::*;
use crate::protocol::ably::auth::AccessToken;
use crate::protocol::ably::codec::Format;
use crate::protocol::ably::message::ConnectionDetails;
use crate::protocol::ably::publish::{Draft, Messages};

/// A connection and everything it has asked for and reported.
struct Rig {
    connection: Connection<u32>,
    now: Instant,
    /// Numbers the tokens handed out.
    tokens: u32,
    events: Vec<Event>,
    sent: Vec<ProtocolMessage>,
    /// Serials of publishes written to the present websocket.
    written: Vec<u64>,
    asks: Vec<Ask>,
}

/// What the connection waits for.
#[derive(Debug)]
enum Ask {
    Token { refused: bool },
    Open(Box<OpenRequest>),
    Connectivity,
}

impl Rig {
    fn new(endpoint: &str) -> Self {
        let now = Instant::now();
        let config = Config {
            disconnected_retry: Duration::from_secs(15),
            suspended_retry: Duration::from_secs(30),
            ..Config::new(Hosts::parse(endpoint).expect("an endpoint"), 7)
        };
        Self {
            connection: Connection::new(config, now),
            now,
            tokens: 0,
            events: Vec::new(),
            sent: Vec::new(),
            written: Vec::new(),
            asks: Vec::new(),
        }
    }

    /// Connecting, with a token, to the first host.
    fn opening(endpoint: &str) -> Self {
        let mut rig = Self::new(endpoint);
        rig.connection.connect(rig.now);
        rig.give_token();
        rig
    }

    /// Connected as connection `c1`.
    fn connected() -> Self {
        Self::connected_to("localhost")
    }

    fn connected_to(endpoint: &str) -> Self {
        let mut rig = Self::opening(endpoint);
        rig.open();
        rig.receive(connected("c1"));
        // Later losses are not paced by this start.
        rig.advance(5);
        rig.events.clear();
        rig
    }

    /// Carries out what the connection asks for, as far as that is writing.
    fn settle(&mut self) {
        loop {
            if let Some(action) = self.connection.poll_action() {
                match action {
                    Action::FetchToken { refused } => self.asks.push(Ask::Token { refused }),
                    Action::Open(request) => self.asks.push(Ask::Open(request)),
                    Action::CheckConnectivity => self.asks.push(Ask::Connectivity),
                    Action::Send(message) => self.sent.push(*message),
                    Action::Drop => self.written.clear(),
                }
            } else if let Some(event) = self.connection.poll_event() {
                self.events.push(event);
            } else if let Some(outgoing) = self.connection.poll_publish(self.now) {
                self.written.push(outgoing.msg_serial);
            } else {
                return;
            }
        }
    }

    /// The only thing the connection waits for.
    fn ask(&mut self) -> Ask {
        self.settle();
        assert_eq!(self.asks.len(), 1, "{:?}", self.asks);
        self.asks.remove(0)
    }

    fn asks_nothing(&mut self) -> bool {
        self.settle();
        self.asks.is_empty()
    }

    /// Answers the fetch that is due with a new token of one hour; whether the
    /// last one had been refused.
    fn give_token(&mut self) -> bool {
        let Ask::Token { refused } = self.ask() else {
            panic!("no token was asked for");
        };
        self.tokens += 1;
        self.token(Ok(token(self.tokens, 3600)));
        refused
    }

    fn token(&mut self, result: Result<Token, TokenFailure>) {
        self.connection.handle_token(result, self.now);
        self.settle();
    }

    fn fail_token(&mut self, failure: TokenFailure) {
        let Ask::Token { .. } = self.ask() else {
            panic!("no token was asked for");
        };
        self.token(Err(failure));
    }

    /// The websocket that is due; it counts as opened.
    fn open(&mut self) -> OpenRequest {
        match self.ask() {
            Ask::Open(request) => *request,
            other => panic!("no websocket was asked for: {other:?}"),
        }
    }

    /// The websocket that is due cannot be opened; its host.
    fn refuse_open(&mut self, failure: OpenFailure) -> String {
        let request = self.open();
        let generation = request.generation;
        self.connection
            .handle_open_failed(generation, failure, self.now);
        self.settle();
        request.host.name
    }

    fn connectivity(&mut self, is_up: bool) {
        let Ask::Connectivity = self.ask() else {
            panic!("nobody asked");
        };
        self.connection.handle_connectivity(is_up, self.now);
        self.settle();
    }

    fn receive(&mut self, message: ProtocolMessage) {
        let generation = self.connection.generation;
        self.connection
            .handle_message(generation, message, self.now);
        self.settle();
    }

    fn lose(&mut self) {
        let generation = self.connection.generation;
        self.connection
            .handle_lost(generation, "reset by peer", self.now);
        self.settle();
    }

    /// Lets time pass, waking the connection whenever it wants to be.
    fn advance(&mut self, secs: u64) {
        let end = self.now + Duration::from_secs(secs);
        while let Some(at) = self.connection.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.connection.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    /// Goes to the next thing that is due; how long that took.
    fn wake(&mut self) -> Duration {
        let at = self.connection.poll_timeout().expect("something is due");
        let waited = at.saturating_duration_since(self.now);
        self.now = at.max(self.now);
        self.connection.handle_timeout(self.now);
        self.settle();
        waited
    }

    fn publish(&mut self, tag: u32) {
        self.publish_with(tag, "aGk=", 60);
    }

    fn publish_with(&mut self, tag: u32, payload_b64: &str, patience: u64) {
        let draft = Draft {
            name: "e",
            payload_b64,
            ..Draft::default()
        };
        self.connection.publish(Publish {
            channel: "c".into(),
            messages: Messages::encode(Format::Msgpack, [draft]).expect("base64"),
            deadline: self.now + Duration::from_secs(patience),
            tag,
        });
        self.settle();
    }

    fn settled(&mut self) -> Vec<(u32, Outcome)> {
        std::iter::from_fn(|| self.connection.poll_settled()).collect()
    }

    fn state(&self) -> ConnectionState {
        self.connection.state()
    }

    /// The states gone through since last asked.
    fn states(&mut self) -> Vec<ConnectionState> {
        let events = std::mem::take(&mut self.events);
        let states = events.into_iter().filter_map(|event| match event {
            Event::State { state, .. } => Some(state),
            _ => None,
        });
        states.collect()
    }
}

fn token(number: u32, secs: u64) -> Token {
    Token {
        secret: AccessToken::new(format!("token-{number}")),
        valid_for: Some(Duration::from_secs(secs)),
    }
}

fn connected(id: &str) -> ProtocolMessage {
    ProtocolMessage {
        connection_id: Some(id.to_owned()),
        connection_details: Some(ConnectionDetails {
            connection_key: Some(format!("{id}!key")),
            max_inbound_rate: Some(1000),
            ..ConnectionDetails::default()
        }),
        ..ProtocolMessage::new(Wire::Connected)
    }
}

fn failed_with(action: Wire, code: u32, status: u16) -> ProtocolMessage {
    ProtocolMessage {
        error: Some(ErrorInfo::with_status(code, status, "no")),
        ..ProtocolMessage::new(action)
    }
}

fn ack(serial: u64, count: u32) -> ProtocolMessage {
    ProtocolMessage {
        msg_serial: Some(serial),
        count: Some(count),
        ..ProtocolMessage::new(Wire::Ack)
    }
}

fn unreachable() -> OpenFailure {
    OpenFailure::Unreachable("refused".to_owned())
}
