//! One test a rule, and random traffic against a naive model.

mod acks;
mod deadlines;
mod late;
mod limits;
mod model;
mod reopened;

use std::time::Duration;

use super::*;
use crate::protocol::ably::codec::Format;
use crate::protocol::ably::publish::Draft;

fn messages(count: usize) -> Messages {
    let draft = Draft {
        name: "e",
        payload_b64: "aGk=",
        ..Draft::default()
    };
    Messages::encode(Format::Msgpack, vec![draft; count]).expect("base64")
}

/// As all that come from outside, it has an id.
fn message(id: u32) -> Messages {
    let draft = Draft {
        id: &id.to_string(),
        name: "e",
        payload_b64: "aGk=",
        ..Draft::default()
    };
    Messages::encode(Format::Msgpack, [draft]).expect("base64")
}

fn publish(tag: u32, deadline: Instant) -> Publish<u32> {
    Publish {
        channel: "c".into(),
        messages: message(tag),
        deadline,
        tag,
    }
}

struct Rig {
    outbox: Outbox<u32>,
    now: Instant,
}

impl Rig {
    /// With publishes `0..count` waiting, each with ten seconds of patience.
    fn with(count: u32) -> Self {
        let now = Instant::now();
        let mut outbox = Outbox::new();
        for tag in 0..count {
            outbox.push(publish(tag, now + Duration::from_secs(10)));
        }
        Self { outbox, now }
    }

    /// Writes all it can; the serials written.
    fn write(&mut self) -> Vec<u64> {
        let mut serials = Vec::new();
        while let Some(outgoing) = self.outbox.next(self.now) {
            serials.push(outgoing.msg_serial);
        }
        serials
    }

    fn settled(&mut self) -> Vec<(u32, Outcome)> {
        std::iter::from_fn(|| self.outbox.poll_settled()).collect()
    }

    fn accepted(&mut self) -> Vec<u32> {
        let settled = self.settled();
        let accepted = |(_, outcome): &&(u32, Outcome)| *outcome == Outcome::Accepted;
        settled
            .iter()
            .filter(accepted)
            .map(|(tag, _)| *tag)
            .collect()
    }
}

fn error() -> ErrorInfo {
    ErrorInfo::new(80_002, "gone")
}
