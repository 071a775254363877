//! Serves the numbers of the status over HTTP, to this machine only.
//!
//! `GET /metrics` asks the supervisor as `falco status` does and is answered
//! with the same text as `falco metrics`; there is nothing else. It answers to
//! names of this machine only, so that no page in a browser reads it under a
//! name that was made to lead here. One request a
//! connection, so few connections at once and so long for each; where there are
//! as many as may be, the oldest that has not asked yet gives way to the next.
//!
//! Stops when its [`Endpoint`] is dropped, or with the shutdown.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::uri::Authority;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::server::Command;
use crate::protocol::control::{Event, Request, Status};
use crate::protocol::metrics;
use crate::shutdown::Shutdown;

/// Connections being served at once; more wait in the socket's backlog.
const CONNECTIONS_MAX: usize = 8;

/// How long a request may take to be said: whoever scrapes is on this machine.
const HEAD_PATIENCE: Duration = Duration::from_secs(1);

/// How long a connection may last; the answer itself takes a third of a second
/// when a part does not say how it is.
const CLIENT_PATIENCE: Duration = Duration::from_secs(5);

/// The longest head of a request; hyper takes no smaller bound.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// How long to wait when the kernel has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Whoever reaches it can read it.
    #[error("{0} is no loopback address; metrics are for this machine only, e.g. 127.0.0.1:9464")]
    NotLoopback(SocketAddr),
    /// The address is taken or not ours.
    #[error("failed to listen on {address}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// An address where metrics are served; dropped, they are no more.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    stop: Shutdown,
}

type Response = hyper::Response<Full<Bytes>>;

impl Endpoint {
    /// Listens on `wanted` and asks whoever takes `commands`.
    ///
    /// # Errors
    ///
    /// When the address is none of this machine's own, or taken.
    pub fn start(
        wanted: SocketAddr,
        commands: mpsc::Sender<Command>,
        shutdown: &Shutdown,
    ) -> Result<Self, EndpointError> {
        if !wanted.ip().is_loopback() {
            return Err(EndpointError::NotLoopback(wanted));
        }
        let (listener, address) = listen(wanted).map_err(|source| EndpointError::Listen {
            address: wanted,
            source,
        })?;
        // It only tells; the tasks are those of the parent, who waits for them.
        let stop = shutdown.child();
        shutdown.spawn(accept(listener, commands, stop.clone(), shutdown.clone()));
        Ok(Self { address, stop })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.stop.begin();
    }
}

/// An address of this machine is bound at once: nothing is waited for.
fn listen(wanted: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind(wanted)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, address))
}

async fn accept(
    listener: TcpListener,
    commands: mpsc::Sender<Command>,
    stop: Shutdown,
    tasks: Shutdown,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut clients = Clients::default();
    loop {
        let accepted = tokio::select! {
            () = stop.begun() => return,
            accepted = next(&listener, &slots, &mut clients) => accepted,
        };
        let Some((stream, slot)) = accepted else {
            continue;
        };
        let (commands, stop) = (commands.clone(), stop.clone());
        let (has_asked, leave) = clients.add();
        tasks.spawn(async move {
            let served = timeout(CLIENT_PATIENCE, serve(stream, commands, has_asked));
            tokio::select! {
                () = stop.begun() => {}
                _ = leave => {}
                _ = served => {}
            }
            drop(slot);
        });
    }
}

async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    clients: &mut Clients,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let stream = match listener.accept().await {
        Ok((stream, _)) => stream,
        Err(error) => {
            tracing::warn!(%error, "Could not accept a reader of metrics.");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            return None;
        }
    };
    if slots.available_permits() == 0 {
        clients.dismiss_silent();
    }
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    Some((stream, slot))
}

/// The connections being served, the oldest first.
#[derive(Debug, Default)]
struct Clients(VecDeque<Client>);

#[derive(Debug)]
struct Client {
    has_asked: Arc<AtomicBool>,
    /// Closed when it is served.
    leave: oneshot::Sender<()>,
}

impl Clients {
    /// One more: where to say that it has asked, and what tells it to leave.
    fn add(&mut self) -> (Arc<AtomicBool>, oneshot::Receiver<()>) {
        self.0.retain(|client| !client.leave.is_closed());
        let has_asked = Arc::new(AtomicBool::new(false));
        let (leave, left) = oneshot::channel();
        let asked = Arc::clone(&has_asked);
        self.0.push_back(Client { has_asked, leave });
        (asked, left)
    }

    /// Has the oldest leave that has not asked yet, if there is one.
    fn dismiss_silent(&mut self) {
        self.0.retain(|client| !client.leave.is_closed());
        let is_silent = |client: &Client| !client.has_asked.load(Ordering::Relaxed);
        let silent = self.0.iter().position(is_silent);
        if let Some(client) = silent.and_then(|at| self.0.remove(at)) {
            _ = client.leave.send(());
        }
    }
}

async fn serve(stream: TcpStream, commands: mpsc::Sender<Command>, has_asked: Arc<AtomicBool>) {
    let service = service_fn(|request| {
        has_asked.store(true, Ordering::Relaxed);
        let commands = commands.clone();
        async move { Ok::<_, Infallible>(answer(&request, &commands).await) }
    });
    let served = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "A request for metrics could not be read.");
    }
}

async fn answer(request: &hyper::Request<Incoming>, commands: &mpsc::Sender<Command>) -> Response {
    if !is_for_this_machine(request) {
        let foreign = "this answers to localhost and loopback addresses only\n".to_owned();
        return text(StatusCode::FORBIDDEN, foreign);
    }
    if request.uri().path() != "/metrics" {
        return text(StatusCode::NOT_FOUND, "there is only /metrics\n".to_owned());
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
        let allowed = HeaderValue::from_static("GET, HEAD");
        refused.headers_mut().insert(ALLOW, allowed);
        return refused;
    }
    let Some(status) = ask(commands).await else {
        let gone = "the chain is being stopped\n".to_owned();
        return text(StatusCode::SERVICE_UNAVAILABLE, gone);
    };
    let mut page = text(StatusCode::OK, metrics::text(&status));
    let kind = HeaderValue::from_static(metrics::CONTENT_TYPE);
    page.headers_mut().insert(CONTENT_TYPE, kind);
    page
}

/// Whether it was asked for by a name that only leads here.
fn is_for_this_machine(request: &hyper::Request<Incoming>) -> bool {
    let named = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok());
    let named = named.and_then(|host| host.parse::<Authority>().ok());
    let Some(authority) = request.uri().authority().cloned().or(named) else {
        return false;
    };
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    let address = host.parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

async fn ask(commands: &mpsc::Sender<Command>) -> Option<Box<Status>> {
    let (events, mut answers) = mpsc::channel(1);
    let command = Command {
        request: Request::Status,
        events,
        peer: None,
    };
    commands.send(command).await.ok()?;
    match answers.recv().await? {
        Event::Status(status) => Some(status),
        _ => None,
    }
}

fn text(code: StatusCode, body: String) -> Response {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = code;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_loopback_is_served() {
        let (commands, _requests) = mpsc::channel(1);
        let all = "0.0.0.0:0".parse().unwrap();
        let refused = Endpoint::start(all, commands, &Shutdown::new());
        assert!(matches!(refused, Err(EndpointError::NotLoopback(_))));
    }

    #[test]
    fn the_oldest_that_has_not_asked_gives_way_and_nobody_who_has() {
        let mut clients = Clients::default();
        let (asked, mut one) = clients.add();
        let (_, two) = clients.add();
        let (_, mut three) = clients.add();
        asked.store(true, Ordering::Relaxed);
        drop(two);
        clients.dismiss_silent();
        assert!(one.try_recv().is_err());
        assert_eq!(three.try_recv(), Ok(()), "the one before is served");
        clients.dismiss_silent();
        assert!(one.try_recv().is_err());
    }

    #[tokio::test]
    async fn an_endpoint_that_is_dropped_frees_its_address() {
        let (commands, _requests) = mpsc::channel(1);
        let shutdown = Shutdown::new();
        let start = |address| Endpoint::start(address, commands.clone(), &shutdown);
        let first = start("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.address();
        assert!(matches!(start(address), Err(EndpointError::Listen { .. })));
        drop(first);
        while start(address).is_err() {
            tokio::task::yield_now().await;
        }
    }
}
