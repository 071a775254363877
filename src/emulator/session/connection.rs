//! One connection: what each frame of its client means.
//!
//! Pure but for the hub it is handed: no socket, no clock. Answers go into the
//! outbox in the order of the frames, so ACKs and NACKs come in the order of
//! their serials.

use std::collections::HashMap;
use std::sync::Arc;

use crate::emulator::access::{Credentials, Grant, authenticate};
use crate::emulator::channel::SessionId;
use crate::emulator::hub::{Connected, Hub, Published, Publisher};
use crate::emulator::limits::{
    CONNECTION_STATE_TTL, FRAME_BYTES_MAX, MAX_IDLE_INTERVAL, RateLimit,
};
use crate::emulator::serial::SITE_CODE;
use crate::protocol::ably::auth::Operation;
use crate::protocol::ably::error::ErrorInfo;
use crate::protocol::ably::message::{
    Action, ConnectionDetails, ProtocolMessage, PublishResult, flags,
};

use super::attach::Attachment;
use super::{Outbox, Params, disconnected};

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// By CLOSE: it cannot be resumed.
    Closed,
    /// In any other way: its client may come back.
    Lost,
}

pub(super) struct Connection {
    pub(super) session: SessionId,
    pub(super) id: Arc<str>,
    pub(super) grant: Grant,
    pub(super) attachments: HashMap<Arc<str>, Attachment>,
    pub(super) wants_echo: bool,
    grace_ms: i64,
    /// Serials below this one have been answered on this socket.
    next_serial: u64,
    rate: RateLimit,
    has_confirmed: bool,
}

impl Connection {
    pub(super) fn new(
        session: SessionId,
        connected: &Connected,
        grant: Grant,
        params: &Params,
        hub: &Hub,
        now_ms: i64,
    ) -> Self {
        Self {
            session,
            id: connected.id.clone(),
            grant,
            attachments: HashMap::new(),
            wants_echo: params.wants_echo,
            grace_ms: params.grace_ms,
            next_serial: 0,
            rate: RateLimit::new(hub.limits.inbound_rate, now_ms),
            has_confirmed: false,
        }
    }

    pub(super) fn session(&self) -> SessionId {
        self.session
    }

    /// When its token expires.
    pub(super) fn expires_ms(&self) -> Option<i64> {
        self.grant.expires_ms
    }

    fn client_id(&self) -> &str {
        self.grant.identity.client_id().unwrap_or_default()
    }

    /// Says CONNECTED: first of all, and after AUTH.
    pub(super) fn push_connected(
        &self,
        hub: &Hub,
        key: String,
        error: Option<ErrorInfo>,
        outbox: &mut Outbox,
    ) {
        let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).ok();
        let details = ConnectionDetails {
            client_id: self.grant.identity.client_id().map(ToOwned::to_owned),
            connection_key: Some(key.clone()),
            max_message_size: u64::try_from(hub.limits.message_bytes).ok(),
            max_frame_size: u64::try_from(FRAME_BYTES_MAX).ok(),
            max_inbound_rate: Some(u64::from(hub.limits.inbound_rate)),
            connection_state_ttl: millis(CONNECTION_STATE_TTL),
            max_idle_interval: millis(MAX_IDLE_INTERVAL),
            server_id: Some("falco-emulator".to_owned()),
            site_code: Some(SITE_CODE.to_owned()),
            ..ConnectionDetails::default()
        };
        outbox.push(&ProtocolMessage {
            connection_id: Some(self.id.to_string()),
            connection_key: Some(key),
            connection_details: Some(details),
            error,
            ..ProtocolMessage::new(Action::Connected)
        });
    }

    /// Answers one frame.
    pub(super) fn handle(
        &mut self,
        hub: &mut Hub,
        message: ProtocolMessage,
        now_ms: i64,
        outbox: &mut Outbox,
    ) -> Option<Ending> {
        if !std::mem::replace(&mut self.has_confirmed, true) {
            hub.confirm_key(&self.id);
        }
        match message.action {
            Action::Message | Action::Presence | Action::Object | Action::Annotation => {
                self.handle_publish(hub, message, now_ms, outbox);
            }
            Action::Heartbeat => outbox.push(&ProtocolMessage {
                id: message.id,
                ..ProtocolMessage::new(Action::Heartbeat)
            }),
            Action::Attach => self.handle_attach(hub, &message, now_ms, outbox),
            Action::Detach => self.handle_detach(hub, message, outbox),
            Action::Sync => self.push_sync(hub, message.channel.as_deref(), outbox),
            Action::Auth => return self.handle_auth(hub, message, now_ms, outbox),
            Action::Close => {
                outbox.push(&ProtocolMessage::new(Action::Closed));
                return Some(Ending::Closed);
            }
            Action::Disconnect => {
                outbox.push(&disconnected(ErrorInfo::with_status(
                    80003,
                    400,
                    "disconnected",
                )));
                return Some(Ending::Lost);
            }
            _ => {}
        }
        None
    }

    /// Publishes and says ACK or NACK; a serial that has been answered on this
    /// socket is not answered again.
    fn handle_publish(
        &mut self,
        hub: &mut Hub,
        message: ProtocolMessage,
        now_ms: i64,
        outbox: &mut Outbox,
    ) {
        let serial = message.msg_serial.unwrap_or(self.next_serial);
        if serial < self.next_serial {
            return;
        }
        self.next_serial = serial.saturating_add(1);
        match self.publish(hub, message, serial, now_ms) {
            Ok(published) => {
                let serials = (0..published.count)
                    .map(|index| Some(hub.series.message_serial(published.position, index)));
                outbox.push(&ProtocolMessage {
                    msg_serial: Some(serial),
                    count: Some(1),
                    res: vec![PublishResult {
                        serials: serials.collect(),
                    }],
                    ..ProtocolMessage::new(Action::Ack)
                });
            }
            Err(error) => outbox.push(&ProtocolMessage {
                msg_serial: Some(serial),
                count: Some(1),
                error: Some(error),
                ..ProtocolMessage::new(Action::Nack)
            }),
        }
    }

    fn publish(
        &mut self,
        hub: &mut Hub,
        message: ProtocolMessage,
        serial: u64,
        now_ms: i64,
    ) -> Result<Published, ErrorInfo> {
        let count = message.messages.len() + message.presence.len() + message.state.len();
        if !self.rate.take(count.max(1), now_ms) {
            return Err(ErrorInfo::new(
                42911,
                "too many messages a second on this connection",
            ));
        }
        let channel = message.channel.unwrap_or_default();
        let id = format!("{}:{serial}", self.id);
        let by = Publisher {
            grant: &self.grant,
            connection_id: Some(&self.id),
        };
        match message.action {
            Action::Message => {
                self.require(Operation::Publish, flags::PUBLISH, &channel)?;
                hub.publish(by, &channel, id, message.messages, now_ms)
            }
            Action::Presence => {
                self.require(Operation::Presence, flags::PRESENCE, &channel)?;
                let events = message.presence;
                let position = hub.publish_presence(by, &channel, &id, events, now_ms)?;
                Ok(Published { position, count: 0 })
            }
            Action::Object => {
                self.require(Operation::ObjectPublish, flags::OBJECT_PUBLISH, &channel)?;
                hub.publish_objects(by, &channel, id, message.state, now_ms)
            }
            _ => Err(ErrorInfo::new(40000, "the emulator has no annotations")),
        }
    }

    /// The capability must allow `operation`, and a channel that is attached
    /// must be attached with its mode.
    fn require(&self, operation: Operation, mode: u64, channel: &str) -> Result<(), ErrorInfo> {
        self.grant.require(operation, channel)?;
        match self.attachments.get(channel) {
            Some(attachment) if attachment.modes & mode == 0 => Err(ErrorInfo::new(
                40165,
                "the channel was attached without the mode for this",
            )),
            _ => Ok(()),
        }
    }

    /// Takes a new token. One that is refused ends the connection.
    fn handle_auth(
        &mut self,
        hub: &mut Hub,
        message: ProtocolMessage,
        now_ms: i64,
        outbox: &mut Outbox,
    ) -> Option<Ending> {
        let token = message
            .auth
            .map(|auth| Credentials::Token(auth.access_token));
        let own_id = self.grant.identity.client_id().filter(|id| *id != "*");
        let granted = authenticate(&hub.key, token.as_ref(), now_ms).and_then(|mut grant| {
            grant.identity = grant.identity.assume(own_id)?;
            Ok(grant)
        });
        match granted {
            Ok(grant) => self.grant = grant,
            Err(error) => {
                outbox.push_error(None, error);
                return Some(Ending::Lost);
            }
        }
        let key = hub.next_key(&self.id, self.client_id());
        self.push_connected(hub, key, None, outbox);
        self.recheck_attachments(hub, outbox);
        None
    }

    /// Gives up what the connection holds in the hub.
    pub(super) fn end(&mut self, hub: &mut Hub, ending: Ending, now_ms: i64) {
        hub.close_session(self.session, self.attachments.keys());
        match ending {
            Ending::Closed => hub.close_connection(&self.id, self.session, now_ms),
            Ending::Lost => hub.lose_connection(&self.id, self.session, self.grace_ms, now_ms),
        }
    }
}
