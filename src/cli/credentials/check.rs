//! Whether credentials are good, found out by getting a token with them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::ably::hosts::Hosts;
use crate::clock;
use crate::net::dial::Origin;
use crate::net::http::{Client, Request, Url};
use crate::net::tls::Tls;
use crate::protocol::ably::auth::{ApiKey, TokenRequest};
use crate::protocol::token::Refusal;
use crate::report::Report;
use crate::token_broker::{self, Source};

/// How long Ably may take to answer; whoever logs in waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came of asking.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Verdict {
    /// There was a token.
    Good,
    /// There is none, and there will be none.
    Refused(String),
    /// Nobody answered, so that nothing is known.
    Unknown(String),
}

/// Asks whatever `config` gets its tokens from.
pub(in super::super) async fn check(config: &token_broker::Config, hosts: &Hosts) -> Verdict {
    match &config.source {
        Source::ApiKey(key) => check_key(key, hosts).await,
        Source::Command(_) => match token_broker::try_once(config).await {
            Ok(()) => Verdict::Good,
            Err(refusal) => Verdict::Refused(refusal.to_string()),
        },
        Source::Endpoint(_) | Source::None => match token_broker::try_once(config).await {
            Ok(()) => Verdict::Good,
            Err(Refusal::Unavailable(text)) => Verdict::Unknown(text),
            Err(refusal) => Verdict::Refused(refusal.to_string()),
        },
    }
}

/// Asks Ably for a token of a minute, signed by the key; the key itself is not
/// sent.
async fn check_key(key: &ApiKey, hosts: &Hosts) -> Verdict {
    let host = hosts.primary();
    let origin = Origin {
        secure: host.tls,
        host: host.name.clone(),
        port: host.port,
    };
    let mut request = TokenRequest {
        key_name: key.name().as_str().to_owned(),
        ttl: "60000".to_owned(),
        timestamp: clock::wire_ms().to_string(),
        nonce: STANDARD.encode(rand::random::<[u8; 16]>()),
        ..TokenRequest::default()
    };
    request.sign(key);
    let body = serde_json::to_vec(&request).expect("texts serialize");
    let url = Url::at(
        &origin,
        format!("/keys/{}/requestToken", key.name().as_str()),
    );
    let request = Request::post_json(url, body).within(PATIENCE);
    let response = match Client::new(Tls::system()).send(&request).await {
        Ok(response) => response,
        Err(error) => return Verdict::Unknown(Report(&error).to_string()),
    };
    if response.status.is_success() {
        return Verdict::Good;
    }
    let said = said(&response.body).unwrap_or_else(|| response.status.to_string());
    match response.status.as_u16() {
        429 | 500.. => Verdict::Unknown(format!("{}: {said}", origin.authority())),
        _ => Verdict::Refused(said),
    }
}

/// What Ably gave as its reason.
fn said(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Answer {
        error: Reason,
    }
    #[derive(serde::Deserialize)]
    struct Reason {
        code: i64,
        message: String,
    }
    let Answer { error } = serde_json::from_slice(body).ok()?;
    let message: String = error.message.chars().take(200).collect();
    Some(format!("{message} ({})", error.code))
}
