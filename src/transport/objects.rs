//! Object sets on their way to Ably's REST interface.
//!
//! Sets of one channel are done in the order they were asked for, one at a
//! time, because the last one wins; channels take turns, a few at once. What
//! waits for longer than its requester does is answered and not done.
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
use crate::protocol::ipc::TIMED_OUT;
use crate::protocol::token::Audience;
use crate::report::Report;
use crate::shutdown::Shutdown;

/// Sets that wait for their turn; more are refused. As many as one client may
/// have open: a client alone is slowed down and never refused.
const QUEUE_MAX: usize = 16 * 1024;

/// Sets under way at once, each with connections of its own.
const RUNNING_MAX: usize = 16;

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
        let (sets, receiver) = mpsc::channel(QUEUE_MAX);
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
        refused.reply.send(Err(too_many()));
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
    /// Does one set; the broker keeps the token between them, and hears of it
    /// when Ably refuses one.
    pub(super) async fn set(&self, set: &ObjectSet) -> Result<(), Failure> {
        match self.set_with_token(set, false).await? {
            Err(error) if error.is_token_error() => self.set_with_token(set, true).await?,
            result => result,
        }
        .map_err(|error| failure(&error))
    }

    async fn set_with_token(
        &self,
        set: &ObjectSet,
        refused: bool,
    ) -> Result<Result<(), ObjectError>, Failure> {
        let fetched = self.tokens.fetch(Audience::DaemonFalco, refused).await;
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
        Ok(object::set(&self.http, &self.origin, &details.token, request, left).await)
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
    let mut queue = Queue::default();
    let mut running: FuturesUnordered<_> = FuturesUnordered::new();
    loop {
        while running.len() < RUNNING_MAX
            && let Some(set) = queue.next()
        {
            running.push(carry_out(set, &setter));
        }
        let woken = tokio::select! {
            () = stop.begun() => return,
            taken = sets.recv() => Woken::Asked(taken),
            Some(channel) = running.next(), if !running.is_empty() => Woken::Done(channel),
            () = sleep_until(queue.ring_at) => Woken::Late,
        };
        match woken {
            Woken::Asked(Some(set)) => queue.push(set),
            Woken::Asked(None) => return,
            Woken::Done(channel) => queue.done(channel),
            Woken::Late => queue.expire(tokio::time::Instant::now().into_std()),
        }
    }
}

enum Woken {
    Asked(Option<ObjectSet>),
    /// The set of this channel.
    Done(Box<str>),
    Late,
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Sets that wait, by channel.
#[derive(Debug, Default)]
struct Queue {
    /// Channels of which a set waits or runs.
    channels: HashMap<Box<str>, VecDeque<ObjectSet>>,
    /// Those of which none runs, the one that has waited longest first.
    ready: VecDeque<Box<str>>,
    waiting: usize,
    /// When to look for sets that have waited too long; no later than the
    /// first of them.
    ring_at: Option<Instant>,
}

impl Queue {
    fn push(&mut self, set: ObjectSet) {
        if QUEUE_MAX <= self.waiting {
            set.reply.send(Err(too_many()));
            return;
        }
        let at = self.ring_at.map_or(set.deadline, |at| at.min(set.deadline));
        self.ring_at = Some(at);
        self.waiting += 1;
        if let Some(sets) = self.channels.get_mut(&set.channel) {
            sets.push_back(set);
        } else {
            let channel = set.channel.clone();
            self.ready.push_back(channel.clone());
            self.channels.insert(channel, VecDeque::from([set]));
        }
    }

    /// The next set to do; its channel then waits for [`Queue::done`].
    fn next(&mut self) -> Option<ObjectSet> {
        loop {
            let channel = self.ready.pop_front()?;
            match self.channels.get_mut(&channel)?.pop_front() {
                Some(set) => {
                    self.waiting -= 1;
                    return Some(set);
                }
                None => self.channels.remove(&channel),
            };
        }
    }

    /// The set of `channel` is done.
    fn done(&mut self, channel: Box<str>) {
        match self.channels.get(&channel) {
            Some(sets) if !sets.is_empty() => self.ready.push_back(channel),
            _ => _ = self.channels.remove(&channel),
        }
    }

    /// Answers those that have waited for too long.
    fn expire(&mut self, now: Instant) {
        self.ring_at = None;
        self.waiting = 0;
        for sets in self.channels.values_mut() {
            for set in std::mem::take(sets) {
                if set.deadline <= now {
                    set.reply.send(Err(timed_out()));
                    continue;
                }
                let at = self.ring_at.map_or(set.deadline, |at| at.min(set.deadline));
                self.ring_at = Some(at);
                self.waiting += 1;
                sets.push_back(set);
            }
        }
    }
}

fn too_many() -> Failure {
    Failure {
        text: "too many object sets are waiting".into(),
        code: None,
        retryable: true,
    }
}

fn timed_out() -> Failure {
    Failure {
        text: "timed out waiting for the object set".into(),
        code: Some(TIMED_OUT),
        retryable: true,
    }
}

async fn carry_out(set: ObjectSet, setter: &Setter) -> Box<str> {
    let done = tokio::time::timeout_at(set.deadline.into(), setter.set(&set)).await;
    set.reply.send(done.unwrap_or_else(|_| Err(timed_out())));
    set.channel
}

#[cfg(test)]
mod tests;
