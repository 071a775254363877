//! Who a client is and what it may do.
//!
//! Pure: credentials and the time in, a [`Grant`] or Ably's error out.

mod issue;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::protocol::ably::auth::{ApiKey, Capability, Operation, TOKEN_BYTES_MAX, verify_jwt};
use crate::protocol::ably::error::ErrorInfo;

use super::seal::{self, TokenGrant};

pub(super) use issue::issue_token;

/// What a client shows to prove who it is.
#[derive(Clone)]
pub(super) enum Credentials {
    /// An API key with its secret: Basic auth, or `key` in a URL.
    Key(String),
    /// An Ably token or a JWT.
    Token(String),
}

impl Credentials {
    /// Reads an `Authorization` header. A bearer token may be base64 (RSA3b).
    pub(super) fn from_header(value: &str) -> Option<Self> {
        let (scheme, rest) = value.split_once(' ')?;
        let rest = rest.trim();
        let decoded = || String::from_utf8(BASE64.decode(rest).ok()?).ok();
        if scheme.eq_ignore_ascii_case("basic") {
            decoded().map(Self::Key)
        } else if scheme.eq_ignore_ascii_case("bearer") {
            let token = if rest.contains('.') { None } else { decoded() };
            Some(Self::Token(token.unwrap_or_else(|| rest.to_owned())))
        } else {
            None
        }
    }
}

/// Which client ids a client may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Identity {
    /// Any: a key, or a token for `*`.
    Anyone,
    /// None.
    Anonymous,
    /// This one.
    Named(Arc<str>),
}

impl Identity {
    /// What CONNECTED says of it.
    pub(super) fn client_id(&self) -> Option<&str> {
        match self {
            Self::Anyone => Some("*"),
            Self::Anonymous => None,
            Self::Named(name) => Some(name),
        }
    }

    /// The identity of a connection or request that asks to be `client_id`.
    pub(super) fn assume(self, client_id: Option<&str>) -> Result<Self, ErrorInfo> {
        match (self, client_id.filter(|id| !id.is_empty())) {
            (Self::Anyone, Some(id)) if id != "*" => Ok(Self::Named(id.into())),
            (Self::Named(name), Some(id)) if *name != *id => Err(ErrorInfo::new(
                40102,
                format!("the token is for clientId `{name}`, not `{id}`"),
            )),
            (Self::Anonymous, Some(id)) => Err(ErrorInfo::new(
                40102,
                format!("the token has no clientId, so it cannot be `{id}`"),
            )),
            (identity, _) => Ok(identity),
        }
    }

    /// The client id of a message that says it is from `claimed`.
    pub(super) fn stamp(&self, claimed: Option<&str>) -> Result<Option<&str>, ErrorInfo> {
        match (self, claimed.filter(|id| !id.is_empty())) {
            (_, Some("*")) => Err(ErrorInfo::new(40012, "`*` is nobody's clientId")),
            (Self::Named(name), None) => Ok(Some(name)),
            (Self::Named(name), Some(id)) if **name == *id => Ok(Some(name)),
            (Self::Anyone | Self::Anonymous, None) | (Self::Anyone, Some(_)) => Ok(None),
            (_, Some(id)) => Err(ErrorInfo::new(
                40012,
                format!("a message from clientId `{id}` is not allowed here"),
            )),
        }
    }
}

/// What a client may do, until when.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    pub(super) identity: Identity,
    pub(super) capability: Arc<Capability>,
    /// Milliseconds since the epoch; a key does not expire.
    pub(super) expires_ms: Option<i64>,
}

impl Grant {
    /// Refuses with 40160 unless `operation` is allowed on `channel`.
    pub(super) fn require(&self, operation: Operation, channel: &str) -> Result<(), ErrorInfo> {
        if self.capability.allows(channel, operation) {
            return Ok(());
        }
        Err(denied(&format!("{operation:?}"), channel))
    }
}

/// The error for something the capability does not allow.
pub(super) fn denied(what: &str, channel: &str) -> ErrorInfo {
    ErrorInfo::new(
        40160,
        format!("the capability does not allow {what} on channel `{channel}`"),
    )
}

/// Checks credentials.
pub(super) fn authenticate(
    key: &ApiKey,
    credentials: Option<&Credentials>,
    now_ms: i64,
) -> Result<Grant, ErrorInfo> {
    match credentials {
        None => Err(ErrorInfo::new(
            40101,
            "no credentials: a key or a token is required",
        )),
        Some(Credentials::Key(text)) if key.matches(text) => Ok(Grant {
            identity: Identity::Anyone,
            capability: Arc::new(Capability::everything()),
            expires_ms: None,
        }),
        Some(Credentials::Key(_)) => {
            Err(ErrorInfo::new(40101, "the API key is not this emulator's"))
        }
        Some(Credentials::Token(token)) => check_token(key, token, now_ms),
    }
}

fn check_token(key: &ApiKey, token: &str, now_ms: i64) -> Result<Grant, ErrorInfo> {
    if TOKEN_BYTES_MAX < token.len() {
        return Err(ErrorInfo::new(40145, "the token is too long"));
    }
    let grant = match seal::open_ably_token(key, token) {
        Some(grant) => grant,
        None => check_jwt(key, token, now_ms)?,
    };
    if grant.expires_ms <= now_ms {
        return Err(ErrorInfo::new(40142, "the token has expired"));
    }
    Ok(Grant {
        identity: match grant.client_id.as_deref() {
            None | Some("") => Identity::Anonymous,
            Some("*") => Identity::Anyone,
            Some(name) => Identity::Named(name.into()),
        },
        capability: Arc::new(parse_capability(&grant.capability)?),
        expires_ms: Some(grant.expires_ms),
    })
}

fn check_jwt(key: &ApiKey, token: &str, now_ms: i64) -> Result<TokenGrant, ErrorInfo> {
    let find = |name: &str| (key.name().as_str() == name).then_some(key);
    let claims = verify_jwt(token, find, now_ms).map_err(|error| ErrorInfo::from(&error))?;
    Ok(TokenGrant {
        expires_ms: claims.expires.saturating_mul(1000),
        nonce: 0,
        capability: claims.capability.unwrap_or_default(),
        client_id: claims.client_id,
    })
}

/// A capability text; empty asks for all the key has, which is everything.
fn parse_capability(text: &str) -> Result<Capability, ErrorInfo> {
    if text.is_empty() {
        return Ok(Capability::everything());
    }
    let capability: Capability = text
        .parse()
        .map_err(|error| ErrorInfo::new(40003, format!("the capability is malformed: {error}")))?;
    if capability.is_empty() {
        return Err(ErrorInfo::new(40160, "the capability allows nothing"));
    }
    Ok(capability)
}

#[cfg(test)]
mod tests {
    use crate::protocol::ably::auth::{Claims, sign_jwt};

    use super::*;

    const NOW_MS: i64 = 1_700_000_000_000;

    fn key() -> ApiKey {
        "app.key:secret".parse().expect("a key")
    }

    fn code<T>(result: Result<T, ErrorInfo>) -> u32 {
        result.err().map_or(0, |error| error.code)
    }

    #[test]
    fn a_jwt_is_accepted_raw_and_as_base64() {
        let claims = Claims {
            issued: NOW_MS / 1000,
            expires: NOW_MS / 1000 + 60,
            capability: None,
            client_id: Some("*".into()),
        };
        let jwt = sign_jwt(&key(), &claims);
        for text in [jwt.reveal().to_owned(), BASE64.encode(jwt.reveal())] {
            let credentials = Credentials::from_header(&format!("Bearer {text}"));
            let grant = authenticate(&key(), credentials.as_ref(), NOW_MS).expect("valid");
            assert_eq!(grant.identity, Identity::Anyone);
            assert_eq!(grant.expires_ms, Some(NOW_MS + 60_000));
        }
    }

    #[test]
    fn a_client_is_who_its_credentials_say_and_only_a_wildcard_may_choose() {
        let ann = || Identity::Named("ann".into());
        assert_eq!(Identity::Anyone.assume(Some("ann")), Ok(ann()));
        assert_eq!(Identity::Anyone.assume(None), Ok(Identity::Anyone));
        assert_eq!(ann().assume(Some("ann")), Ok(ann()));
        assert_eq!(code(ann().assume(Some("bob"))), 40102);
        assert_eq!(code(Identity::Anonymous.assume(Some("ann"))), 40102);
    }

    #[test]
    fn a_message_is_from_its_connection_or_refused() {
        let ann = Identity::Named("ann".into());
        assert_eq!(ann.stamp(None), Ok(Some("ann")));
        assert_eq!(code(ann.stamp(Some("bob"))), 40012);
        assert_eq!(Identity::Anyone.stamp(Some("bob")), Ok(None));
        assert_eq!(code(Identity::Anonymous.stamp(Some("bob"))), 40012);
    }
}
