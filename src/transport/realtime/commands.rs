//! What sessions ask of a connection.

use std::time::Instant;

use super::Realtime;
use crate::transport::reply::Failure;
use crate::transport::upstream::Command;

/// Commands taken in one turn.
pub(super) const COMMANDS_A_TURN: usize = 256;

impl Realtime {
    /// Takes along what came in meanwhile: it costs no further turn.
    pub(super) fn take_more_commands(&mut self) {
        while self.inbox.len() < COMMANDS_A_TURN {
            match self.inlet.commands.try_recv() {
                Ok(command) => self.inbox.push(command),
                Err(_) => return,
            }
        }
    }

    pub(super) fn take_commands(&mut self, now: Instant) {
        let mut inbox = std::mem::take(&mut self.inbox);
        for command in inbox.drain(..) {
            self.take_command(command, now);
        }
        self.inbox = inbox;
    }

    fn take_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Publish(publish) => self.connection.publish(publish),
            Command::Subscribe {
                session,
                wish,
                sink,
                deadline,
                reply,
            } => {
                let channel = wish.channel.clone();
                let waiting = (reply, deadline);
                let left = self.subscriptions.add(session, wish, sink, waiting);
                self.release(left, now);
                self.connection.attach(&channel, now);
            }
            Command::Unsubscribe {
                session,
                subscription_id,
                reply,
            } => {
                let left = self.subscriptions.remove(session, &subscription_id);
                self.release(left, now);
                reply.send(Ok(()));
            }
            Command::Leave(session) => {
                let left = self.subscriptions.leave(session);
                self.release(left, now);
            }
        }
    }

    fn release(&mut self, channels: impl IntoIterator<Item = Box<str>>, now: Instant) {
        for channel in channels {
            self.connection.release(&channel, now);
        }
    }

    pub(super) fn expire_subscriptions(&mut self, now: Instant) {
        if self.subscriptions.poll_timeout().is_none_or(|at| now < at) {
            return;
        }
        let state = self.connection.state().name();
        let failure = Failure {
            text: format!("timed out: not attached, connection is {state}").into(),
            code: Some(90_007),
            retryable: true,
        };
        let left = self.subscriptions.expire(now, &failure);
        self.release(left, now);
    }
}
