//! Ably's REST interface: one function per resource, JSON or msgpack.

mod channels;
mod objects;
mod page;
mod tokens;

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::protocol::ably::codec::{self, Format};
use crate::protocol::ably::error::ErrorInfo;
use crate::protocol::ably::object::ROOT;
use crate::report::Report;

use super::access::{Credentials, Grant, authenticate};
use super::limits::FRAME_BYTES_MAX;
use super::{Emulator, now_ms, server};

/// How long a client may take to send the body of a request.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What is sent back.
pub(super) type Response = hyper::Response<Full<Bytes>>;

/// A request, read to its end.
struct Call {
    method: Method,
    /// The decoded segments of the path.
    path: Vec<String>,
    query: HashMap<String, String>,
    headers: HeaderMap,
    body: Bytes,
    now_ms: i64,
}

/// What a resource answers with.
struct Answer {
    status: StatusCode,
    format: Format,
    body: Vec<u8>,
    /// `Link` headers, one per relation.
    links: Vec<String>,
}

/// Answers one request.
pub(super) async fn handle(emulator: &Emulator, request: Request<Incoming>) -> Response {
    if request.method() == Method::OPTIONS {
        return open_to_browsers(empty(StatusCode::NO_CONTENT));
    }
    let format = accepted(request.headers(), request.uri().query().unwrap_or_default());
    let answered = match read(emulator, request).await {
        Ok(call) => route(emulator, &call, format),
        Err(error) => Err(error),
    };
    open_to_browsers(match answered {
        Ok(answer) => answer.into_response(),
        Err(error) => refuse(&error, format),
    })
}

fn route(emulator: &Emulator, call: &Call, format: Format) -> Result<Answer, ErrorInfo> {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    match (&call.method, path.as_slice()) {
        (&Method::GET, ["time"]) => Ok(Answer::ok(format, &[call.now_ms])),
        (&Method::GET, ["healthz" | "readyz"]) => Ok(Answer::ok(format, "ok")),
        (&Method::POST, ["keys", key_name, "requestToken"]) => {
            tokens::request(emulator, call, key_name, format)
        }
        (&Method::GET, ["channels", name]) => channels::status(emulator, call, name, format),
        (&Method::POST, ["channels", name, "messages"]) => {
            channels::publish(emulator, call, name, format)
        }
        (&Method::GET, ["channels", name, "messages" | "history"]) => {
            channels::history(emulator, call, name, format)
        }
        (&Method::GET, ["channels", name, "presence"]) => {
            channels::presence(emulator, call, name, format)
        }
        (&Method::GET, ["channels", name, "presence", "history"]) => {
            channels::presence_history(emulator, call, name, format)
        }
        (&Method::POST, ["channels", name, "object"]) => {
            objects::publish(emulator, call, name, format)
        }
        (&Method::GET, ["channels", name, "object"]) => {
            objects::read(emulator, call, name, ROOT, format)
        }
        (&Method::GET, ["channels", name, "object", id]) => {
            objects::read(emulator, call, name, id, format)
        }
        _ => Err(ErrorInfo::new(40400, "the emulator has no such resource")),
    }
}

impl Call {
    /// Who asks, and what they may do.
    fn authenticate(&self, emulator: &Emulator) -> Result<Grant, ErrorInfo> {
        let credentials = self.credentials();
        let mut grant = authenticate(&emulator.hub().key, credentials.as_ref(), self.now_ms)?;
        grant.identity = grant.identity.assume(self.client_id().as_deref())?;
        Ok(grant)
    }

    fn credentials(&self) -> Option<Credentials> {
        let header = self
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let from_query = |name: &str| self.query.get(name).cloned();
        let token = || from_query("accessToken").or_else(|| from_query("access_token"));
        header
            .and_then(Credentials::from_header)
            .or_else(|| from_query("key").map(Credentials::Key))
            .or_else(|| token().map(Credentials::Token))
    }

    /// `X-Ably-ClientId`, which is base64 (RSA7e2).
    fn client_id(&self) -> Option<String> {
        use base64::Engine as _;
        let value = self.headers.get("x-ably-clientid")?;
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(value.as_bytes())
            .ok()?;
        String::from_utf8(bytes).ok()
    }

    /// The body as one value.
    fn decode<T: DeserializeOwned>(&self) -> Result<T, ErrorInfo> {
        codec::decode_value(self.body_format(), &self.body).map_err(|error| unreadable(&error))
    }

    /// The body as one value or a list of them.
    fn decode_one_or_many<T: DeserializeOwned>(&self) -> Result<Vec<T>, ErrorInfo> {
        let decoded = codec::decode_one_or_many(self.body_format(), &self.body);
        decoded.map_err(|error| unreadable(&error))
    }

    fn body_format(&self) -> Format {
        let value = self
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        match value {
            Some(value) if value.contains("msgpack") => Format::Msgpack,
            _ => Format::Json,
        }
    }
}

fn unreadable(error: &codec::DecodeError) -> ErrorInfo {
    ErrorInfo::new(
        40000,
        format!("the request body cannot be read: {}", Report(error)),
    )
}

impl Answer {
    fn ok<T: Serialize + ?Sized>(format: Format, value: &T) -> Self {
        let mut body = Vec::new();
        codec::encode_value_into(format, value, &mut body);
        Self {
            status: StatusCode::OK,
            format,
            body,
            links: Vec::new(),
        }
    }

    fn created<T: Serialize + ?Sized>(format: Format, value: &T) -> Self {
        Self {
            status: StatusCode::CREATED,
            ..Self::ok(format, value)
        }
    }

    fn page<T: Serialize>(format: Format, call: &Call, page: &page::Page<T>) -> Self {
        let links = page::links(call, page.next.as_deref());
        Self {
            links,
            ..Self::ok(format, &page.items)
        }
    }

    fn into_response(self) -> Response {
        let mut response = with_body(self.status, self.format, self.body);
        for link in self.links {
            if let Ok(value) = HeaderValue::try_from(link) {
                response.headers_mut().append(header::LINK, value);
            }
        }
        response
    }
}

/// Reads a request to its end. Nothing is read from a stranger who wants to
/// publish, and nobody may take their time.
async fn read(emulator: &Emulator, request: Request<Incoming>) -> Result<Call, ErrorInfo> {
    let (parts, body) = request.into_parts();
    let mut call = read_head(parts);
    if call.method == Method::POST && call.path.first().is_some_and(|first| first == "channels") {
        call.authenticate(emulator)?;
    }
    let body = Limited::new(body, FRAME_BYTES_MAX).collect();
    let late = |_| ErrorInfo::with_status(40000, 408, "the request body did not come in time");
    let body = tokio::time::timeout(BODY_TIMEOUT, body)
        .await
        .map_err(late)?;
    let body =
        body.map_err(|_| ErrorInfo::with_status(40009, 413, "the request body is too large"))?;
    call.body = body.to_bytes();
    call.now_ms = now_ms();
    Ok(call)
}

fn read_head(parts: hyper::http::request::Parts) -> Call {
    let path = parts.uri.path();
    let path = path.strip_prefix('/').unwrap_or(path);
    let segments = path.strip_suffix('/').unwrap_or(path).split('/');
    let decode = |segment: &str| percent_decode_str(segment).decode_utf8_lossy().into_owned();
    Call {
        method: parts.method,
        path: segments.map(decode).collect(),
        query: server::query(parts.uri.query().unwrap_or_default()),
        headers: parts.headers,
        body: Bytes::new(),
        now_ms: now_ms(),
    }
}

/// The format the client wants to read.
fn accepted(headers: &HeaderMap, query: &str) -> Format {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    let by_header = accept.is_some_and(|value| value.contains("msgpack"));
    if by_header || query.contains("format=msgpack") {
        Format::Msgpack
    } else {
        Format::Json
    }
}

/// Says what is wrong, in the body and in Ably's headers.
fn refuse(error: &ErrorInfo, format: Format) -> Response {
    #[derive(Serialize)]
    struct Body<'a> {
        error: &'a ErrorInfo,
    }
    let mut body = Vec::new();
    codec::encode_value_into(format, &Body { error }, &mut body);
    let status = StatusCode::from_u16(error.status_code).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = with_body(status, format, body);
    let headers = response.headers_mut();
    headers.insert(
        HeaderName::from_static("x-ably-errorcode"),
        HeaderValue::from(error.code),
    );
    if let Ok(text) = HeaderValue::from_str(&error.message) {
        headers.insert(HeaderName::from_static("x-ably-errormessage"), text);
    }
    response
}

fn with_body(status: StatusCode, format: Format, body: Vec<u8>) -> Response {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let media_type = HeaderValue::from_static(format.media_type());
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, media_type);
    response
}

/// A response without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

/// Lets web pages use the emulator, as they may use Ably: credentials are in
/// the request itself, never in what a browser adds on its own.
fn open_to_browsers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "*, Authorization"),
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            "GET, POST, PUT, PATCH, DELETE, OPTIONS",
        ),
        (
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            "Link, X-Ably-Errorcode, X-Ably-Errormessage",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
