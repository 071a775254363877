//! Tokens from a server that knows the user.
//!
//! ```text
//! POST <url>   Authorization: Bearer <bearer token>
//!   {"audience","device_id","user_id","capability"}     capability is a JSON text
//! 2xx  token details, {"token_details": token details}, or a token alone
//! 401  nobody is logged in      403  refused for good      else  try later
//! ```

use serde::Serialize;

use crate::net::http::{Client, HttpError, Request, Url};
use crate::protocol::ably::auth::{AccessToken, TokenDetails};
use crate::protocol::token::ANSWER_BYTES_MAX;

use super::source::{GivenError, Order, read_given};

/// How much of a refusal's body an error quotes.
const QUOTE_CHARS_MAX: usize = 200;

/// A server that gives tokens.
#[derive(Debug)]
pub(crate) struct TokenEndpoint {
    /// Where to ask.
    pub(crate) url: Url,
    /// What proves who asks, if the server wants it.
    pub(crate) bearer: Option<AccessToken>,
    /// Who calls.
    pub(crate) client: Client,
}

#[derive(Serialize)]
struct Body<'a> {
    audience: &'a str,
    device_id: String,
    user_id: &'a str,
    capability: String,
}

/// Why the server gives no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum EndpointError {
    #[error("the token endpoint did not answer")]
    Http(#[from] HttpError),
    #[error("the token endpoint answered {status}: {text}")]
    Status { status: u16, text: String },
    #[error("the token endpoint's answer is no token")]
    Given(#[from] GivenError),
}

impl EndpointError {
    pub(super) fn is_unauthenticated(&self) -> bool {
        matches!(self, Self::Status { status: 401, .. })
    }

    pub(super) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Status { status: 403, .. })
    }
}

impl TokenEndpoint {
    pub(super) async fn fetch(&self, order: &Order) -> Result<TokenDetails, EndpointError> {
        let body = Body {
            audience: order.audience.as_str(),
            device_id: order.identity.device().to_string(),
            user_id: order.identity.user(),
            capability: order.capability.to_string(),
        };
        let body = serde_json::to_vec(&body).expect("a body of strings serializes");
        let mut request =
            Request::post_json(self.url.clone(), body).answer_bytes_max(ANSWER_BYTES_MAX);
        if let Some(bearer) = &self.bearer {
            request = request.bearer(bearer.reveal());
        }
        let response = self.client.send(&request).await?;
        if !response.status.is_success() {
            let text = String::from_utf8_lossy(&response.body);
            return Err(EndpointError::Status {
                status: response.status.as_u16(),
                text: text.trim().chars().take(QUOTE_CHARS_MAX).collect(),
            });
        }
        Ok(read_given(&response.body, order.now_ms)?)
    }
}
