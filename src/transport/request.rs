//! From a line to something to do, or to the reason why not.
//!
//! Checks in the order and with the texts of the predecessor.

use std::time::Duration;

use crate::protocol::ably::codec::Format;
use crate::protocol::ably::publish::{Draft, Messages};
use crate::protocol::ipc::{BatchMessage, Request};
use crate::protocol::token::Audience;

/// The longest patience a requester can ask for.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// A request that passed every check.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) request_id: Box<str>,
    /// The op of its answer.
    pub(super) answer_op: &'static str,
    /// How long the requester waits.
    pub(super) timeout: Duration,
    pub(super) job: Job,
}

/// What is asked for.
#[derive(Debug)]
pub(super) enum Job {
    Hello,
    Status,
    Publish {
        audience: Audience,
        channel: Box<str>,
        messages: Messages,
    },
    ObjectSet {
        channel: Box<str>,
        key: Box<str>,
        /// Valid JSON.
        value: Vec<u8>,
        /// Makes a repetition harmless.
        id: Box<str>,
    },
    Subscribe(Subscribe),
    Unsubscribe {
        subscription_id: Box<str>,
    },
}

/// The wish for messages of one channel.
#[derive(Debug, Clone)]
pub(super) struct Subscribe {
    pub(super) subscription_id: Box<str>,
    pub(super) channel: Box<str>,
    /// Only messages of this name.
    pub(super) event: Option<Box<str>>,
}

/// A request that is not carried out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rejection {
    /// The op of its answer.
    pub(super) op: &'static str,
    /// Empty if it could not be read.
    pub(super) request_id: String,
    pub(super) error: String,
}

/// How lines are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader {
    /// What payloads are encoded for.
    pub(super) format: Format,
    /// For requests that name no patience of their own.
    pub(super) default_timeout: Duration,
}

const ERROR: &str = "error.v1";

/// The op that answers `op`.
fn answer_op(op: &str) -> &'static str {
    match op {
        "publish.v1" | "publish.ack.v1" | "publish.batch.v1" | "object.set.v1" => "publish.ack.v1",
        "subscribe.v1" | "unsubscribe.v1" => "subscribe.ack.v1",
        "hello.v1" => "hello.ack.v1",
        "status.v1" => "status.ack.v1",
        _ => ERROR,
    }
}

impl Reader {
    /// Reads one line.
    pub(super) fn read(self, line: &[u8]) -> Result<Order, Rejection> {
        let request = Request::decode(line).map_err(|malformed| Rejection {
            op: answer_op(&malformed.op),
            error: malformed.to_string(),
            request_id: malformed.request_id,
        })?;
        let op = answer_op(&request.op);
        match self.check(&request) {
            Ok(job) => Ok(Order {
                answer_op: op,
                timeout: self.timeout(request.timeout_ms),
                request_id: request.request_id.into(),
                job,
            }),
            Err(error) => Err(Rejection {
                op,
                error,
                request_id: request.request_id.into_owned(),
            }),
        }
    }

    fn timeout(self, timeout_ms: Option<i64>) -> Duration {
        match timeout_ms.map(u64::try_from) {
            Some(Ok(millis)) if millis > 0 => Duration::from_millis(millis).min(TIMEOUT_MAX),
            _ => self.default_timeout,
        }
    }

    fn check(self, request: &Request) -> Result<Job, String> {
        require("request_id", &request.request_id)?;
        match &*request.op {
            "publish.v1" => self.publish(Audience::DaemonFalco, request),
            "publish.ack.v1" => self.publish(Audience::DaemonNagato, request),
            "publish.batch.v1" => self.batch(request),
            "object.set.v1" => object_set(request),
            "subscribe.v1" => subscribe(request),
            "unsubscribe.v1" => unsubscribe(request),
            "hello.v1" => Ok(Job::Hello),
            "status.v1" => Ok(Job::Status),
            op => Err(format!("unknown op: {op:?}")),
        }
    }

    fn publish(self, audience: Audience, request: &Request) -> Result<Job, String> {
        require("channel", &request.channel)?;
        require("event", &request.event)?;
        let made;
        let id = if request.message_id.is_empty() {
            made = new_id();
            &made
        } else {
            &*request.message_id
        };
        let draft = Draft {
            id,
            name: &request.event,
            payload_b64: &request.payload_b64,
            idempotency_key: &request.idempotency_key,
        };
        let messages = Messages::encode(self.format, [draft])
            .map_err(|error| format!("payload_b64 {error}"))?;
        Ok(Job::Publish {
            audience,
            channel: (&*request.channel).into(),
            messages,
        })
    }

    fn batch(self, request: &Request) -> Result<Job, String> {
        require("channel", &request.channel)?;
        if request.messages.is_empty() {
            return Err("messages is required".to_owned());
        }
        for message in &request.messages {
            require("event", &message.event)?;
        }
        let made = made_ids(&request.messages);
        let drafts = request
            .messages
            .iter()
            .enumerate()
            .map(|(index, message)| Draft {
                id: made.get(index).map_or(&*message.message_id, String::as_str),
                name: &message.event,
                payload_b64: &message.payload_b64,
                idempotency_key: &message.idempotency_key,
            });
        let messages = Messages::encode(self.format, drafts)
            .map_err(|error| format!("payload_b64 {error}"))?;
        Ok(Job::Publish {
            audience: Audience::DaemonFalco,
            channel: (&*request.channel).into(),
            messages,
        })
    }
}

fn object_set(request: &Request) -> Result<Job, String> {
    use base64::Engine as _;

    require("channel", &request.channel)?;
    require("key", &request.key)?;
    let value = base64::engine::general_purpose::STANDARD
        .decode(&*request.value_b64)
        .map_err(|_| "value_b64 must be valid base64")?;
    serde_json::from_slice::<serde::de::IgnoredAny>(&value)
        .map_err(|error| format!("object value must be valid JSON: {error}"))?;
    let id = if request.message_id.is_empty() {
        new_id()
    } else {
        request.message_id.to_string()
    };
    Ok(Job::ObjectSet {
        channel: (&*request.channel).into(),
        key: (&*request.key).into(),
        value,
        id: id.into(),
    })
}

fn subscribe(request: &Request) -> Result<Job, String> {
    require("channel", &request.channel)?;
    require("subscription_id", &request.subscription_id)?;
    let event = &*request.event;
    Ok(Job::Subscribe(Subscribe {
        subscription_id: (&*request.subscription_id).into(),
        channel: (&*request.channel).into(),
        event: (!event.is_empty()).then(|| event.into()),
    }))
}

fn unsubscribe(request: &Request) -> Result<Job, String> {
    require("subscription_id", &request.subscription_id)?;
    Ok(Job::Unsubscribe {
        subscription_id: (&*request.subscription_id).into(),
    })
}

fn require(field: &str, value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Err(format!("{field} is required"));
    }
    Ok(())
}

/// Ids for a batch that came without any: all of one base, as Ably wants them
/// (40031).
fn made_ids(messages: &[BatchMessage]) -> Vec<String> {
    if messages
        .iter()
        .any(|message| !message.message_id.is_empty())
    {
        return Vec::new();
    }
    let base = new_id();
    (0..messages.len())
        .map(|index| format!("{base}:{index}"))
        .collect()
}

/// An id of our own: a resend after a lost connection must be recognised.
fn new_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

#[cfg(test)]
mod tests;
