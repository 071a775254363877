//! Carrying out what a client asks, or saying why not.

use tokio::sync::mpsc;
use tracing::debug;

use super::{Session, now};
use crate::ably::outbox::Publish;
use crate::protocol::token::Audience;
use crate::transport::objects::ObjectSet;
use crate::transport::reply::{Failure, Reply};
use crate::transport::request::{Job, Order, Rejection};
use crate::transport::upstream::Command;
use crate::transport::wire;

impl<R, W> Session<R, W> {
    pub(super) fn take_request(&mut self, read: Result<Order, Rejection>) {
        match read {
            Ok(order) => self.carry_out(order),
            Err(rejection) => self.reject(&rejection),
        }
    }

    fn reject(&mut self, rejection: &Rejection) {
        let Rejection {
            op,
            request_id,
            error,
        } = rejection;
        if request_id.is_empty() && *op == wire::ERROR {
            debug!(
                session = self.id.0,
                error, "Skipped a line that names no request."
            );
            return;
        }
        let failure = Failure::invalid(error.clone());
        wire::put_answer(&mut self.output, op, request_id, Err(&failure));
    }

    fn carry_out(&mut self, order: Order) {
        let Order {
            request_id,
            answer_op,
            timeout,
            job,
        } = order;
        match job {
            Job::Hello => wire::put_hello(&mut self.output, &request_id, self.lines.line_max()),
            Job::Status => wire::put_status(&mut self.output, &request_id, self.shared.status()),
            Job::Publish {
                audience,
                channel,
                messages,
            } => {
                let reply = self.open(answer_op, request_id, messages.encoded_len());
                let publish = Publish {
                    channel,
                    messages,
                    deadline: now() + timeout,
                    tag: reply,
                };
                self.command(audience, Command::Publish(publish));
            }
            Job::ObjectSet {
                channel,
                key,
                value,
                id,
            } => {
                let reply = self.open(answer_op, request_id, value.len());
                self.shared.objects.offer(ObjectSet {
                    channel,
                    key,
                    value,
                    id,
                    deadline: now() + timeout,
                    reply,
                });
            }
            Job::Subscribe(wish) => {
                self.subscribed = true;
                let command = Command::Subscribe {
                    session: self.id,
                    sink: self.deliver_to.clone(),
                    deadline: now() + timeout,
                    reply: self.open(answer_op, request_id, 0),
                    wish,
                };
                self.command(Audience::DaemonNagato, command);
            }
            // No connection is opened for somebody who never subscribed.
            Job::Unsubscribe { .. } if !self.subscribed => {
                wire::put_answer(&mut self.output, answer_op, &request_id, Ok(()));
            }
            Job::Unsubscribe { subscription_id } => {
                let command = Command::Unsubscribe {
                    session: self.id,
                    subscription_id,
                    reply: self.open(answer_op, request_id, 0),
                };
                self.command(Audience::DaemonNagato, command);
            }
        }
    }

    fn open(&mut self, op: &'static str, request_id: Box<str>, bytes: usize) -> Reply {
        let cost = bytes + request_id.len();
        self.open += 1;
        self.open_bytes += cost;
        Reply::new(self.answer_to.clone(), op, request_id, cost)
    }

    fn command(&mut self, audience: Audience, command: Command) {
        let upstream = self.shared.upstreams.of(audience);
        match upstream.commands.try_send(command) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(command)) => {
                self.blocked = Some((upstream.clone(), command));
            }
            // Dropping the command answers it: the transport is stopping.
            Err(mpsc::error::TrySendError::Closed(command)) => drop(command),
        }
    }
}
