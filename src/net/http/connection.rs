//! One connection to one server, driven by whoever uses it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::super::dial::{DialError, Origin, Stream, dial};
use super::super::tls::Tls;
use super::HttpError;

pub(super) type Outgoing = hyper::Request<Full<Bytes>>;

/// A connection between requests, or during one.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) origin: Origin,
    pub(super) idle_since: Instant,
    sender: SendRequest<Full<Bytes>>,
    /// `None` once it has ended.
    driver: Option<http1::Connection<TokioIo<Stream>, Full<Bytes>>>,
}

/// Why a request brought no answer.
pub(super) enum SendError {
    /// The connection had ended before; the server has seen nothing.
    NotSent,
    /// The server may have acted.
    Broken(hyper::Error),
}

impl Connection {
    pub(super) async fn open(
        origin: &Origin,
        tls: &Tls,
        patience: Duration,
    ) -> Result<Self, HttpError> {
        let stream = dial(origin, tls, patience).await?;
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (sender, driver) = shaken.map_err(|_| DialError::Closed {
            host: origin.authority(),
        })?;
        Ok(Self {
            origin: origin.clone(),
            idle_since: Instant::now(),
            sender,
            driver: Some(driver),
        })
    }

    /// Sends `request` and reads the head of its answer.
    pub(super) async fn send(
        &mut self,
        request: Outgoing,
    ) -> Result<hyper::Response<Incoming>, SendError> {
        let Self { sender, driver, .. } = self;
        let exchange = async {
            sender.ready().await.map_err(|_| SendError::NotSent)?;
            let sent = sender.try_send_request(request).await;
            sent.map_err(|mut failed| match failed.take_message() {
                Some(_) => SendError::NotSent,
                None => SendError::Broken(failed.into_error()),
            })
        };
        drive(driver, exchange).await
    }

    /// Drives the connection until `work`, which waits for it, is done.
    pub(super) async fn drive<F: Future>(&mut self, work: F) -> F::Output {
        drive(&mut self.driver, work).await
    }

    pub(super) fn is_closed(&self) -> bool {
        self.driver.is_none() || self.sender.is_closed()
    }
}

async fn drive<D, F>(driver: &mut Option<D>, work: F) -> F::Output
where
    D: Future + Unpin,
    F: Future,
{
    let mut work = pin!(work);
    poll_fn(|cx| {
        if let Some(running) = driver {
            // Whatever ended it also reaches whoever waits on it.
            if pin!(running).poll(cx).is_ready() {
                *driver = None;
            }
        }
        work.as_mut().poll(cx)
    })
    .await
}
