//! Object set: one key of a channel's root map, over LiveObjects' REST.
//!
//! ```text
//! POST /channels/<channel>/object
//! {"objectId":"root","mapSet":{"key":"status","value":{"string":"running"}},"id":"<idempotency id>"}
//! ```
//!
//! | value in the request | value at Ably |
//! |---|---|
//! | string | `{"string": …}` |
//! | number | `{"number": …}`, digit for digit |
//! | true, false | `{"boolean": …}` |
//! | object, array, null | `{"json": "<its text>"}` |

use std::time::Duration;

use base64::Engine as _;
use hyper::header::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::net::dial::Origin;
use crate::net::http::{Client, HttpError, Request, Response, Url};
use crate::protocol::ably::auth::AccessToken;
use crate::protocol::ably::error::ErrorInfo;

/// What `encodeURIComponent` leaves alone, so that every channel is one path
/// segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// An answer is a few ids or an error.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A value for one key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ObjectSet<'a> {
    /// The channel whose root map it is.
    pub(crate) channel: &'a str,
    /// The key in the map.
    pub(crate) key: &'a str,
    /// The value, a JSON text.
    pub(crate) value: &'a [u8],
    /// Makes a repetition harmless; empty for none.
    pub(crate) id: &'a str,
}

/// Why a value was not set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObjectError {
    /// The value is no JSON; nothing was sent.
    #[error("object value must be valid JSON: {0}")]
    Value(#[source] serde_json::Error),
    /// There is no answer; the value may have been set.
    #[error("failed to set the object")]
    Http(#[from] HttpError),
    /// Ably refused it.
    #[error(transparent)]
    Refused(#[from] ErrorInfo),
}

impl ObjectError {
    /// Ably's code, when Ably spoke.
    #[must_use]
    pub(crate) fn code(&self) -> Option<u32> {
        match self {
            Self::Value(_) | Self::Http(_) => None,
            Self::Refused(error) => Some(error.code),
        }
    }

    /// Whether the same set may succeed later.
    #[must_use]
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Value(_) => false,
            Self::Http(_) => true,
            Self::Refused(error) => error.is_retryable(),
        }
    }

    /// Whether it may succeed at once with a new token.
    #[must_use]
    pub(crate) fn is_token_error(&self) -> bool {
        matches!(self, Self::Refused(error) if error.is_token_error())
    }
}

/// Sets a value, within `deadline`.
///
/// # Errors
///
/// See [`ObjectError`].
pub(crate) async fn set(
    client: &Client,
    origin: &Origin,
    token: &AccessToken,
    set: ObjectSet<'_>,
    deadline: Duration,
) -> Result<(), ObjectError> {
    let channel = utf8_percent_encode(set.channel, SEGMENT);
    let url = Url::at(origin, format!("/channels/{channel}/object"));
    let request = Request::post_json(url, body(set)?)
        .header(
            HeaderName::from_static("x-ably-version"),
            HeaderValue::from_static("6"),
        )
        .bearer(&base64::engine::general_purpose::STANDARD.encode(token.reveal()))
        .answer_bytes_max(ANSWER_BYTES_MAX)
        .within(deadline);
    let response = client.send(&request).await?;
    if response.status.is_success() {
        return Ok(());
    }
    Err(refusal(&response).into())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Operation<'a> {
    object_id: &'a str,
    map_set: MapSet<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
}

#[derive(Serialize)]
struct MapSet<'a> {
    key: &'a str,
    value: Value<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Value<'a> {
    String(&'a RawValue),
    Number(&'a RawValue),
    Boolean(&'a RawValue),
    Json(&'a str),
}

fn body(set: ObjectSet<'_>) -> Result<Vec<u8>, ObjectError> {
    let value: &RawValue = serde_json::from_slice(set.value).map_err(ObjectError::Value)?;
    let value = match value.get().as_bytes().first() {
        Some(b'"') => Value::String(value),
        Some(b't' | b'f') => Value::Boolean(value),
        Some(b'-' | b'0'..=b'9') => Value::Number(value),
        _ => Value::Json(value.get()),
    };
    let operation = Operation {
        object_id: "root",
        map_set: MapSet {
            key: set.key,
            value,
        },
        id: set.id,
    };
    serde_json::to_vec(&operation).map_err(ObjectError::Value)
}

/// What Ably, or something before it, said.
fn refusal(response: &Response) -> ErrorInfo {
    #[derive(serde::Deserialize)]
    struct Body {
        error: ErrorInfo,
    }
    let status = response.status.as_u16();
    if let Ok(Body { error }) = serde_json::from_slice(&response.body) {
        return error;
    }
    let header = |name| response.headers.get(name)?.to_str().ok();
    let code = header("x-ably-errorcode").and_then(|code| code.parse().ok());
    let text = header("x-ably-errormessage").map(str::to_owned);
    ErrorInfo::with_status(
        code.unwrap_or(u32::from(status) * 100),
        status,
        text.unwrap_or_else(|| format!("the server answered {}", response.status)),
    )
}

#[cfg(test)]
mod tests;
