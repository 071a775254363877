//! Where tokens come from, and what they must say.

use crate::protocol::ably::auth::{
    AccessToken, ApiKey, Capability, Claims, TOKEN_BYTES_MAX, TokenDetails, peek_jwt, sign_jwt,
};
use crate::protocol::token::{Audience, Refusal};
use crate::report::Report;

use super::command::{CommandError, TokenCommand};
use super::endpoint::{EndpointError, TokenEndpoint};
use super::scope::Identity;

/// How long a token we sign ourselves lives.
const LIFE_MS: i64 = 60 * 60 * 1000;

/// Where tokens come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// Nowhere: nobody is logged in.
    None,
    /// Signed here, without asking anyone.
    ApiKey(ApiKey),
    /// A server that knows the user.
    Endpoint(TokenEndpoint),
    /// A program of the user.
    Command(TokenCommand),
}

/// A token to get.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) audience: Audience,
    pub(super) identity: Identity,
    pub(super) capability: Capability,
    pub(super) now_ms: i64,
}

/// Why a source gives no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    #[error("there are no credentials")]
    None,
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl From<&SourceError> for Refusal {
    fn from(error: &SourceError) -> Self {
        let text = || Report(error).to_string();
        match error {
            SourceError::None => Self::NotAuthenticated,
            SourceError::Endpoint(refused) if refused.is_unauthenticated() => {
                Self::NotAuthenticated
            }
            SourceError::Endpoint(refused) if refused.is_forbidden() => Self::Forbidden(text()),
            SourceError::Endpoint(_) | SourceError::Command(_) => Self::Unavailable(text()),
        }
    }
}

impl Source {
    /// Everything that makes it this source and no other, secrets included; to
    /// be hashed and not kept.
    pub(crate) fn essence(&self) -> Vec<u8> {
        match self {
            Self::None => Vec::new(),
            Self::ApiKey(key) => key.reveal().into_bytes(),
            Self::Endpoint(endpoint) => {
                let bearer = endpoint.bearer.as_ref().map(AccessToken::reveal);
                format!("{:?} {bearer:?}", endpoint.url).into_bytes()
            }
            Self::Command(command) => {
                let program = command.program.display();
                format!("{program} {:?}", command.args).into_bytes()
            }
        }
    }

    pub(super) async fn fetch(&self, order: Order) -> Result<TokenDetails, SourceError> {
        match self {
            Self::None => Err(SourceError::None),
            Self::ApiKey(key) => Ok(mint(key, &order)),
            Self::Endpoint(endpoint) => Ok(endpoint.fetch(&order).await?),
            Self::Command(command) => Ok(command.fetch(&order).await?),
        }
    }
}

/// Signs a token as ordered.
fn mint(key: &ApiKey, order: &Order) -> TokenDetails {
    // A JWT counts in seconds: what we say must be what it says.
    let issued = order.now_ms.div_euclid(1000);
    let expires = issued + LIFE_MS / 1000;
    let capability = order.capability.to_string();
    let client_id = Some(order.identity.user().to_owned());
    let claims = Claims {
        issued,
        expires,
        capability: Some(capability.clone()),
        client_id: client_id.clone(),
    };
    TokenDetails {
        token: sign_jwt(key, &claims),
        key_name: None,
        issued: issued * 1000,
        expires: expires * 1000,
        capability,
        client_id,
    }
}

/// Why what a source gave is no token; never quotes it.
#[derive(Debug, thiserror::Error)]
pub(super) enum GivenError {
    #[error("it is empty")]
    Empty,
    #[error("it is longer than a token may be")]
    TooLong,
    #[error("it is neither token details in JSON nor a token alone")]
    Form,
    #[error("its token has expired")]
    Expired,
}

/// Reads what an endpoint or a program gave: token details in JSON, the same
/// inside `token_details`, or a token alone.
///
/// What a JWT says of itself fills in what was not said beside it.
pub(super) fn read_given(given: &[u8], now_ms: i64) -> Result<TokenDetails, GivenError> {
    let text = std::str::from_utf8(given).map_err(|_| GivenError::Form)?;
    let mut details = match text.trim() {
        "" => return Err(GivenError::Empty),
        json if json.starts_with('{') => read_json(json)?,
        token if token.contains(char::is_whitespace) => return Err(GivenError::Form),
        token => TokenDetails {
            token: AccessToken::new(token.trim_matches('"')),
            ..TokenDetails::default()
        },
    };
    if details.token.is_empty() {
        return Err(GivenError::Empty);
    }
    if TOKEN_BYTES_MAX < details.token.reveal().len() {
        return Err(GivenError::TooLong);
    }
    fill_in(&mut details);
    if details.expires != 0 && details.expires <= now_ms {
        return Err(GivenError::Expired);
    }
    Ok(details)
}

fn read_json(json: &str) -> Result<TokenDetails, GivenError> {
    #[derive(serde::Deserialize)]
    struct Wrapped {
        token_details: TokenDetails,
    }
    if let Ok(wrapped) = serde_json::from_str::<Wrapped>(json) {
        return Ok(wrapped.token_details);
    }
    serde_json::from_str(json).map_err(|_| GivenError::Form)
}

fn fill_in(details: &mut TokenDetails) {
    let Some(claims) = peek_jwt(details.token.reveal()) else {
        return;
    };
    if details.expires == 0 {
        details.expires = claims.expires.saturating_mul(1000);
    }
    if details.issued == 0 {
        details.issued = claims.issued.saturating_mul(1000);
    }
    if details.capability.is_empty() {
        details.capability = claims.capability.unwrap_or_default();
    }
    if details.client_id.is_none() {
        details.client_id = claims.client_id;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::scope::{Reach, capability};
    use super::*;
    use crate::protocol::ably::auth::verify_jwt;

    pub(in super::super) const NOW_MS: i64 = 1_700_000_000_123;

    pub(in super::super) fn order() -> Order {
        let device = "8c0e3d0c-9f6b-4a52-9c15-2d7f1f0a7c11";
        let identity = Identity::new(device.parse().expect("a UUID"), "U-1").expect("a user");
        Order {
            audience: Audience::DaemonNagato,
            capability: capability(Audience::DaemonNagato, &identity, Reach::Contract),
            identity,
            now_ms: NOW_MS,
        }
    }

    #[tokio::test]
    async fn a_key_signs_what_was_ordered_for_an_hour() {
        let key: ApiKey = "app.key:secret".parse().expect("a key");
        let details = Source::ApiKey(key.clone()).fetch(order()).await;
        let details = details.expect("a token");
        assert_eq!(details.issued, 1_700_000_000_000);
        assert_eq!(details.expires, 1_700_003_600_000);
        assert_eq!(details.client_id.as_deref(), Some("u-1"));

        let claims = verify_jwt(details.token.reveal(), |_| Some(&key), NOW_MS).expect("valid");
        assert_eq!(claims.capability, Some(order().capability.to_string()));
        assert_eq!(claims.client_id.as_deref(), Some("u-1"));
        assert_eq!(claims.expires, 1_700_003_600);
    }

    #[tokio::test]
    async fn without_credentials_nobody_is_authenticated() {
        let error = Source::None.fetch(order()).await.expect_err("no token");
        assert_eq!(Refusal::from(&error).to_string(), "not authenticated");
    }

    #[test]
    fn token_details_come_alone_wrapped_or_as_a_token() {
        let details = r#"{"token":"opaque","expires":1700000100000}"#;
        let wrapped = format!(r#"{{"token_details":{details}}}"#);
        let alone = read_given(details.as_bytes(), NOW_MS).expect("a token");
        assert_eq!(alone.expires, 1_700_000_100_000);
        assert_eq!(
            read_given(wrapped.as_bytes(), NOW_MS).expect("a token"),
            alone
        );
        let token = read_given(b"opaque\n", NOW_MS).expect("a token");
        assert_eq!((token.token, token.expires), (alone.token, 0));
    }

    #[test]
    fn a_jwt_alone_tells_when_it_expires_and_for_whom_it_is() {
        let key: ApiKey = "app.key:secret".parse().expect("a key");
        let minted = mint(&key, &order());
        let given = read_given(minted.token.reveal().as_bytes(), NOW_MS).expect("a token");
        assert_eq!(given, minted);
    }

    #[test]
    fn what_is_no_usable_token_is_refused() {
        let refused = |given: &str| read_given(given.as_bytes(), NOW_MS).expect_err("no token");
        assert!(matches!(refused(" \n"), GivenError::Empty));
        assert!(matches!(refused(r#"{"token":""}"#), GivenError::Empty));
        assert!(matches!(refused("{}"), GivenError::Empty));
        assert!(matches!(refused("{"), GivenError::Form));
        assert!(matches!(refused("please log in"), GivenError::Form));
        assert!(matches!(
            refused(&"x".repeat(TOKEN_BYTES_MAX + 1)),
            GivenError::TooLong
        ));
        let expired = r#"{"token":"t","expires":1700000000000}"#;
        assert!(matches!(refused(expired), GivenError::Expired));
    }
}
