//! What a session must do when nothing else happens.

use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::emulator::limits::MAX_IDLE_INTERVAL;
use crate::emulator::now_ms;

use super::Params;

/// An idle connection hears from us twice as often as it must.
const HEARTBEAT: Duration = MAX_IDLE_INTERVAL.checked_div(2).expect("two is not zero");

/// How long before its token expires a client is asked for a new one. Tokens
/// that live shorter than this are not asked about: the answer would be as
/// short-lived, and asked about again at once.
const EXPIRY_NOTICE_MS: i64 = 30_000;

/// The timers of one session.
pub(super) struct Timers {
    last_write: Instant,
    uses_pings: bool,
    expires_ms: Option<i64>,
    token: Option<TokenTimer>,
}

#[derive(Clone, Copy)]
struct TokenTimer {
    notice: Option<Instant>,
    expiry: Instant,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Heartbeat,
    Ping,
    TokenExpiresSoon,
    TokenExpired,
}

impl Timers {
    pub(super) fn new(params: &Params, expires_ms: Option<i64>) -> Self {
        let mut timers = Self {
            last_write: Instant::now(),
            uses_pings: !params.wants_heartbeats,
            expires_ms: None,
            token: None,
        };
        timers.set_expiry(expires_ms);
        timers
    }

    /// Notes when the token expires, which AUTH may have changed.
    pub(super) fn set_expiry(&mut self, expires_ms: Option<i64>) {
        if expires_ms == self.expires_ms {
            return;
        }
        self.expires_ms = expires_ms;
        self.token = expires_ms.map(|at_ms| {
            let left_ms = at_ms.saturating_sub(now_ms()).clamp(0, 86_400_000 * 365);
            let after = |ms: i64| Instant::now() + Duration::from_millis(ms.unsigned_abs());
            TokenTimer {
                notice: (EXPIRY_NOTICE_MS < left_ms).then(|| after(left_ms - EXPIRY_NOTICE_MS)),
                expiry: after(left_ms),
            }
        });
    }

    /// Notes that the client hears from us now.
    pub(super) fn wrote(&mut self) {
        self.last_write = Instant::now();
    }

    /// Sleeps until something may be due.
    pub(super) fn sleep(&self) -> Sleep {
        let token = self.token.map(|token| token.notice.unwrap_or(token.expiry));
        let heartbeat = self.last_write + HEARTBEAT;
        tokio::time::sleep_until(token.map_or(heartbeat, |at| at.min(heartbeat)))
    }

    /// What is due now; a notice is due once.
    pub(super) fn take_due(&mut self) -> Due {
        let now = Instant::now();
        if let Some(token) = &mut self.token {
            if token.expiry <= now {
                return Due::TokenExpired;
            }
            if token.notice.take_if(|at| *at <= now).is_some() {
                return Due::TokenExpiresSoon;
            }
        }
        if now < self.last_write + HEARTBEAT {
            Due::Nothing
        } else if self.uses_pings {
            Due::Ping
        } else {
            Due::Heartbeat
        }
    }
}
