//! Every request is answered exactly once.
//!
//! A [`Reply`] is the right and the duty to answer one request: sending it
//! uses it up, dropping it answers that the transport is stopping. Whoever
//! takes a request cannot forget it.

use std::borrow::Cow;

use tokio::sync::mpsc;

use crate::protocol::ably::error::ErrorInfo;
use crate::protocol::ipc::CONNECTION_CLOSED;

/// Why a request failed, as the requester reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// For people and logs.
    pub(crate) text: Cow<'static, str>,
    /// Ably's code, if there is one.
    pub(crate) code: Option<u32>,
    /// Whether the same request may succeed later.
    pub(crate) retryable: bool,
}

impl Failure {
    /// A request that will never succeed as it is.
    pub(super) fn invalid(text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            text: text.into(),
            code: None,
            retryable: false,
        }
    }

    /// What Ably said, or we say in its terms.
    pub(crate) fn from_ably(error: &ErrorInfo, retryable: bool) -> Self {
        Self {
            text: error.to_string().into(),
            code: Some(error.code).filter(|code| *code != 0),
            retryable,
        }
    }

    /// The transport ends before it could answer.
    pub(super) fn stopping() -> Self {
        Self {
            text: "the transport is stopping".into(),
            code: Some(CONNECTION_CLOSED),
            retryable: true,
        }
    }
}

/// The answer to one request.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) op: &'static str,
    pub(super) request_id: Box<str>,
    pub(super) result: Result<(), Failure>,
    /// What the request counted for while it was open, in bytes.
    pub(super) cost: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Reply {
    to: mpsc::Sender<Answer>,
    op: &'static str,
    request_id: Option<Box<str>>,
    cost: usize,
}

impl Reply {
    /// The duty to answer `request_id` with `op`.
    ///
    /// `to` must have room for every open request.
    pub(super) fn new(
        to: mpsc::Sender<Answer>,
        op: &'static str,
        request_id: Box<str>,
        cost: usize,
    ) -> Self {
        Self {
            to,
            op,
            request_id: Some(request_id),
            cost,
        }
    }

    pub(super) fn send(mut self, result: Result<(), Failure>) {
        self.answer(result);
    }

    fn answer(&mut self, result: Result<(), Failure>) {
        let Some(request_id) = self.request_id.take() else {
            return;
        };
        // Nobody listens any more: the client has gone, and its answer with it.
        _ = self.to.try_send(Answer {
            op: self.op,
            request_id,
            result,
            cost: self.cost,
        });
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.answer(Err(Failure::stopping()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_answers_once_whether_it_is_sent_or_dropped() {
        let (to, mut answers) = mpsc::channel(4);
        Reply::new(to.clone(), "publish.ack.v1", "r1".into(), 7).send(Ok(()));
        drop(Reply::new(to, "publish.ack.v1", "r2".into(), 7));

        let first = answers.try_recv().expect("answered");
        assert_eq!((&*first.request_id, first.result), ("r1", Ok(())));
        let second = answers.try_recv().expect("answered");
        assert_eq!(&*second.request_id, "r2");
        assert!(second.result.expect_err("failed").retryable);
        assert!(answers.try_recv().is_err());
    }
}
