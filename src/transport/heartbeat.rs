//! Heartbeats: that this device is here, and at the end that it is gone.
//!
//! [`Heartbeat`] is the schedule and the payloads, without I/O. In the message
//! form the realtime driver publishes them on its connection, and polls only
//! while there is one: nobody wants to hear later that a device was here. In
//! the HTTP form [`run_http`] posts them; it replaces the message form.
//!
//! ```text
//! channel presence:<user>, event daemon.presence.v1
//! {"schema_version":1,"user_id","device_id","status":"online"|"offline","source":"daemon-ably","sent_at_ms"}
//! POST <url>: the same with "source":"daemon-do", and "seq","ttl_ms"
//! ```
//!
//! `online` at once, then every interval; `offline` at a graceful stop, after
//! which nothing follows.

mod http;

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

pub(crate) use http::{HeartbeatEndpoint, first_seq, run_http};

/// The event of the message form.
pub(crate) const EVENT: &str = "daemon.presence.v1";

/// Which form, with what belongs to it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// An Ably message.
    Message,
    /// A POST; its sequence number rises with each.
    Http {
        /// The next one's number.
        next_seq: i64,
    },
}

/// When heartbeats are due, and what they say.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    user_id: String,
    device_id: String,
    form: Form,
    ttl: Duration,
    interval: Duration,
    /// `None` once the device has said that it is gone.
    due: Option<Instant>,
}

#[derive(Serialize)]
struct Payload<'a> {
    schema_version: u8,
    user_id: &'a str,
    device_id: &'a str,
    status: &'a str,
    source: &'a str,
    sent_at_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
}

/// The interval to keep: the one asked for, or two fifths of `ttl` if it is
/// not under half of it, so that a device which misses one heartbeat is not
/// shown as gone.
#[must_use]
pub(crate) fn interval_within(asked: Duration, ttl: Duration) -> Duration {
    let shortest = Duration::from_millis(100);
    if asked < ttl / 2 {
        return asked.max(shortest);
    }
    (ttl * 2 / 5).max(shortest)
}

impl Heartbeat {
    /// A schedule whose first heartbeat is due at `now`.
    ///
    /// Ids are trimmed and lower-cased; `interval` must come from
    /// [`interval_within`].
    pub(crate) fn new(
        user_id: &str,
        device_id: &str,
        form: Form,
        interval: Duration,
        ttl: Duration,
        now: Instant,
    ) -> Self {
        Self {
            user_id: user_id.trim().to_lowercase(),
            device_id: device_id.trim().to_lowercase(),
            form,
            ttl,
            interval,
            due: Some(now),
        }
    }

    /// The channel of the message form.
    pub(crate) fn channel(&self) -> String {
        format!("presence:{}", self.user_id)
    }

    /// When to call [`Self::poll_online`].
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// The payload to send now, if one is due.
    pub(crate) fn poll_online(&mut self, now: Instant, now_ms: i64) -> Option<Vec<u8>> {
        if now < self.due? {
            return None;
        }
        self.due = Some(now + self.interval);
        Some(self.payload("online", now_ms))
    }

    /// The last payload.
    pub(crate) fn offline(&mut self, now_ms: i64) -> Vec<u8> {
        self.due = None;
        self.payload("offline", now_ms)
    }

    /// The receiver has seen a higher number than our last: go on above
    /// `seen`, or where it said nothing, `leap` further.
    pub(super) fn skip_ahead(&mut self, seen: Option<i64>, leap: i64) {
        if let Form::Http { next_seq } = &mut self.form {
            let above = seen.map_or(next_seq.saturating_add(leap), |s| s.saturating_add(1));
            *next_seq = above.max(*next_seq);
        }
    }

    fn payload(&mut self, status: &str, now_ms: i64) -> Vec<u8> {
        let (source, seq) = match &mut self.form {
            Form::Message => ("daemon-ably", None),
            Form::Http { next_seq } => {
                let seq = *next_seq;
                *next_seq = seq.saturating_add(1);
                ("daemon-do", Some(seq))
            }
        };
        let payload = Payload {
            schema_version: 1,
            user_id: &self.user_id,
            device_id: &self.device_id,
            status,
            source,
            sent_at_ms: now_ms,
            seq,
            ttl_ms: seq.and_then(|_| u64::try_from(self.ttl.as_millis()).ok()),
        };
        serde_json::to_vec(&payload).expect("a payload of strings and numbers serializes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(12);
    const INTERVAL: Duration = Duration::from_secs(5);

    fn heartbeat(form: Form, now: Instant) -> Heartbeat {
        Heartbeat::new(" U-1 ", "D-1", form, INTERVAL, TTL, now)
    }

    fn text(payload: Vec<u8>) -> String {
        String::from_utf8(payload).expect("text")
    }

    #[test]
    fn the_first_is_due_at_once_and_then_one_every_interval() {
        let now = Instant::now();
        let mut heartbeat = heartbeat(Form::Message, now);
        assert!(heartbeat.poll_online(now, 7).is_some());
        assert!(heartbeat.poll_online(now, 7).is_none());
        assert_eq!(heartbeat.poll_timeout(), Some(now + INTERVAL));
        // Two were missed while there was no connection: one says it all.
        let later = now + INTERVAL * 3;
        assert!(heartbeat.poll_online(later, 8).is_some());
        assert_eq!(heartbeat.poll_timeout(), Some(later + INTERVAL));
    }

    #[test]
    fn a_message_says_who_is_here_and_nothing_follows_the_farewell() {
        let now = Instant::now();
        let mut heartbeat = heartbeat(Form::Message, now);
        assert_eq!(heartbeat.channel(), "presence:u-1");
        assert_eq!(
            text(heartbeat.poll_online(now, 7).expect("due")),
            r#"{"schema_version":1,"user_id":"u-1","device_id":"d-1","status":"online","source":"daemon-ably","sent_at_ms":7}"#
        );
        let offline = text(heartbeat.offline(8));
        assert!(offline.contains(r#""status":"offline","source":"daemon-ably","sent_at_ms":8}"#));
        assert!(heartbeat.poll_online(now + INTERVAL, 9).is_none());
        assert_eq!(heartbeat.poll_timeout(), None);
    }

    #[test]
    fn a_post_carries_a_rising_number_and_the_ttl() {
        let now = Instant::now();
        let mut heartbeat = heartbeat(Form::Http { next_seq: 41 }, now);
        let first = text(heartbeat.poll_online(now, 7).expect("due"));
        assert!(first.ends_with(r#""source":"daemon-do","sent_at_ms":7,"seq":41,"ttl_ms":12000}"#));
        assert!(text(heartbeat.offline(8)).contains(r#""seq":42,"#));
    }

    #[test]
    fn a_stale_number_is_followed_by_one_above_what_was_seen() {
        let mut heartbeat = heartbeat(Form::Http { next_seq: 41 }, Instant::now());
        heartbeat.skip_ahead(Some(100), 1);
        assert_eq!(heartbeat.form, Form::Http { next_seq: 101 });
        heartbeat.skip_ahead(Some(7), 1);
        assert_eq!(heartbeat.form, Form::Http { next_seq: 101 });
        heartbeat.skip_ahead(None, 1000);
        assert_eq!(heartbeat.form, Form::Http { next_seq: 1101 });
    }

    #[test]
    fn the_interval_stays_under_half_of_the_ttl() {
        let seconds = Duration::from_secs;
        assert_eq!(interval_within(seconds(5), TTL), seconds(5));
        assert_eq!(
            interval_within(seconds(20), TTL),
            Duration::from_millis(4800)
        );
        assert_eq!(
            interval_within(seconds(6), TTL),
            Duration::from_millis(4800)
        );
        assert_eq!(
            interval_within(Duration::ZERO, TTL),
            Duration::from_millis(100)
        );
    }
}
