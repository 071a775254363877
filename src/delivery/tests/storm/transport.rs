//! The lanes' transport: works off what it was given, in that order.

use std::time::Instant;

use super::effects::message;
use super::steps::How;
use super::*;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Transport {
    requests: VecDeque<(RequestId, Vec<Message>)>,
    late: VecDeque<RequestId>,
}

impl Transport {
    pub(super) fn take_all<T>(&mut self, lanes: &mut Lanes<T>, now: Instant) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(request) = lanes.poll_request(now) {
            let effects = request.effects.iter();
            let messages: Vec<_> = effects.map(|effect| message(effect.id)).collect();
            told.push(format!("  goes out {messages:?}"));
            self.requests.push_back((request.id, messages));
        }
        told
    }

    /// What becomes of the oldest; returns what is published.
    pub(super) fn answer<T>(
        &mut self,
        how: How,
        lanes: &mut Lanes<T>,
        now: Instant,
    ) -> Vec<Message> {
        let Some((id, messages)) = self.requests.pop_front() else {
            return Vec::new();
        };
        let refusal = |retryable| Refusal {
            error: "no",
            code: None,
            retryable: Some(retryable),
        };
        match how {
            How::Accepted => lanes.handle_accepted(id),
            How::AcceptedLate => self.late.push_back(id),
            How::Refused => {
                lanes.handle_refused(id, &refusal(true), now);
                return Vec::new();
            }
            How::Rejected => {
                lanes.handle_refused(id, &refusal(false), now);
                return Vec::new();
            }
            How::Lost => return Vec::new(),
        }
        messages
    }

    pub(super) fn answer_late<T>(&mut self, lanes: &mut Lanes<T>) {
        if let Some(id) = self.late.pop_front() {
            lanes.handle_accepted(id);
        }
    }

    pub(super) fn lose(&mut self) {
        self.requests.clear();
        self.late.clear();
    }
}
