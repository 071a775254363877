//! Publishing from inside the transport: heartbeats, which go before all else.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::sync::mpsc;
use tokio::time::timeout_at;

use super::reply::{Failure, Reply};
use super::upstream::Upstream;
use crate::ably::outbox::Publish;
use crate::protocol::ably::codec::Format;
use crate::protocol::ably::publish::{Draft, Messages};
use crate::protocol::ipc::TIMED_OUT;

/// Publishes on one upstream.
#[derive(Debug, Clone)]
pub(super) struct Publisher {
    upstream: Upstream,
    format: Format,
}

impl Publisher {
    pub(super) fn new(upstream: Upstream, format: Format) -> Self {
        Self { upstream, format }
    }

    /// Publishes one message and waits for its acknowledgement.
    ///
    /// # Errors
    ///
    /// When it was refused, or not acknowledged within `patience`.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the message may still be published.
    pub(super) async fn publish(
        &self,
        channel: &str,
        event: &str,
        payload: &[u8],
        patience: Duration,
    ) -> Result<(), Failure> {
        let draft = Draft {
            name: event,
            payload_b64: &BASE64.encode(payload),
            ..Draft::default()
        };
        let messages = Messages::encode(self.format, [draft])
            .map_err(|error| Failure::invalid(error.to_string()))?;
        let (to, mut answers) = mpsc::channel(1);
        let deadline = tokio::time::Instant::now() + patience;
        let publish = Publish {
            channel: channel.into(),
            messages,
            deadline: deadline.into_std(),
            tag: Reply::new(to, "publish.ack.v1", "".into(), 0),
        };
        let published = async {
            // A closed upstream drops the publish, which answers it.
            _ = self.upstream.urgent.send(publish).await;
            answers.recv().await
        };
        match timeout_at(deadline, published).await {
            Ok(Some(answer)) => answer.result,
            Ok(None) => Err(Failure::stopping()),
            Err(_) => Err(Failure {
                text: "timed out: not acknowledged".into(),
                code: Some(TIMED_OUT),
                retryable: true,
            }),
        }
    }
}
