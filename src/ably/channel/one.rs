//! One channel: its attachment, its place, and what it holds back.

use std::time::Instant;

use super::super::event::{Event, Out};
use super::super::retry::REQUEST_TIMEOUT;
use crate::protocol::ably::action::Action as Wire;
use crate::protocol::ably::message::{ProtocolMessage, flags};

/// Messages held back while a channel is attaching; more are given up and
/// reported as lost continuity.
pub(super) const HELD_MAX: usize = 256;

#[derive(Debug)]
pub(super) enum Phase {
    /// ATTACH was sent, or waits for a connection.
    Attaching {
        answer_by: Option<Instant>,
    },
    Attached,
    /// DETACH was sent, or waits for a connection.
    Detaching {
        answer_by: Option<Instant>,
        wanted_again: bool,
    },
    /// Tried again at `retry_at`, or with the next connection.
    Suspended {
        retry_at: Option<Instant>,
    },
    Failed {
        retry_at: Option<Instant>,
    },
}

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) phase: Phase,
    /// The last message handed out, in the server's terms (RTL15b).
    pub(super) serial: Option<String>,
    /// Whether a gap can have come about.
    pub(super) was_attached: bool,
    pub(super) retries: u32,
    pub(super) held: Vec<ProtocolMessage>,
    pub(super) held_too_many: bool,
}

impl Channel {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Attaching { answer_by: None },
            serial: None,
            was_attached: false,
            retries: 0,
            held: Vec::new(),
            held_too_many: false,
        }
    }

    pub(super) fn advance(&mut self, serial: Option<&String>) {
        if let Some(serial) = serial {
            self.serial = Some(serial.clone());
        }
    }

    pub(super) fn hold(&mut self, message: ProtocolMessage) {
        if self.held.len() < HELD_MAX {
            self.held.push(message);
        } else {
            self.held_too_many = true;
        }
    }

    pub(super) fn retry_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Attaching { answer_by } | Phase::Detaching { answer_by, .. } => answer_by,
            Phase::Suspended { retry_at } | Phase::Failed { retry_at } => retry_at,
            Phase::Attached => None,
        }
    }
}

pub(super) fn about(action: Wire, channel: &str) -> ProtocolMessage {
    ProtocolMessage {
        channel: Some(channel.to_owned()),
        ..ProtocolMessage::new(action)
    }
}

/// Whether an ATTACHED grants messages; one that names no modes grants what was
/// asked for.
pub(super) fn may_subscribe(attached: &ProtocolMessage) -> bool {
    let granted = attached.flags.unwrap_or(0) & flags::MODES;
    granted == 0 || granted & flags::SUBSCRIBE != 0
}

/// What a channel is attached for: messages, but no presence or objects; and
/// publishing, for a channel that is attached takes publishes in its modes
/// only (40165).
const MODES: u64 = flags::SUBSCRIBE | flags::PUBLISH;

pub(super) fn send_attach(name: &str, channel: &mut Channel, now: Instant, out: &mut Out) {
    channel.phase = Phase::Attaching {
        answer_by: Some(now + REQUEST_TIMEOUT),
    };
    out.send(ProtocolMessage {
        channel_serial: channel.serial.clone(),
        flags: Some(MODES),
        ..about(Wire::Attach, name)
    });
}

pub(super) fn handle_attached(
    name: &str,
    channel: &mut Channel,
    message: &ProtocolMessage,
    out: &mut Out,
) {
    if let Phase::Detaching { wanted_again, .. } = channel.phase {
        if !wanted_again {
            out.send(about(Wire::Detach, name));
        }
        return;
    }
    let was_waiting = !matches!(channel.phase, Phase::Attached);
    channel.phase = Phase::Attached;
    channel.retries = 0;
    channel.advance(message.channel_serial.as_ref());
    let gap = channel.was_attached && !message.has_flags(flags::RESUMED);
    channel.was_attached = true;
    if gap || std::mem::take(&mut channel.held_too_many) {
        out.report(Event::ContinuityLost {
            channel: name.into(),
            reason: message.error.clone(),
        });
    }
    if was_waiting {
        out.report(Event::Attached {
            channel: name.into(),
        });
    }
    for message in std::mem::take(&mut channel.held) {
        handle_content(channel, message, out);
    }
}

pub(super) fn handle_content(channel: &mut Channel, message: ProtocolMessage, out: &mut Out) {
    match channel.phase {
        Phase::Attached => {
            channel.advance(message.channel_serial.as_ref());
            if message.action == Wire::Message {
                out.report(Event::Messages(Box::new(message)));
            }
        }
        Phase::Attaching { .. } => channel.hold(message),
        _ => {}
    }
}
