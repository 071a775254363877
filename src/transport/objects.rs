//! Object sets on their way to Ably's REST interface.
//!
//! Sets of one channel are done in the order they were asked for, one at a
//! time, because the last one wins; channels do not wait for each other.
//!
//! Stops with the transport: what was asked and not done is answered so.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;

use super::object::{self, ObjectError};
use super::reply::{Failure, Reply};
use super::token::TokenClient;
use crate::net::dial::Origin;
use crate::net::http;
use crate::protocol::token::Audience;
use crate::report::Report;
use crate::shutdown::Shutdown;

/// Sets that wait for their turn; more are refused.
const WAITING_MAX: usize = 1024;

/// One object set.
#[derive(Debug)]
pub(super) struct ObjectSet {
    pub(super) channel: Box<str>,
    pub(super) key: Box<str>,
    /// Valid JSON.
    pub(super) value: Vec<u8>,
    /// Makes a repetition harmless.
    pub(super) id: Box<str>,
    pub(super) deadline: Instant,
    pub(super) reply: Reply,
}

/// Handle to the task that does them.
#[derive(Debug)]
pub(super) struct Objects {
    sets: mpsc::Sender<ObjectSet>,
}

impl Objects {
    pub(super) fn channel() -> (Self, mpsc::Receiver<ObjectSet>) {
        let (sets, receiver) = mpsc::channel(WAITING_MAX);
        (Self { sets }, receiver)
    }

    /// Hands `set` in; its reply says what became of it.
    pub(super) fn offer(&self, set: ObjectSet) {
        let refused = match self.sets.try_send(set) {
            Ok(()) => return,
            Err(mpsc::error::TrySendError::Full(set) | mpsc::error::TrySendError::Closed(set)) => {
                set
            }
        };
        refused.reply.send(Err(Failure {
            text: "too many object sets are waiting".into(),
            code: None,
            retryable: true,
        }));
    }
}

/// Where object sets go, and as whom.
#[derive(Debug)]
pub(super) struct Setter {
    pub(super) http: Arc<http::Client>,
    pub(super) origin: Origin,
    pub(super) tokens: TokenClient,
}

impl Setter {
    /// Does one set; the broker keeps the token between them.
    pub(super) async fn set(&self, set: &ObjectSet) -> Result<(), Failure> {
        let fetched = self.tokens.fetch(Audience::DaemonFalco, false).await;
        let details = fetched.map_err(|error| Failure {
            text: Report(&error).to_string().into(),
            code: Some(80_019),
            retryable: true,
        })?;
        let request = object::ObjectSet {
            channel: &set.channel,
            key: &set.key,
            value: &set.value,
            id: &set.id,
        };
        let left = set.deadline.saturating_duration_since(Instant::now());
        object::set(&self.http, &self.origin, &details.token, request, left)
            .await
            .map_err(|error| failure(&error))
    }
}

fn failure(error: &ObjectError) -> Failure {
    Failure {
        text: Report(error).to_string().into(),
        code: error.code(),
        retryable: error.is_retryable(),
    }
}

/// Does one set after the other in each channel, with `setter`, until told
/// to `stop`.
pub(super) async fn run(mut sets: mpsc::Receiver<ObjectSet>, setter: Setter, stop: Shutdown) {
    let mut waiting: HashMap<Box<str>, VecDeque<ObjectSet>> = HashMap::new();
    let mut running: FuturesUnordered<_> = FuturesUnordered::new();
    loop {
        let next = tokio::select! {
            () = stop.begun() => return,
            taken = sets.recv() => match taken {
                Some(taken) => enqueue(&mut waiting, taken),
                None => return,
            },
            Some(done) = running.next(), if !running.is_empty() => {
                let channel: Box<str> = done;
                dequeue(&mut waiting, &channel)
            }
        };
        if let Some(next) = next {
            running.push(carry_out(next, &setter));
        }
    }
}

/// The set itself if its channel is free, else nothing yet.
fn enqueue(
    waiting: &mut HashMap<Box<str>, VecDeque<ObjectSet>>,
    set: ObjectSet,
) -> Option<ObjectSet> {
    if let Some(queue) = waiting.get_mut(&set.channel) {
        queue.push_back(set);
        return None;
    }
    waiting.insert(set.channel.clone(), VecDeque::new());
    Some(set)
}

/// The next set of a channel whose last one is done.
fn dequeue(
    waiting: &mut HashMap<Box<str>, VecDeque<ObjectSet>>,
    channel: &str,
) -> Option<ObjectSet> {
    let next = waiting.get_mut(channel)?.pop_front();
    if next.is_none() {
        waiting.remove(channel);
    }
    next
}

async fn carry_out(set: ObjectSet, setter: &Setter) -> Box<str> {
    let done = tokio::time::timeout_at(set.deadline.into(), setter.set(&set)).await;
    let result = done.unwrap_or_else(|_| {
        Err(Failure {
            text: "timed out waiting for the object set".into(),
            code: Some(50_003),
            retryable: true,
        })
    });
    set.reply.send(result);
    set.channel
}
