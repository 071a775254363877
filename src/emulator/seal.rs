//! What the emulator hands out and must recognise later, also after a restart.
//!
//! Connection keys and Ably tokens carry what they mean and a MAC under the
//! emulator's API key; nothing is stored for either.
//!
//! ```text
//! connection key   <connection id>.<generation>.<MAC>
//! Ably token       <app id>.<base64url of the grant as JSON>.<MAC>
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::protocol::ably::auth::{AccessToken, ApiKey};

/// A connection key that is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConnectionKey {
    pub(super) connection_id: String,
    /// Grows with every key the connection is given.
    pub(super) generation: u64,
}

/// What an Ably token allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TokenGrant {
    /// Milliseconds since the epoch.
    #[serde(rename = "exp")]
    pub(super) expires_ms: i64,
    /// Makes two tokens of the same millisecond differ.
    #[serde(rename = "jti")]
    pub(super) nonce: u64,
    /// JSON text.
    #[serde(rename = "cap")]
    pub(super) capability: String,
    #[serde(rename = "cid", skip_serializing_if = "Option::is_none")]
    pub(super) client_id: Option<String>,
}

/// Why a connection key is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyError {
    /// Not made by us.
    Malformed,
    /// Ours, but for another client.
    OtherClient,
}

/// The connection key of `generation`, good for `client_id` only.
pub(super) fn connection_key(key: &ApiKey, of: &ConnectionKey, client_id: &str) -> String {
    let text = format!("{}.{}", of.connection_id, of.generation);
    let owner = tag(key, "connection-client", &[&text, client_id]);
    let proof = tag(key, "connection-key", &[&text]);
    format!("{text}.{proof}{owner}")
}

/// Reads a connection key presented by `client_id`.
pub(super) fn open_connection_key(
    key: &ApiKey,
    text: &str,
    client_id: &str,
) -> Result<ConnectionKey, KeyError> {
    let (signed, tags) = text.rsplit_once('.').ok_or(KeyError::Malformed)?;
    let (proof, owner) = tags
        .split_at_checked(TAG_CHARS)
        .ok_or(KeyError::Malformed)?;
    if !is_tag(key, "connection-key", &[signed], proof) {
        return Err(KeyError::Malformed);
    }
    if !is_tag(key, "connection-client", &[signed, client_id], owner) {
        return Err(KeyError::OtherClient);
    }
    let (connection_id, generation) = signed.rsplit_once('.').ok_or(KeyError::Malformed)?;
    let generation = generation.parse().map_err(|_| KeyError::Malformed)?;
    Ok(ConnectionKey {
        connection_id: connection_id.to_owned(),
        generation,
    })
}

/// An Ably token for `grant`.
pub(super) fn ably_token(key: &ApiKey, grant: &TokenGrant) -> AccessToken {
    let payload = serde_json::to_vec(grant).expect("a grant serializes");
    let payload = URL_SAFE_NO_PAD.encode(payload);
    let proof = tag(key, "ably-token", &[&payload]);
    AccessToken::new(format!("{}.{payload}.{proof}", key.name().app_id()))
}

/// Reads a token made by [`ably_token`]; whether it has expired is for the
/// caller to check. `None` when it has another form or a wrong MAC.
pub(super) fn open_ably_token(key: &ApiKey, token: &str) -> Option<TokenGrant> {
    let rest = token.strip_prefix(key.name().app_id())?.strip_prefix('.')?;
    let (payload, proof) = rest.split_once('.')?;
    if !is_tag(key, "ably-token", &[payload], proof) {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

/// Base64url characters of a tag: 128 bits of HMAC-SHA256.
const TAG_CHARS: usize = 22;

fn tag(key: &ApiKey, purpose: &str, parts: &[&str]) -> String {
    let digest = mac(key, purpose, parts).finalize().into_bytes();
    URL_SAFE_NO_PAD.encode(&digest[..16])
}

fn is_tag(key: &ApiKey, purpose: &str, parts: &[&str], claimed: &str) -> bool {
    let Ok(claimed) = URL_SAFE_NO_PAD.decode(claimed) else {
        return false;
    };
    claimed.len() == 16
        && mac(key, purpose, parts)
            .verify_truncated_left(&claimed)
            .is_ok()
}

/// HMAC over `purpose` and `parts`, each followed by a NUL, so that no two
/// lists of parts give the same text.
fn mac(key: &ApiKey, purpose: &str, parts: &[&str]) -> Hmac<Sha256> {
    let secret = key.secret().as_bytes();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    for part in std::iter::once(&purpose).chain(parts) {
        mac.update(part.as_bytes());
        mac.update(&[0]);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ApiKey {
        "app.key:secret".parse().expect("a key")
    }

    #[test]
    fn a_connection_key_opens_for_its_own_client_only() {
        let of = ConnectionKey {
            connection_id: "abc".into(),
            generation: 3,
        };
        let text = connection_key(&key(), &of, "ann");
        assert_eq!(open_connection_key(&key(), &text, "ann"), Ok(of));
        assert_eq!(
            open_connection_key(&key(), &text, "bob"),
            Err(KeyError::OtherClient)
        );
    }

    #[test]
    fn a_changed_connection_key_is_malformed() {
        let of = ConnectionKey {
            connection_id: "abc".into(),
            generation: 3,
        };
        let text = connection_key(&key(), &of, "");
        for changed in [
            text.replacen('3', "4", 1),
            "x".into(),
            String::new(),
            format!("é{text}"),
        ] {
            assert_eq!(
                open_connection_key(&key(), &changed, ""),
                Err(KeyError::Malformed)
            );
        }
        let other: ApiKey = "app.key:other".parse().expect("a key");
        assert_eq!(
            open_connection_key(&other, &text, ""),
            Err(KeyError::Malformed)
        );
    }

    #[test]
    fn an_ably_token_says_what_it_allows_and_cannot_be_changed() {
        let grant = TokenGrant {
            expires_ms: 5,
            nonce: 1,
            capability: "{}".into(),
            client_id: Some("ann".into()),
        };
        let token = ably_token(&key(), &grant);
        assert_eq!(open_ably_token(&key(), token.reveal()), Some(grant));
        assert_eq!(
            open_ably_token(&key(), &format!("{}x", token.reveal())),
            None
        );
        assert_eq!(open_ably_token(&key(), "app.e30.AAAA"), None);
    }
}
