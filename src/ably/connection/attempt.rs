//! Getting connected: token, hosts, retries, and giving up for a while.

use std::time::{Duration, Instant};

use super::super::auth::Obtained;
use super::super::event::{Action, OpenFailure, OpenRequest, Token, TokenFailure};
use super::super::hosts::Host;
use super::super::retry::{self, ATTEMPT_SPACING, REQUEST_TIMEOUT};
use super::{Connection, ErrorInfo, Generation, State, Wire};
use crate::protocol::ably::message::{AuthDetails, ProtocolMessage};

/// One attempt to connect.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) step: Step,
    /// The step must be over by then.
    pub(super) answer_by: Instant,
    host: Host,
    /// Hosts left to try; `None` until the primary has failed.
    fallbacks: Option<Vec<Host>>,
    /// Whether a refused token was already replaced in this attempt.
    renewed: bool,
    /// Whether a token was refused in this attempt: the same one again would
    /// be refused again. In a later attempt it may be taken.
    must_differ: bool,
}

#[derive(Debug)]
pub(super) enum Step {
    /// Waits for a token.
    Token,
    /// Waits for CONNECTED.
    Opening,
    /// Waits to hear whether there is an internet at all, because of this.
    Checking { failure: ErrorInfo },
}

impl<T> Connection<T> {
    /// Starts over with the primary host (RTN17i), unless the `reason` is that
    /// it sent us away (RTN17f1).
    pub(super) fn begin_attempt(&mut self, now: Instant, reason: Option<ErrorInfo>) {
        self.drop_transport();
        self.attempt_started = Some(now);
        self.state = State::Connecting(Attempt {
            step: Step::Token,
            answer_by: now + REQUEST_TIMEOUT,
            host: self.config.hosts.primary().clone(),
            fallbacks: None,
            renewed: self.auth.was_refused(),
            must_differ: false,
        });
        self.report_state(reason.clone(), None);
        match reason {
            Some(failure) if sends_away(&failure) && self.config.hosts.has_fallbacks() => {
                self.host_failed(failure, now);
            }
            _ => self.open_with_token(now),
        }
    }

    /// Opens the attempt's host, once there is a token.
    fn open_with_token(&mut self, now: Instant) {
        let State::Connecting(attempt) = &mut self.state else {
            return;
        };
        attempt.answer_by = now + REQUEST_TIMEOUT;
        if let Some(token) = self.auth.usable(now).cloned() {
            self.open_with(token);
        } else {
            attempt.step = Step::Token;
            self.fetch_token();
        }
    }

    fn open_with(&mut self, token: Token) {
        let State::Connecting(attempt) = &mut self.state else {
            return;
        };
        attempt.step = Step::Opening;
        self.generation = Generation(self.generation.0 + 1);
        self.host = attempt.host.clone();
        let request = OpenRequest {
            generation: self.generation,
            host: attempt.host.clone(),
            token,
            resume: self
                .lineage
                .as_ref()
                .map(|lineage| lineage.connection_key.clone()),
        };
        self.out.act(Action::Open(Box::new(request)));
    }

    pub(super) fn fetch_token(&mut self) {
        if !self.auth.fetching {
            self.auth.fetching = true;
            let refused = self.auth.was_refused();
            self.out.act(Action::FetchToken { refused });
        }
    }

    /// The answer to [`Action::FetchToken`].
    pub(crate) fn handle_token(&mut self, result: Result<Token, TokenFailure>, now: Instant) {
        self.auth.fetching = false;
        let (waits, must_differ) = match &self.state {
            State::Connecting(attempt) => {
                (matches!(attempt.step, Step::Token), attempt.must_differ)
            }
            _ => (false, false),
        };
        let obtained = result.map(|token| {
            let chance = &mut self.chance;
            self.auth.obtain(token, must_differ, now, chance)
        });
        match obtained {
            Ok(Obtained::New | Obtained::Same) if waits => self.open_with_obtained(now),
            Ok(Obtained::New) => self.send_auth(),
            Ok(Obtained::Same) => {}
            Ok(Obtained::Refused) => {
                let failure = TokenFailure::Unavailable("the refused token was given again".into());
                self.token_unavailable(&failure, waits, now);
            }
            Err(failure) => self.token_unavailable(&failure, waits, now),
        }
    }

    /// A token just obtained is used once even if it has expired by our
    /// clock: the server's clock decides, and asking again at once would only
    /// bring the same.
    fn open_with_obtained(&mut self, now: Instant) {
        let Some(token) = self.auth.token().cloned() else {
            return;
        };
        if let State::Connecting(attempt) = &mut self.state {
            attempt.answer_by = now + REQUEST_TIMEOUT;
        }
        self.open_with(token);
    }

    /// RSA4c, RSA4d.
    fn token_unavailable(&mut self, failure: &TokenFailure, waits: bool, now: Instant) {
        let error = Self::token_error(failure);
        match (failure, &self.state) {
            (TokenFailure::Forbidden(_), State::Connecting(_) | State::Connected) => {
                self.fail(error, now);
            }
            (_, State::Connected) => {
                self.last_error = Some(error);
                self.auth.renewal_failed(now);
            }
            _ if waits => self.attempt_failed(error, now),
            _ => {}
        }
    }

    /// Re-authenticates the open connection (RTC8a).
    fn send_auth(&mut self) {
        let (State::Connected, Some(token)) = (&self.state, self.auth.token()) else {
            return;
        };
        let auth = AuthDetails {
            access_token: token.secret.reveal().to_owned(),
        };
        self.out.send(ProtocolMessage {
            auth: Some(auth),
            ..ProtocolMessage::new(Wire::Auth)
        });
    }

    /// The websocket of `generation` could not be opened.
    pub(crate) fn handle_open_failed(
        &mut self,
        generation: Generation,
        failure: OpenFailure,
        now: Instant,
    ) {
        if generation != self.generation || !matches!(self.state, State::Connecting(_)) {
            return;
        }
        match failure {
            OpenFailure::Unreachable(text) => {
                let text = format!("cannot reach {}: {text}", self.host);
                self.host_failed(ErrorInfo::with_status(80_003, 503, text), now);
            }
            OpenFailure::Status { status, error } => {
                let error = error.unwrap_or_else(|| {
                    let text = format!("{} answered with HTTP status {status}", self.host);
                    ErrorInfo::with_status(80_003, status, text)
                });
                self.refused_before_connected(error, now);
            }
        }
    }

    /// The server answers the attempt with an error that is not fatal.
    pub(super) fn refused_before_connected(&mut self, error: ErrorInfo, now: Instant) {
        if error.is_token_error() {
            self.token_refused(error, now);
        } else if sends_away(&error) {
            self.host_failed(error, now);
        } else {
            self.attempt_failed(error, now);
        }
    }

    /// One renewal an attempt (RTN14b, RTN15h2), then it has failed.
    pub(super) fn token_refused(&mut self, error: ErrorInfo, now: Instant) {
        self.auth.refuse();
        let State::Connecting(attempt) = &mut self.state else {
            return;
        };
        attempt.must_differ = true;
        if std::mem::replace(&mut attempt.renewed, true) {
            self.attempt_failed(error, now);
            return;
        }
        self.drop_transport();
        self.last_error = Some(error);
        self.open_with_token(now);
    }

    /// The attempt's host cannot serve us: on to the fallbacks (RTN17).
    fn host_failed(&mut self, failure: ErrorInfo, now: Instant) {
        self.drop_transport();
        let State::Connecting(attempt) = &mut self.state else {
            return;
        };
        match &mut attempt.fallbacks {
            None if self.config.hosts.has_fallbacks() => {
                attempt.step = Step::Checking { failure };
                attempt.answer_by = now + REQUEST_TIMEOUT;
                self.out.act(Action::CheckConnectivity);
            }
            None => self.attempt_failed(failure, now),
            Some(left) => match left.pop() {
                Some(host) => {
                    attempt.host = host;
                    self.open_with_token(now);
                }
                None => self.attempt_failed(failure, now),
            },
        }
    }

    /// The answer to [`Action::CheckConnectivity`].
    pub(crate) fn handle_connectivity(&mut self, is_up: bool, now: Instant) {
        let State::Connecting(attempt) = &mut self.state else {
            return;
        };
        let Step::Checking { failure } = &attempt.step else {
            return;
        };
        let failure = failure.clone();
        if is_up {
            attempt.fallbacks = Some(self.config.hosts.shuffled_fallbacks(&mut self.chance));
            self.host_failed(failure, now);
        } else {
            self.attempt_failed(failure, now);
        }
    }

    /// A step of the attempt took too long (RTN14c).
    pub(super) fn attempt_timed_out(&mut self, now: Instant) {
        let State::Connecting(attempt) = &self.state else {
            return;
        };
        match &attempt.step {
            Step::Token => {
                let failure = TokenFailure::Unavailable("no answer in time".into());
                self.attempt_failed(Self::token_error(&failure), now);
            }
            Step::Opening => {
                let text = format!("{} did not answer in time", self.host);
                self.host_failed(ErrorInfo::with_status(80_003, 504, text), now);
            }
            Step::Checking { failure } => {
                let failure = failure.clone();
                self.attempt_failed(failure, now);
            }
        }
    }

    /// Waits before the next attempt (RTN14d), long ones once suspended.
    pub(super) fn attempt_failed(&mut self, error: ErrorInfo, now: Instant) {
        self.drop_transport();
        if self.long_gone {
            self.wait_suspended(error, now);
            return;
        }
        self.retries += 1;
        let base = self.config.disconnected_retry;
        let wait = retry::delay(base, self.retries, &mut self.chance);
        self.wait_disconnected(error, wait, now);
    }

    pub(super) fn wait_disconnected(&mut self, error: ErrorInfo, wait: Duration, now: Instant) {
        self.state = State::Disconnected {
            retry_at: now + wait,
        };
        self.report_state(Some(error), Some(wait));
    }

    /// SUSPENDED (RTN14e): what waited has waited long enough (RTN7e).
    pub(super) fn wait_suspended(&mut self, error: ErrorInfo, now: Instant) {
        self.drop_transport();
        (self.suspend_at, self.long_gone) = (None, true);
        let wait = self.config.suspended_retry;
        self.state = State::Suspended {
            retry_at: now + wait,
        };
        let reason = ErrorInfo::new(80_002, format!("connection is suspended: {error}"));
        self.outbox.fail_all(&reason);
        self.channels.suspend_all(&reason, &mut self.out);
        self.report_state(Some(error), Some(wait));
    }

    /// FAILED: no resume, no token, and a new try on the suspended cadence.
    pub(super) fn fail(&mut self, error: ErrorInfo, now: Instant) {
        self.drop_transport();
        self.lineage = None;
        self.auth.forget();
        (self.suspend_at, self.long_gone) = (None, true);
        let wait = self.config.suspended_retry;
        self.state = State::Failed {
            retry_at: now + wait,
        };
        let reason = ErrorInfo::new(80_000, format!("connection has failed: {error}"));
        self.outbox.fail_all(&reason);
        self.channels.fail_all(&reason, &mut self.out);
        self.report_state(Some(error), Some(wait));
    }

    /// Connected a moment ago: again at once (RTN15a), but never in a tight
    /// loop with a server that accepts and drops us.
    pub(super) fn reconnect(&mut self, error: ErrorInfo, now: Instant) {
        self.suspend_at = Some(now + self.limits.state_ttl);
        self.channels.disconnected();
        let earliest = self.attempt_started.map(|at| at + ATTEMPT_SPACING);
        match earliest.and_then(|at| at.checked_duration_since(now)) {
            Some(wait) if !wait.is_zero() => {
                self.drop_transport();
                self.wait_disconnected(error, wait, now);
            }
            _ => self.begin_attempt(now, Some(error)),
        }
    }

    pub(super) fn drop_transport(&mut self) {
        self.out.forget_sends();
        self.generation = Generation(self.generation.0 + 1);
        self.out.act(Action::Drop);
    }
}

/// A server that cannot serve us now, as opposed to one that will not.
fn sends_away(error: &ErrorInfo) -> bool {
    (500..=504).contains(&error.status_code)
}
