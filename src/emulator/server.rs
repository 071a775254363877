//! Accepts sockets, reads HTTP, and hands websockets to sessions.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tracing::{debug, warn};

use crate::report::Report;
use crate::shutdown::Shutdown;

use super::Emulator;
use super::rest::{self, Response};
use super::session::{self, Params};

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest head of a request; a token in a URL may be long.
const HEAD_BYTES_MAX: usize = 256 * 1024;

/// How long to wait when the kernel has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts sockets until shutdown; each gets a task of its own.
pub(super) async fn accept(emulator: &Arc<Emulator>, listener: &TcpListener, shutdown: &Shutdown) {
    loop {
        let accepted = tokio::select! {
            () = shutdown.begun() => return,
            accepted = listener.accept() => accepted,
        };
        let socket = match accepted {
            Ok((socket, _)) => socket,
            Err(error) => {
                warn!(%error, "Could not accept a client.");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = emulator.sockets.clone().try_acquire_owned() else {
            warn!("Too many clients; one was turned away.");
            continue;
        };
        _ = socket.set_nodelay(true);
        shutdown.spawn(serve_http(
            emulator.clone(),
            socket,
            permit,
            shutdown.clone(),
        ));
    }
}

/// Serves the requests of one socket; `permit` is held as long as it is open.
async fn serve_http(
    emulator: Arc<Emulator>,
    socket: TcpStream,
    permit: OwnedSemaphorePermit,
    shutdown: Shutdown,
) {
    let permit = Arc::new(permit);
    let stop = shutdown.clone();
    let service = service_fn(move |request| {
        let (emulator, shutdown, permit) = (emulator.clone(), shutdown.clone(), permit.clone());
        async move { Ok::<_, Infallible>(handle(emulator, request, permit, shutdown).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    tokio::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => Some(served),
        () = stop.begun() => None,
    };
    let served = if let Some(served) = served {
        served
    } else {
        connection.as_mut().graceful_shutdown();
        connection.await
    };
    if let Err(error) = served {
        debug!(error = %Report(&error), "A client's request could not be read.");
    }
}

async fn handle(
    emulator: Arc<Emulator>,
    request: Request<Incoming>,
    permit: Arc<OwnedSemaphorePermit>,
    shutdown: Shutdown,
) -> Response {
    if is_websocket(&request) {
        upgrade(emulator, request, permit, &shutdown)
    } else {
        rest::handle(&emulator, request).await
    }
}

fn is_websocket(request: &Request<Incoming>) -> bool {
    let upgrade = request
        .headers()
        .get(header::UPGRADE)
        .and_then(|value| value.to_str().ok());
    request.method() == Method::GET
        && upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

/// Answers the handshake and starts the session that takes the socket over.
fn upgrade(
    emulator: Arc<Emulator>,
    mut request: Request<Incoming>,
    permit: Arc<OwnedSemaphorePermit>,
    shutdown: &Shutdown,
) -> Response {
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY) else {
        return rest::empty(StatusCode::BAD_REQUEST);
    };
    let accept = derive_accept_key(key.as_bytes());
    let authorization = request.headers().get(header::AUTHORIZATION);
    let params = Params::new(
        query(request.uri().query().unwrap_or_default()),
        authorization.and_then(|value| value.to_str().ok()),
    );
    let upgrading = hyper::upgrade::on(&mut request);
    let tasks = shutdown.clone();
    shutdown.spawn(async move {
        let _permit = permit;
        let Ok(upgraded) = upgrading.await else {
            return;
        };
        // The socket itself, without hyper's layers around it.
        let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
            return;
        };
        let socket = WebSocketStream::from_partially_read(
            parts.io.into_inner(),
            parts.read_buf.to_vec(),
            Role::Server,
            Some(session::websocket_config()),
        );
        session::serve(emulator, socket.await, params, tasks).await;
    });
    let mut response = rest::empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

/// The parameters of a query string; the last of a name wins.
pub(super) fn query(text: &str) -> HashMap<String, String> {
    let decode = |part: &str| {
        let spaced = part.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded() {
        let query = query("key=a.b%3Ac%2Bd&format=json&empty&x=1+2");
        assert_eq!(query["key"], "a.b:c+d");
        assert_eq!(query["empty"], "");
        assert_eq!(query["x"], "1 2");
    }
}
