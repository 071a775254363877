//! The subscribing half: channels, their attachments, and where in each
//! channel we are.
//!
//! ```text
//!                    ┌───────────── connected: ATTACH with the serial ─────────────┐
//!                    ▼                                                             │
//! attach ──▶ attaching ──ATTACHED──▶ attached ──DETACHED──▶ attaching              │
//!               │  │                    │                                          │
//!               │  └─timeout, DETACHED──┼──connection suspended──▶ suspended ──────┤
//!               └────────ERROR──────────┴──connection failed─────▶ failed ─────────┘
//! release ──▶ detaching ──DETACHED──▶ forgotten
//! ```
//!
//! The channel serial moves only with messages that were handed out: one that
//! comes before its ATTACHED is held back, not dropped with its serial kept
//! (RTL17 would lose it). A failed channel that is still wanted is tried again
//! slowly; the specification leaves that to the application, and here there
//! is nobody else.

mod one;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::chance::Chance;
use super::event::{Event, Out};
use super::retry::{self, REQUEST_TIMEOUT};
use crate::protocol::ably::action::Action as Wire;
use crate::protocol::ably::error::ErrorInfo;
use crate::protocol::ably::message::ProtocolMessage;
use one::{Channel, Phase, about, handle_attached, handle_content, may_subscribe, send_attach};

/// Delays of the retries.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChannelTimers {
    /// Base of the retries of a suspended channel (TO3l7).
    pub(super) retry: Duration,
    /// Between retries of a channel the server refused.
    pub(super) refused_retry: Duration,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Channels {
    by_name: BTreeMap<Box<str>, Channel>,
    timers: ChannelTimers,
    connected: bool,
    chance: Chance,
}

impl Channels {
    pub(super) fn new(timers: ChannelTimers, seed: u64) -> Self {
        Self {
            by_name: BTreeMap::new(),
            timers,
            connected: false,
            chance: Chance::new(seed),
        }
    }

    /// Wants `name` attached; `Attached` or `Unattached` will be reported.
    pub(super) fn attach(&mut self, name: &str, now: Instant, out: &mut Out) {
        let connected = self.connected;
        let channel = self.by_name.entry(name.into()).or_insert_with(Channel::new);
        match &mut channel.phase {
            Phase::Attached => out.report(Event::Attached {
                channel: name.into(),
            }),
            Phase::Detaching { wanted_again, .. } => *wanted_again = true,
            Phase::Attaching { answer_by: Some(_) } => {}
            _ if connected => send_attach(name, channel, now, out),
            phase => *phase = Phase::Attaching { answer_by: None },
        }
    }

    /// Wants no more messages of `name`.
    pub(super) fn release(&mut self, name: &str, now: Instant, out: &mut Out) {
        let Some(channel) = self.by_name.get_mut(name) else {
            return;
        };
        match &mut channel.phase {
            Phase::Attached | Phase::Attaching { answer_by: Some(_) } => {
                channel.held.clear();
                channel.phase = Phase::Detaching {
                    answer_by: self.connected.then(|| now + REQUEST_TIMEOUT),
                    wanted_again: false,
                };
                if self.connected {
                    out.send(about(Wire::Detach, name));
                }
            }
            Phase::Detaching { wanted_again, .. } => *wanted_again = false,
            _ => {
                self.by_name.remove(name);
            }
        }
    }

    /// Why a publish to `name` is refused here and now (RTL6c4).
    pub(super) fn refusal(&self, name: &str) -> Option<ErrorInfo> {
        match self.by_name.get(name)?.phase {
            Phase::Suspended { .. } => Some(ErrorInfo::new(90_007, "channel is suspended")),
            Phase::Failed { .. } => Some(ErrorInfo::new(90_001, "channel has failed")),
            _ => None,
        }
    }

    /// CONNECTED, resumed or not: everything is attached again (RTL3d), and
    /// what was to be detached is told so again (RTN19b).
    pub(super) fn connected(&mut self, now: Instant, out: &mut Out) {
        self.connected = true;
        for (name, channel) in &mut self.by_name {
            if let Phase::Detaching {
                answer_by,
                wanted_again: false,
            } = &mut channel.phase
            {
                *answer_by = Some(now + REQUEST_TIMEOUT);
                out.send(about(Wire::Detach, name));
                continue;
            }
            send_attach(name, channel, now, out);
        }
    }

    /// The transport is gone; channels stay as they are (RTL3e), but nothing
    /// is answered any more, so nothing is timed.
    pub(super) fn disconnected(&mut self) {
        self.connected = false;
        for channel in self.by_name.values_mut() {
            match &mut channel.phase {
                Phase::Attaching { answer_by } | Phase::Detaching { answer_by, .. } => {
                    *answer_by = None;
                }
                Phase::Suspended { retry_at } | Phase::Failed { retry_at } => *retry_at = None,
                Phase::Attached => {}
            }
        }
    }

    /// The connection is suspended (RTL3c).
    pub(super) fn suspend_all(&mut self, reason: &ErrorInfo, out: &mut Out) {
        self.leave_all(reason, out, false);
    }

    /// The connection has failed (RTL3a).
    pub(super) fn fail_all(&mut self, reason: &ErrorInfo, out: &mut Out) {
        self.leave_all(reason, out, true);
    }

    fn leave_all(&mut self, reason: &ErrorInfo, out: &mut Out, failed: bool) {
        self.connected = false;
        self.by_name.retain(|_, channel| {
            !matches!(
                channel.phase,
                Phase::Detaching {
                    wanted_again: false,
                    ..
                }
            )
        });
        for (name, channel) in &mut self.by_name {
            channel.held.clear();
            channel.phase = if failed {
                channel.serial = None;
                Phase::Failed { retry_at: None }
            } else {
                Phase::Suspended { retry_at: None }
            };
            out.report(Event::Unattached {
                channel: name.clone(),
                reason: reason.clone(),
                refused: false,
            });
        }
    }

    /// The connection is closed: nothing is attached or wanted.
    pub(super) fn clear(&mut self) {
        self.connected = false;
        self.by_name.clear();
    }

    /// ATTACHED, DETACHED, ERROR with a channel, MESSAGE, or another message
    /// that moves a channel's serial.
    pub(super) fn handle_message(&mut self, message: ProtocolMessage, now: Instant, out: &mut Out) {
        let name: Box<str> = message.channel.as_deref().unwrap_or_default().into();
        let Some(channel) = self.by_name.get_mut(&name) else {
            if message.action == Wire::Attached {
                out.send(about(Wire::Detach, &name));
            }
            return;
        };
        match message.action {
            Wire::Attached if !may_subscribe(&message) => {
                // Attached for publishing alone: no message would ever come.
                out.send(about(Wire::Detach, &name));
                let error = ErrorInfo::with_status(40_160, 401, "subscribing is not allowed here");
                self.handle_error(&name, Some(error), now, out);
            }
            Wire::Attached => handle_attached(&name, channel, &message, out),
            Wire::Detached => self.handle_detached(&name, message.error, now, out),
            Wire::Error => self.handle_error(&name, message.error, now, out),
            _ => handle_content(channel, message, out),
        }
    }

    fn handle_detached(
        &mut self,
        name: &str,
        error: Option<ErrorInfo>,
        now: Instant,
        out: &mut Out,
    ) {
        let Some(channel) = self.by_name.get_mut(name) else {
            return;
        };
        match channel.phase {
            Phase::Detaching {
                wanted_again: false,
                ..
            } => {
                self.by_name.remove(name);
            }
            Phase::Detaching { .. } => {
                *channel = Channel::new();
                send_attach(name, channel, now, out);
            }
            Phase::Attached | Phase::Suspended { .. } => send_attach(name, channel, now, out),
            Phase::Attaching { .. } => {
                let reason = error.unwrap_or_else(|| ErrorInfo::new(90_002, "attach was refused"));
                self.suspend(name, reason, now, out);
            }
            Phase::Failed { .. } => {}
        }
    }

    fn handle_error(&mut self, name: &str, error: Option<ErrorInfo>, now: Instant, out: &mut Out) {
        let Some(channel) = self.by_name.get_mut(name) else {
            return;
        };
        if let Phase::Detaching {
            wanted_again: false,
            ..
        } = channel.phase
        {
            self.by_name.remove(name);
            return;
        }
        channel.held.clear();
        channel.serial = None;
        channel.phase = Phase::Failed {
            retry_at: Some(now + self.timers.refused_retry),
        };
        out.report(Event::Unattached {
            channel: name.into(),
            reason: error.unwrap_or_else(|| ErrorInfo::new(90_000, "channel has failed")),
            refused: true,
        });
    }

    fn suspend(&mut self, name: &str, reason: ErrorInfo, now: Instant, out: &mut Out) {
        let Some(channel) = self.by_name.get_mut(name) else {
            return;
        };
        channel.retries += 1;
        let wait = retry::delay(self.timers.retry, channel.retries, &mut self.chance);
        channel.held.clear();
        channel.phase = Phase::Suspended {
            retry_at: Some(now + wait),
        };
        out.report(Event::Unattached {
            channel: name.into(),
            reason,
            refused: false,
        });
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, out: &mut Out) {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return;
        }
        let is_due = |channel: &Channel| channel.retry_at().is_some_and(|at| at <= now);
        let due: Vec<Box<str>> = self
            .by_name
            .iter()
            .filter(|(_, channel)| is_due(channel))
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            self.handle_channel_timeout(&name, now, out);
        }
    }

    fn handle_channel_timeout(&mut self, name: &str, now: Instant, out: &mut Out) {
        let Some(channel) = self.by_name.get_mut(name) else {
            return;
        };
        match channel.phase {
            Phase::Attaching { .. } => {
                let reason = ErrorInfo::new(90_007, "attach was not answered in time");
                self.suspend(name, reason, now, out);
            }
            Phase::Detaching { wanted_again, .. } if !wanted_again => {
                self.by_name.remove(name);
            }
            Phase::Attached => {}
            _ => send_attach(name, channel, now, out),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.by_name.values().filter_map(Channel::retry_at).min()
    }
}

#[cfg(test)]
mod tests;
