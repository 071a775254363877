//! `POST /keys/{keyName}/requestToken`.

use crate::emulator::Emulator;
use crate::emulator::access::issue_token;
use crate::emulator::serial::Position;
use crate::protocol::ably::auth::TokenRequest;
use crate::protocol::ably::codec::Format;
use crate::protocol::ably::error::ErrorInfo;

use super::{Answer, Call};

/// Nonces belong to no channel.
const NONCES: &str = "";

/// Exchanges a token request for a token; its nonce works once (40105).
pub(super) fn request(
    emulator: &Emulator,
    call: &Call,
    key_name: &str,
    format: Format,
) -> Result<Answer, ErrorInfo> {
    let mut request: TokenRequest = call.decode()?;
    let mut hub = emulator.hub();
    if key_name != hub.key.name().as_str() {
        return Err(ErrorInfo::new(40101, "no key has the name in the path"));
    }
    if request.key_name.is_empty() {
        key_name.clone_into(&mut request.key_name);
    }
    let now_ms = call.now_ms;
    let details = issue_token(&hub.key, &request, call.credentials().as_ref(), now_ms)?;
    if !request.mac.is_empty() {
        let nonce = [request.nonce.as_str()];
        if hub.nonces.find(NONCES, &nonce, now_ms).is_some() {
            return Err(ErrorInfo::new(
                40105,
                "the token request's nonce has been used",
            ));
        }
        hub.nonces
            .insert(NONCES, &nonce, Position::default(), now_ms);
    }
    Ok(Answer::created(format, &details))
}
