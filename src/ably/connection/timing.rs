//! What is due when.

use std::time::Instant;

use super::super::retry::REQUEST_TIMEOUT;
use super::{Connection, ErrorInfo, State};
use crate::protocol::ipc::TIMED_OUT;

impl<T> Connection<T> {
    /// When [`Connection::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let open = matches!(self.state, State::Connected);
        let suspend_at = self.suspend_at.filter(|_| !open);
        [
            self.state_timeout(),
            suspend_at,
            self.auth.renew_at().filter(|_| open),
            self.channels.poll_timeout().filter(|_| open),
            self.outbox.poll_timeout(open),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn state_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Initialized | State::Closed => None,
            State::Connecting(attempt) => Some(attempt.answer_by),
            State::Connected => self.silent_until(),
            State::Disconnected { retry_at }
            | State::Suspended { retry_at }
            | State::Failed { retry_at } => Some(*retry_at),
            State::Closing { deadline } => Some(*deadline),
        }
    }

    /// When a server that was not heard since counts as gone (RTN23a).
    fn silent_until(&self) -> Option<Instant> {
        let idle = self.limits.idle;
        (!idle.is_zero()).then(|| self.heard_at + idle + REQUEST_TIMEOUT)
    }

    /// Does what is due at `now`.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.expire_publishes(now);
        if self.suspend_at.is_some_and(|at| at <= now)
            && matches!(
                self.state,
                State::Connecting(_) | State::Disconnected { .. }
            )
        {
            let text = "disconnected for longer than the server keeps our state";
            let error = self.last_error.clone();
            self.wait_suspended(error.unwrap_or_else(|| ErrorInfo::new(80_002, text)), now);
            return;
        }
        if self.state_timeout().is_some_and(|at| at <= now) {
            self.handle_state_timeout(now);
        }
        if !matches!(self.state, State::Connected) {
            return;
        }
        if self.auth.renew_at().is_some_and(|at| at <= now) {
            self.fetch_token();
        }
        self.channels.handle_timeout(now, &mut self.out);
    }

    fn handle_state_timeout(&mut self, now: Instant) {
        match self.state {
            State::Connecting(_) => self.attempt_timed_out(now),
            State::Connected => {
                let text = format!("nothing was heard from {} for too long", self.host);
                self.reconnect(ErrorInfo::with_status(80_003, 408, text), now);
            }
            State::Disconnected { .. } | State::Suspended { .. } | State::Failed { .. } => {
                self.begin_attempt(now, None);
            }
            State::Closing { .. } => self.finish_closing(),
            State::Initialized | State::Closed => {}
        }
    }

    /// Requesters whose patience is over are told how far it got.
    fn expire_publishes(&mut self, now: Instant) {
        let state = self.state().name();
        let connected = matches!(self.state, State::Connected);
        let why = self.last_error.as_ref().filter(|_| !connected);
        let why = why.map(ToString::to_string);
        let why = why.map_or_else(String::new, |why| format!(" ({why})"));
        self.outbox
            .expire(now, |written| match (written, connected) {
                (true, _) => ErrorInfo::with_status(
                    TIMED_OUT,
                    504,
                    format!("timed out: sent, but not acknowledged; connection is {state}{why}"),
                ),
                (false, true) => ErrorInfo::with_status(
                    42_911,
                    429,
                    "timed out: not sent, the rate limit leaves no room",
                ),
                (false, false) => ErrorInfo::with_status(
                    80_003,
                    503,
                    format!("timed out: not sent, connection is {state}{why}"),
                ),
            });
    }
}
