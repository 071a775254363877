//! Ably tokens: who gets one, and what it allows.

use crate::emulator::seal::{self, TokenGrant};
use crate::protocol::ably::auth::{ApiKey, TokenDetails, TokenRequest};
use crate::protocol::ably::error::ErrorInfo;

use super::{Credentials, authenticate, parse_capability};

/// Issues the token that `request` asks for.
///
/// The request is signed by the key, or comes with the key as `credentials`.
/// That its nonce is fresh is for the caller to check.
pub(in crate::emulator) fn issue_token(
    key: &ApiKey,
    request: &TokenRequest,
    credentials: Option<&Credentials>,
    now_ms: i64,
) -> Result<TokenDetails, ErrorInfo> {
    if !request.key_name.is_empty() && request.key_name != key.name().as_str() {
        return Err(ErrorInfo::new(
            40101,
            "no key has the name in the token request",
        ));
    }
    if request.mac.is_empty() {
        match credentials {
            Some(Credentials::Key(_)) => authenticate(key, credentials, now_ms)?,
            _ => return Err(ErrorInfo::new(40101, "the token request is not signed")),
        };
    } else {
        request
            .verify(key, now_ms)
            .map_err(|error| ErrorInfo::from(&error))?;
    }
    let ttl = request.ttl_ms().map_err(|error| ErrorInfo::from(&error))?;
    let capability = parse_capability(&request.capability)?.to_string();
    let client_id = Some(request.client_id.clone()).filter(|id| !id.is_empty());
    let grant = TokenGrant {
        expires_ms: now_ms + ttl,
        nonce: rand::random(),
        capability: capability.clone(),
        client_id: client_id.clone(),
    };
    Ok(TokenDetails {
        token: seal::ably_token(key, &grant),
        key_name: Some(key.name().to_string()),
        issued: now_ms,
        expires: grant.expires_ms,
        capability,
        client_id,
    })
}

#[cfg(test)]
mod tests {
    use crate::emulator::access::Identity;
    use crate::protocol::ably::auth::Operation;

    use super::*;

    const NOW_MS: i64 = 1_700_000_000_000;

    fn key() -> ApiKey {
        "app.key:secret".parse().expect("a key")
    }

    fn code<T>(result: Result<T, ErrorInfo>) -> u32 {
        result.err().map_or(0, |error| error.code)
    }

    fn request() -> TokenRequest {
        TokenRequest {
            key_name: "app.key".into(),
            timestamp: NOW_MS.to_string(),
            nonce: "0123456789abcdef".into(),
            capability: r#"{"a":["publish"]}"#.into(),
            client_id: "ann".into(),
            ..TokenRequest::default()
        }
    }

    #[test]
    fn a_signed_request_gives_a_token_that_allows_what_it_asked_for_until_it_expires() {
        let mut request = request();
        request.sign(&key());
        let details = issue_token(&key(), &request, None, NOW_MS).expect("issued");
        let token = Credentials::Token(details.token.reveal().to_owned());
        let grant = authenticate(&key(), Some(&token), NOW_MS).expect("valid");
        assert_eq!(grant.identity, Identity::Named("ann".into()));
        assert!(grant.require(Operation::Publish, "a").is_ok());
        assert_eq!(code(grant.require(Operation::Publish, "b")), 40160);
        assert_eq!(
            code(authenticate(&key(), Some(&token), details.expires)),
            40142
        );
    }

    #[test]
    fn an_unsigned_request_needs_the_key_itself() {
        let basic = Credentials::Key("app.key:secret".into());
        assert!(issue_token(&key(), &request(), Some(&basic), NOW_MS).is_ok());
        assert_eq!(code(issue_token(&key(), &request(), None, NOW_MS)), 40101);
        let wrong = Credentials::Key("app.key:guess".into());
        assert_eq!(
            code(issue_token(&key(), &request(), Some(&wrong), NOW_MS)),
            40101
        );
    }
}
