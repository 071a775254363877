//! JWTs signed with an API key (HS256), as Ably reads them.
//!
//! ```text
//! header  {"typ":"JWT","alg":"HS256","kid":"<key name>"}
//! claims  {"iat","exp" (seconds), "x-ably-capability" (a JSON text), "x-ably-clientId"}
//! token   base64url(header) . base64url(claims) . base64url(HMAC-SHA256(key secret, all before))
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::Sha256;

use super::super::error::ErrorInfo;
use super::{AccessToken, ApiKey};

/// A longer token is invalid (RSA4f).
pub const TOKEN_BYTES_MAX: usize = 128 * 1024;

#[derive(Serialize)]
struct HeaderOut<'a> {
    typ: &'a str,
    alg: &'a str,
    kid: &'a str,
}

#[derive(Deserialize)]
struct HeaderIn {
    alg: String,
    #[serde(default)]
    kid: String,
}

/// What a JWT says, once its signature has been checked or before it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Issued at, seconds since the epoch.
    #[serde(rename = "iat", default, deserialize_with = "numeric_date")]
    pub issued: i64,
    /// Invalid from then on, seconds since the epoch.
    #[serde(rename = "exp", deserialize_with = "numeric_date")]
    pub expires: i64,
    /// A JSON text, see [`super::Capability`]; absent, the key's own.
    #[serde(
        rename = "x-ably-capability",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub capability: Option<String>,
    /// Who the bearer is; absent, nobody in particular.
    #[serde(
        rename = "x-ably-clientId",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub client_id: Option<String>,
}

/// A NumericDate of RFC 7519: it may have a fraction, which is cut off.
fn numeric_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    if let Some(seconds) = number.as_i64() {
        return Ok(seconds);
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float beyond i64 saturates, which stays beyond every clock"
    )]
    let seconds = number.as_f64().unwrap_or_default().floor() as i64;
    Ok(seconds)
}

/// Why a token is no valid JWT.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// Over [`TOKEN_BYTES_MAX`].
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// Not three base64url parts with JSON in the first two.
    #[error("the token is no JWT: its {0} cannot be read")]
    Malformed(&'static str),
    /// Not signed with HS256.
    #[error("the JWT's algorithm is not HS256")]
    Algorithm,
    /// Signed with a key the server does not have.
    #[error("no key has the name `{0}`")]
    UnknownKey(String),
    /// Signed with another secret, or changed since.
    #[error("the JWT's signature does not match its key")]
    BadSignature,
    /// `exp` has passed.
    #[error("the JWT expired at {0} s since the epoch")]
    Expired(i64),
}

impl From<&JwtError> for ErrorInfo {
    fn from(error: &JwtError) -> Self {
        let code = match error {
            JwtError::TooLong
            | JwtError::Malformed(_)
            | JwtError::Algorithm
            | JwtError::BadSignature => 40144,
            JwtError::UnknownKey(_) => 40101,
            JwtError::Expired(_) => 40142,
        };
        Self::new(code, error.to_string())
    }
}

/// Signs `claims` with `key`.
///
/// # Panics
///
/// Never: the header and the claims always serialize.
#[must_use]
pub fn sign_jwt(key: &ApiKey, claims: &Claims) -> AccessToken {
    let header = HeaderOut {
        typ: "JWT",
        alg: "HS256",
        kid: key.name().as_str(),
    };
    let header = serde_json::to_vec(&header).expect("a header serializes");
    let claims = serde_json::to_vec(claims).expect("claims serialize");
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = mac(key.secret().as_bytes(), token.as_bytes()).finalize();
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature.into_bytes(), &mut token);
    AccessToken::new(token)
}

/// Reads `token`, and believes it only if `find_key` has the key its header
/// names, its signature is that key's, and it has not expired at `now_ms`.
///
/// # Errors
///
/// The first of these that does not hold.
pub fn verify_jwt<'k>(
    token: &str,
    find_key: impl FnOnce(&str) -> Option<&'k ApiKey>,
    now_ms: i64,
) -> Result<Claims, JwtError> {
    if TOKEN_BYTES_MAX < token.len() {
        return Err(JwtError::TooLong);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(JwtError::Malformed("form"))?;
    let (header, claims) = signed.split_once('.').ok_or(JwtError::Malformed("form"))?;
    let header: HeaderIn = decode_part(header).ok_or(JwtError::Malformed("header"))?;
    if header.alg != "HS256" {
        return Err(JwtError::Algorithm);
    }
    let key = find_key(&header.kid).ok_or(JwtError::UnknownKey(header.kid))?;
    let signature = URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|_| JwtError::Malformed("signature"))?;
    mac(key.secret().as_bytes(), signed.as_bytes())
        .verify_slice(&signature)
        .map_err(|_| JwtError::BadSignature)?;
    let claims: Claims = decode_part(claims).ok_or(JwtError::Malformed("claims"))?;
    if claims.expires.saturating_mul(1000) <= now_ms {
        return Err(JwtError::Expired(claims.expires));
    }
    Ok(claims)
}

/// What a JWT says of itself, believed by nobody: for whoever carries a token
/// that another will check.
#[must_use]
pub fn peek_jwt(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    decode_part(claims)
}

fn decode_part<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    let json = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&json).ok()
}

/// HMAC-SHA256 of `text` under `secret`, ready to be taken or compared.
pub(super) fn mac(secret: &[u8], text: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(text);
    mac
}

#[cfg(test)]
mod tests;
