//! The first thing on a websocket: who it is, and CONNECTED.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::emulator::access::{Credentials, authenticate};
use crate::emulator::hub::{PRESENCE_GRACE_MS, Resume};
use crate::emulator::{Emulator, now_ms};
use crate::protocol::ably::codec::Format;
use crate::protocol::ably::error::ErrorInfo;

use super::Outbox;
use super::connection::Connection;

/// The parameters of a websocket URL.
#[derive(Clone)]
pub(in crate::emulator) struct Params {
    pub(in crate::emulator) format: Format,
    pub(in crate::emulator) wants_heartbeats: bool,
    pub(super) wants_echo: bool,
    credentials: Option<Credentials>,
    client_id: Option<String>,
    resume: Option<String>,
    /// How long its members stay present after its socket is lost.
    pub(super) grace_ms: i64,
    version: Option<u32>,
}

impl Params {
    /// Reads the parameters; `header` is the request's `Authorization`.
    pub(in crate::emulator) fn new(
        mut query: HashMap<String, String>,
        header: Option<&str>,
    ) -> Self {
        let format = match query.get("format").map(String::as_str) {
            Some("msgpack") => Format::Msgpack,
            _ => Format::Json,
        };
        let is_true =
            |name: &str, default: bool| query.get(name).map_or(default, |text| text != "false");
        let (wants_echo, wants_heartbeats) = (is_true("echo", true), is_true("heartbeats", true));
        let mut take = |name: &str| query.remove(name).filter(|text| !text.is_empty());
        let token = take("accessToken").or_else(|| take("access_token"));
        let key = take("key").map(Credentials::Key);
        let credentials = key.or(token.map(Credentials::Token));
        let grace_ms = take("remainPresentFor").and_then(|text| text.parse().ok());
        Self {
            format,
            wants_heartbeats,
            wants_echo,
            credentials: credentials.or_else(|| header.and_then(Credentials::from_header)),
            client_id: take("clientId"),
            resume: take("resume").or_else(|| take("recover")),
            grace_ms: grace_ms.unwrap_or(PRESENCE_GRACE_MS).clamp(1000, 300_000),
            version: take("v").and_then(|text| text.split('.').next()?.parse().ok()),
        }
    }
}

/// Protocol versions that we speak.
const VERSIONS: std::ops::RangeInclusive<u32> = 1..=99;

/// Lets a client in and says CONNECTED, or says why not.
pub(super) fn open(
    emulator: &Emulator,
    params: &Params,
    wake: Arc<Notify>,
    outbox: &mut Outbox,
) -> Result<Connection, ErrorInfo> {
    if params
        .version
        .is_some_and(|version| !VERSIONS.contains(&version))
    {
        return Err(ErrorInfo::new(40003, "unknown protocol version"));
    }
    let now_ms = now_ms();
    let mut hub = emulator.hub();
    let mut grant = authenticate(&hub.key, params.credentials.as_ref(), now_ms)?;
    grant.identity = grant.identity.assume(params.client_id.as_deref())?;
    let session = hub.open_session(wake);
    let client_id = grant.identity.client_id().unwrap_or_default().to_owned();
    let resume = Resume {
        key: params.resume.as_deref(),
        client_id: &client_id,
    };
    let connected = match hub.connect(session, resume) {
        Ok(connected) => connected,
        Err(error) => {
            hub.close_session(session, std::iter::empty());
            return Err(error);
        }
    };
    let connection = Connection::new(session, &connected, grant, params, &hub, now_ms);
    connection.push_connected(&hub, connected.key, connected.error, outbox);
    Ok(connection)
}
