//! Where the transport's tokens come from: the broker on `ably-auth.sock`.
//!
//! One connection a request, as the broker wants it. Every step has a
//! deadline, so that a hanging broker looks like an unreachable one.

use std::io;
use std::path::PathBuf;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::net::unix::{self, ConnectError};
use crate::protocol::ably::auth::TokenDetails;
use crate::protocol::token::{
    ANSWER_BYTES_MAX, AnswerError, Audience, BrokerTokens, IO_TIMEOUT, Refusal, Request,
    decode_answer,
};

/// Asks the broker for tokens.
#[derive(Debug, Clone)]
pub(crate) struct TokenClient {
    /// The broker's socket.
    pub(crate) socket: PathBuf,
    /// The device the tokens are for, a lower-case UUID.
    pub(crate) device_id: String,
    /// What proves that we are the transport.
    pub(crate) broker_tokens: BrokerTokens,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// The broker cannot be reached.
    #[error("failed to reach the token broker")]
    Connect(#[from] ConnectError),
    /// The exchange broke off.
    #[error("failed to {action} the token broker")]
    Io {
        /// What we were doing.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The broker is there and does not answer.
    #[error("the token broker did not answer within {} s", IO_TIMEOUT.as_secs())]
    TimedOut,
    /// What it answered is no answer.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// It says no.
    #[error("the token broker refused: {0}")]
    Refused(Refusal),
}

impl TokenError {
    /// Whether asking again later can succeed with no one's help.
    ///
    /// When not, Ably's clients fail the connection (RSA4d); when so, they
    /// count it as a disconnect and try again (RSA4c).
    #[must_use]
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Io { .. } | Self::TimedOut | Self::Answer(_) => true,
            Self::Refused(refusal) => refusal.is_retryable(),
        }
    }
}

impl TokenClient {
    /// A token for `audience`; another than the last if that was `refused`.
    ///
    /// # Errors
    ///
    /// See [`TokenError`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, nothing is lost: the broker keeps the token
    /// for whoever asks next.
    pub(crate) async fn fetch(
        &self,
        audience: Audience,
        refused: bool,
    ) -> Result<TokenDetails, TokenError> {
        let stream = unix::connect(&self.socket, IO_TIMEOUT).await?;
        let request = Request {
            broker_token: self.broker_tokens.of(audience).clone(),
            audience,
            device_id: self.device_id.clone(),
            refused,
        };
        let body = serde_json::to_vec(&request).expect("a request serializes");
        let answer = exchange(stream, &body).await?;
        decode_answer(&answer)?.map_err(TokenError::Refused)
    }
}

async fn exchange(mut stream: UnixStream, body: &[u8]) -> Result<Vec<u8>, TokenError> {
    let failed = |action| move |source| TokenError::Io { action, source };
    let writing = async {
        stream.write_all(body).await?;
        stream.shutdown().await
    };
    let written = timeout(IO_TIMEOUT, writing).await;
    written
        .map_err(|_| TokenError::TimedOut)?
        .map_err(failed("write to"))?;

    let mut answer = Vec::new();
    let mut limited = stream.take(ANSWER_BYTES_MAX as u64);
    let read = timeout(IO_TIMEOUT, limited.read_to_end(&mut answer)).await;
    read.map_err(|_| TokenError::TimedOut)?
        .map_err(failed("read from"))?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::unix::Listener;
    use crate::protocol::token::BrokerToken;

    fn client(socket: PathBuf) -> TokenClient {
        TokenClient {
            socket,
            device_id: "8c0e3d0c-9f6b-4a52-9c15-2d7f1f0a7c11".to_owned(),
            broker_tokens: BrokerTokens {
                daemon_falco: BrokerToken::new("for-falco"),
                daemon_nagato: BrokerToken::new("for-nagato"),
            },
        }
    }

    /// A broker that takes one request and answers with `answer`.
    async fn broker(listener: Listener, answer: &'static str) -> String {
        let mut stream = listener.accept().await.expect("accepts");
        let mut body = String::new();
        stream.read_to_string(&mut body).await.expect("reads");
        stream.write_all(answer.as_bytes()).await.expect("writes");
        body
    }

    async fn ask(answer: &'static str) -> (String, Result<TokenDetails, TokenError>) {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = dir.path().join("ably-auth.sock");
        let listener = Listener::bind(&socket).expect("binds");
        let broker = tokio::spawn(broker(listener, answer));
        let fetched = client(socket).fetch(Audience::DaemonNagato, false).await;
        (broker.await.expect("served"), fetched)
    }

    #[tokio::test]
    async fn a_request_has_the_bytes_of_the_contract_and_is_half_closed() {
        let (body, fetched) =
            ask(r#"{"ok":true,"token_details":{"token":"jwt","expires":"7","issued":1}}"#).await;
        assert_eq!(
            body,
            r#"{"broker_token":"for-nagato","audience":"daemon_nagato","device_id":"8c0e3d0c-9f6b-4a52-9c15-2d7f1f0a7c11"}"#
        );
        assert_eq!(fetched.expect("a token").expires, 7);
    }

    #[tokio::test]
    async fn a_refusal_tells_whether_to_ask_again() {
        let (_, fetched) = ask(r#"{"ok":false,"error":"not authenticated"}"#).await;
        assert!(fetched.expect_err("refused").is_retryable());
        let (_, fetched) = ask(r#"{"ok":false,"error":"invalid broker token"}"#).await;
        assert!(!fetched.expect_err("refused").is_retryable());
        let (_, fetched) = ask("").await;
        assert!(fetched.expect_err("no answer").is_retryable());
    }

    #[tokio::test]
    async fn an_absent_broker_may_come_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let error = client(dir.path().join("ably-auth.sock"))
            .fetch(Audience::DaemonFalco, false)
            .await
            .expect_err("nobody there");
        assert!(error.is_retryable());
        assert!(matches!(
            error,
            TokenError::Connect(ConnectError::Absent { .. })
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_broker_is_given_up_in_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = dir.path().join("ably-auth.sock");
        let _listener = Listener::bind(&socket).expect("binds");
        let error = client(socket)
            .fetch(Audience::DaemonFalco, false)
            .await
            .expect_err("no answer");
        assert!(matches!(error, TokenError::TimedOut));
    }
}
