//! The HTTP form: one POST a heartbeat, one task.

use std::time::Duration;

use hyper::StatusCode;
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use crate::clock;
use crate::net::http::{Client, HttpError, Request, Url};
use crate::protocol::ably::auth::AccessToken;
use crate::report::Report;
use crate::shutdown::Shutdown;

use super::super::StopBy;
use super::Heartbeat;

/// How long one POST may take: one that hangs must not cost two heartbeats.
const POST_TIMEOUT: Duration = Duration::from_secs(4);

/// The receiver's answer is read for one number only.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// How far the number leaps after the first refusal that names none; it
/// doubles with every further one, so that any gap is soon behind us.
const LEAP: i64 = 1000;

/// Where heartbeats are posted.
#[derive(Debug)]
pub(crate) struct HeartbeatEndpoint {
    /// The receiver.
    pub(crate) url: Url,
    /// What proves who posts, if the receiver wants it.
    pub(crate) bearer: Option<AccessToken>,
    /// Who calls.
    pub(crate) client: Client,
}

/// Why a heartbeat was not taken.
#[derive(Debug, thiserror::Error)]
enum PostError {
    #[error("the receiver of heartbeats did not answer")]
    Http(#[from] HttpError),
    #[error("the receiver of heartbeats answered {0}")]
    Status(StatusCode),
    #[error("the receiver of heartbeats has seen a later one")]
    Stale { seen: Option<i64> },
}

/// The number to begin with: the clock, so that it rises over restarts.
#[must_use]
pub(crate) fn first_seq() -> i64 {
    clock::wire_ms()
}

/// Posts heartbeats until `shutdown` begins, then that the device is gone,
/// by `stop_by`.
pub(crate) async fn run_http(
    mut heartbeat: Heartbeat,
    endpoint: HeartbeatEndpoint,
    stop_by: StopBy,
    shutdown: Shutdown,
) {
    let mut failures = Failures::default();
    while let Some(due) = heartbeat.poll_timeout() {
        let posted = tokio::select! {
            () = shutdown.begun() => None,
            posted = beat(&mut heartbeat, &endpoint, due) => posted,
        };
        match posted {
            Some(posted) => failures.note(posted, &mut heartbeat),
            None => break,
        }
    }
    let body = heartbeat.offline(clock::wire_ms());
    if let Err(error) = endpoint.post(body, stop_by.left()).await {
        tracing::warn!(error = %Report(&error), "Could not say that this device goes offline.");
    }
}

async fn beat(
    heartbeat: &mut Heartbeat,
    endpoint: &HeartbeatEndpoint,
    due: Instant,
) -> Option<Result<(), PostError>> {
    sleep_until(due).await;
    let body = heartbeat.poll_online(Instant::now(), clock::wire_ms())?;
    Some(endpoint.post(body, POST_TIMEOUT).await)
}

impl HeartbeatEndpoint {
    async fn post(&self, body: Vec<u8>, deadline: Duration) -> Result<(), PostError> {
        let mut request = Request::post_json(self.url.clone(), body)
            .answer_bytes_max(ANSWER_BYTES_MAX)
            .within(deadline);
        if let Some(bearer) = &self.bearer {
            request = request.bearer(bearer.reveal());
        }
        let response = self.client.send(&request).await?;
        match response.status {
            status if status.is_success() => Ok(()),
            StatusCode::CONFLICT => Err(PostError::Stale {
                seen: seen_seq(&response.body),
            }),
            status => Err(PostError::Status(status)),
        }
    }
}

/// The number a receiver names as its latest, if it does.
fn seen_seq(body: &[u8]) -> Option<i64> {
    #[derive(Deserialize)]
    struct Seen {
        #[serde(alias = "current_seq", alias = "last_seq", alias = "latest_seq")]
        seq: i64,
    }
    serde_json::from_slice(body).ok().map(|Seen { seq }| seq)
}

/// Failures since the last heartbeat that was taken.
#[derive(Debug, Default)]
struct Failures {
    all: u32,
    stale: u32,
}

impl Failures {
    /// One line when it begins to fail and one when it works again.
    fn note(&mut self, posted: Result<(), PostError>, heartbeat: &mut Heartbeat) {
        let Err(error) = posted else {
            if 0 < self.all {
                tracing::info!(failures = self.all, "Heartbeats are taken again.");
            }
            *self = Self::default();
            return;
        };
        if let PostError::Stale { seen } = error {
            heartbeat.skip_ahead(seen, LEAP << self.stale.min(32));
            self.stale += 1;
        }
        if self.all == 0 {
            tracing::warn!(error = %Report(&error), "A heartbeat was not taken; this device may be shown as offline.");
        } else {
            tracing::debug!(error = %Report(&error), "A heartbeat was not taken.");
        }
        self.all = self.all.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Form;
    use super::*;
    use crate::net::tls::Tls;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    const INTERVAL: Duration = Duration::from_millis(20);

    /// Answers each POST with the next of `answers`, then 200; tells the bodies.
    async fn receiver(
        answers: &'static [&'static str],
    ) -> (Url, mpsc::Receiver<serde_json::Value>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let port = listener.local_addr().expect("bound").port();
        let (told, bodies) = mpsc::channel(64);
        tokio::spawn(async move {
            let mut answers = answers.iter();
            loop {
                let (mut stream, _) = listener.accept().await.expect("accepts");
                let mut request = Vec::new();
                while !request.ends_with(b"}") {
                    stream.read_buf(&mut request).await.expect("reads");
                }
                let text = String::from_utf8(request).expect("text");
                assert!(text.contains("authorization: Bearer who-i-am\r\n"));
                let (_, body) = text.split_once("\r\n\r\n").expect("a body");
                _ = told.send(serde_json::from_str(body).expect("JSON")).await;
                let answer = answers
                    .next()
                    .unwrap_or(&"200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
                let answer = format!("HTTP/1.1 {answer}");
                stream.write_all(answer.as_bytes()).await.expect("writes");
            }
        });
        let url = format!("http://127.0.0.1:{port}/beat");
        (url.parse().expect("a URL"), bodies)
    }

    fn start(url: Url, shutdown: &Shutdown) {
        let form = Form::Http { next_seq: 1 };
        let ttl = Duration::from_secs(12);
        let heartbeat = Heartbeat::new("u", "d", form, INTERVAL, ttl, Instant::now());
        let endpoint = HeartbeatEndpoint {
            url,
            bearer: Some(AccessToken::new("who-i-am")),
            client: Client::new(Tls::system()),
        };
        shutdown.spawn(run_http(
            heartbeat,
            endpoint,
            StopBy::default(),
            shutdown.clone(),
        ));
    }

    #[tokio::test]
    async fn online_is_posted_at_once_and_again_and_offline_at_the_end() {
        let (url, mut bodies) = receiver(&[]).await;
        let shutdown = Shutdown::new();
        start(url, &shutdown);
        for seq in 1..=3 {
            let body = bodies.recv().await.expect("a heartbeat");
            assert_eq!(
                (&body["status"], &body["seq"]),
                (&"online".into(), &seq.into())
            );
        }
        shutdown.drain(Duration::from_secs(2)).await;
        let mut last = serde_json::Value::Null;
        while let Ok(body) = bodies.try_recv() {
            last = body;
        }
        assert_eq!(last["status"], "offline");
    }

    #[tokio::test]
    async fn a_stale_number_and_a_failing_receiver_are_overcome() {
        let (url, mut bodies) = receiver(&[
            "409 Conflict\r\nconnection: close\r\ncontent-length: 12\r\n\r\n{\"seq\":5000}",
            "503 Busy\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            "409 Conflict\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        ])
        .await;
        let shutdown = Shutdown::new();
        start(url, &shutdown);
        let mut seqs = Vec::new();
        for _ in 0..4 {
            seqs.push(bodies.recv().await.expect("a heartbeat")["seq"].as_i64());
        }
        assert_eq!(
            seqs,
            [Some(1), Some(5001), Some(5002), Some(5003 + 2 * LEAP)]
        );
        shutdown.drain(Duration::from_secs(2)).await;
    }
}
