//! The token in use, and when to get the next.
//!
//! A token is renewed on the open connection before it expires. Its source
//! may hand out the same cached token again for a while; then we ask again
//! halfway to its end, not at once.
//!
//! A token the server would not take is not used again at once. Its source
//! may know no other for a while, so after a pause it is given another try.

use std::time::{Duration, Instant};

use super::chance::Chance;
use super::event::Token;

/// Renew at least this long before a token expires.
const RENEW_BEFORE: Duration = Duration::from_secs(30);

/// Never ask for a token more often than this by ourselves.
const RENEW_SPACING: Duration = Duration::from_secs(1);

/// After a failed renewal, try again within this, and well before the token
/// expires; with one that has expired by our clock, this often.
const RENEW_RETRY: Duration = Duration::from_secs(15);

/// Whether a token is any different from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Obtained {
    New,
    /// The one we have.
    Same,
    /// The one that the server has just refused.
    Refused,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Auth {
    token: Option<Token>,
    expires_at: Option<Instant>,
    renew_at: Option<Instant>,
    /// What the server would not take, until it takes another.
    refused: Option<Token>,
    /// Whether FETCH is under way.
    pub(super) fetching: bool,
}

impl Auth {
    /// The token, unless it has expired by our clock (RSA4b1).
    pub(super) fn usable(&self, now: Instant) -> Option<&Token> {
        let expired = self.expires_at.is_some_and(|at| at <= now);
        self.token.as_ref().filter(|_| !expired)
    }

    /// Whether the next fetch must not be answered from a cache.
    pub(super) fn was_refused(&self) -> bool {
        self.refused.is_some()
    }

    /// The token, whatever our clock says of it.
    pub(super) fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    /// The server would not take the token.
    pub(super) fn refuse(&mut self) {
        if let Some(token) = self.token.take() {
            self.refused = Some(token);
        }
        self.renew_at = None;
    }

    /// Takes a token from its source; where it `must_differ`, not the one
    /// that was refused.
    pub(super) fn obtain(
        &mut self,
        token: Token,
        must_differ: bool,
        now: Instant,
        chance: &mut Chance,
    ) -> Obtained {
        let is = |other: &Option<Token>| {
            other
                .as_ref()
                .is_some_and(|other| other.secret == token.secret)
        };
        if must_differ && is(&self.refused) {
            return Obtained::Refused;
        }
        let same = is(&self.token);
        self.expires_at = token.valid_for.map(|left| now + left);
        self.renew_at = token.valid_for.map(|left| {
            let wait = if left.is_zero() {
                RENEW_RETRY
            } else if same {
                left / 2
            } else {
                until_renewal(left, chance)
            };
            now + wait.max(RENEW_SPACING)
        });
        self.token = Some(token);
        if same { Obtained::Same } else { Obtained::New }
    }

    /// The server took the token.
    pub(super) fn accepted(&mut self) {
        self.refused = None;
    }

    /// No token could be had while the present one still serves.
    pub(super) fn renewal_failed(&mut self, now: Instant) {
        let left = self.expires_at.map(|at| at.saturating_duration_since(now));
        let wait = match left {
            Some(left) if !left.is_zero() => RENEW_RETRY.min(left / 2).max(RENEW_SPACING),
            _ => RENEW_RETRY,
        };
        self.renew_at = Some(now + wait);
    }

    /// When to renew the token in use.
    pub(super) fn renew_at(&self) -> Option<Instant> {
        self.renew_at.filter(|_| !self.fetching)
    }

    /// The next connection begins with a token from the source. The present
    /// one was not refused: the source may give it again.
    pub(super) fn forget(&mut self) {
        (self.token, self.expires_at, self.renew_at) = (None, None, None);
    }
}

/// How long a new token is used: until 30 s or a tenth of its life before its
/// end, whichever is earlier, but never less than half of it, a little sooner
/// by chance so that connections do not all renew at once.
fn until_renewal(left: Duration, chance: &mut Chance) -> Duration {
    let margin = RENEW_BEFORE.max(left / 10).min(left / 2);
    let sooner = margin.mul_f64(0.1 * chance.unit());
    left.saturating_sub(margin + sooner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ably::auth::AccessToken;

    fn token(name: &str, secs: u64) -> Token {
        Token {
            secret: AccessToken::new(name),
            valid_for: Some(Duration::from_secs(secs)),
        }
    }

    fn renewal_after(secs: u64) -> f64 {
        let (now, mut auth) = (Instant::now(), Auth::default());
        auth.obtain(token("a", secs), false, now, &mut Chance::new(1));
        (auth.renew_at().expect("renews") - now).as_secs_f64()
    }

    #[test]
    fn a_token_is_renewed_before_its_end_however_short_it_lives() {
        for (secs, range) in [
            (3600, 3204.0..=3240.0),
            (120, 87.0..=90.0),
            (10, 4.5..=5.0),
            (1, 1.0..=1.0),
        ] {
            let after = renewal_after(secs);
            assert!(range.contains(&after), "{secs}: {after}");
        }
    }

    #[test]
    fn a_cached_token_given_again_is_asked_for_again_halfway_to_its_end() {
        let (now, mut auth, mut chance) = (Instant::now(), Auth::default(), Chance::new(1));
        assert_eq!(
            auth.obtain(token("a", 3600), false, now, &mut chance),
            Obtained::New
        );
        let later = now + Duration::from_secs(3240);
        assert_eq!(
            auth.obtain(token("a", 360), false, later, &mut chance),
            Obtained::Same
        );
        assert_eq!(auth.renew_at(), Some(later + Duration::from_secs(180)));
    }

    #[test]
    fn a_refused_token_is_not_taken_again_where_it_must_differ() {
        let (now, mut auth, mut chance) = (Instant::now(), Auth::default(), Chance::new(1));
        auth.obtain(token("a", 3600), false, now, &mut chance);
        auth.refuse();
        assert!(auth.usable(now).is_none());
        let mut obtain = |name, must_differ| {
            let obtained = auth.obtain(token(name, 3600), must_differ, now, &mut chance);
            (obtained, auth.usable(now).is_some())
        };
        assert_eq!(obtain("a", true), (Obtained::Refused, false));
        assert_eq!(obtain("b", true), (Obtained::New, true));
        auth.refuse();
        let mut again = |name| auth.obtain(token(name, 3600), false, now, &mut chance);
        assert_eq!(again("b"), Obtained::New, "its source knows no other");
    }

    #[test]
    fn a_renewal_that_fails_is_tried_again_ever_sooner_but_not_once_it_is_too_late() {
        let (now, mut auth) = (Instant::now(), Auth::default());
        auth.obtain(token("a", 20), false, now, &mut Chance::new(1));
        for (at, wait) in [(0, 10), (18, 1), (20, 15), (500, 15)] {
            let at = now + Duration::from_secs(at);
            auth.renewal_failed(at);
            assert_eq!(auth.renew_at(), Some(at + Duration::from_secs(wait)));
        }
    }

    #[test]
    fn an_expired_token_is_not_used() {
        let (now, mut auth) = (Instant::now(), Auth::default());
        auth.obtain(token("a", 10), false, now, &mut Chance::new(1));
        assert!(auth.usable(now + Duration::from_secs(9)).is_some());
        assert!(auth.usable(now + Duration::from_secs(10)).is_none());
    }
}
