//! Connections: who can be resumed, by which key, and when they are given up.
//!
//! A connection key is good once. It is spent when its connection shows that
//! it has the next one, by presenting it or by sending anything on the socket
//! that brought it: a CONNECTED that was lost on the way costs nothing.
//!
//! ```text
//! connect ──▶ live ──socket lost──▶ lost ──resume──▶ live
//!              │                     ├─ after its grace: its members leave
//!              └─CLOSE─▶ gone        └─ after the state TTL: gone
//! ```
//!
//! An authentic key of a connection that is gone, or of before a restart, gets
//! its connection id back: whether messages were missed is decided by each
//! channel serial alone.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rand::RngExt as _;
use rand::distr::Alphanumeric;

use crate::emulator::channel::SessionId;
use crate::emulator::limits::CONNECTION_STATE_TTL;
use crate::emulator::seal::{self, ConnectionKey, KeyError};
use crate::protocol::ably::error::ErrorInfo;

use super::Hub;

/// How long a lost member stays present, unless its client says otherwise.
pub(in crate::emulator) const PRESENCE_GRACE_MS: i64 = 15_000;

#[derive(Debug, Default)]
pub(super) struct Connections(HashMap<Arc<str>, Connection>);

#[derive(Debug)]
struct Connection {
    /// Of the newest key.
    generation: u64,
    /// Keys below this generation are spent.
    spent_below: u64,
    /// Channels it has entered.
    present: BTreeSet<Arc<str>>,
    state: State,
}

#[derive(Debug)]
enum State {
    Live { session: SessionId },
    Lost { leave_ms: i64, forget_ms: i64 },
}

/// What a client wants to go on with.
#[derive(Debug, Clone, Copy)]
pub(in crate::emulator) struct Resume<'a> {
    /// The key of `resume` or `recover`, if any.
    pub(in crate::emulator) key: Option<&'a str>,
    /// Who the client is, or empty.
    pub(in crate::emulator) client_id: &'a str,
}

/// A connection that a session has now.
#[derive(Debug)]
pub(in crate::emulator) struct Connected {
    pub(in crate::emulator) id: Arc<str>,
    pub(in crate::emulator) key: String,
    /// Why it is not the one that was to be resumed.
    pub(in crate::emulator) error: Option<ErrorInfo>,
}

impl Hub {
    /// Gives `session` a connection: the one to resume, or a new one.
    pub(in crate::emulator) fn connect(
        &mut self,
        session: SessionId,
        resume: Resume<'_>,
    ) -> Result<Connected, ErrorInfo> {
        let (id, error) = match self.find_resumed(resume)? {
            Ok(id) => (id, None),
            Err(error) => (self.new_connection(session), error),
        };
        if let Some(old) = self.connections.take_over(&id, session)
            && let Some(mailbox) = self.mailboxes.get_mut(&old)
        {
            mailbox.is_replaced = true;
            mailbox.wake.notify_one();
        }
        let key = self.next_key(&id, resume.client_id);
        Ok(Connected { id, key, error })
    }

    /// The id to resume, or why there is none to resume; the outer error ends
    /// the attempt to connect.
    fn find_resumed(
        &mut self,
        resume: Resume<'_>,
    ) -> Result<Result<Arc<str>, Option<ErrorInfo>>, ErrorInfo> {
        let Some(text) = resume.key else {
            return Ok(Err(None));
        };
        match seal::open_connection_key(&self.key, text, resume.client_id) {
            Ok(key) if self.connections.spend(&key) => Ok(Ok(key.connection_id.into())),
            Ok(_) => Ok(Err(Some(refused("the connection key has been used")))),
            Err(KeyError::Malformed) => Ok(Err(Some(refused("the connection key is malformed")))),
            Err(KeyError::OtherClient) => Err(ErrorInfo::new(
                40102,
                "the connection key is another client's",
            )),
        }
    }

    fn new_connection(&mut self, session: SessionId) -> Arc<str> {
        let id: String = rand::rng()
            .sample_iter(Alphanumeric)
            .take(12)
            .map(char::from)
            .collect();
        let id: Arc<str> = id.into();
        self.connections
            .0
            .insert(id.clone(), Connection::new(0, State::Live { session }));
        id
    }

    /// The next key of a connection, also after AUTH.
    pub(in crate::emulator) fn next_key(&mut self, id: &Arc<str>, client_id: &str) -> String {
        let generation = self.connections.0.get_mut(id).map_or(0, |connection| {
            connection.generation += 1;
            connection.generation
        });
        let of = ConnectionKey {
            connection_id: id.to_string(),
            generation,
        };
        seal::connection_key(&self.key, &of, client_id)
    }

    /// The client has shown that it has the newest key.
    pub(in crate::emulator) fn confirm_key(&mut self, id: &Arc<str>) {
        if let Some(connection) = self.connections.0.get_mut(id) {
            connection.spent_below = connection.generation;
        }
    }

    /// Notes that a connection has entered `channel`, or has left it.
    pub(super) fn note_presence(&mut self, id: &str, channel: &Arc<str>, is_present: bool) {
        let Some(connection) = self.connections.0.get_mut(id) else {
            return;
        };
        if is_present {
            connection.present.insert(channel.clone());
        } else {
            connection.present.remove(channel);
        }
    }

    /// Ends a connection whose client said CLOSE: its members leave at once.
    pub(in crate::emulator) fn close_connection(
        &mut self,
        id: &Arc<str>,
        session: SessionId,
        now_ms: i64,
    ) {
        if self.connections.is_held_by(id, session)
            && let Some(connection) = self.connections.0.remove(id)
        {
            self.leave_all(id, connection.present, now_ms);
        }
    }

    /// Notes that a connection's socket is gone; it may come back.
    pub(in crate::emulator) fn lose_connection(
        &mut self,
        id: &Arc<str>,
        session: SessionId,
        grace_ms: i64,
        now_ms: i64,
    ) {
        if !self.connections.is_held_by(id, session) {
            return;
        }
        let ttl = i64::try_from(CONNECTION_STATE_TTL.as_millis()).unwrap_or(i64::MAX);
        if let Some(connection) = self.connections.0.get_mut(id) {
            let leave_ms = now_ms + grace_ms;
            connection.state = State::Lost {
                leave_ms,
                forget_ms: now_ms + ttl.max(grace_ms),
            };
            self.janitor.notify_one();
        }
    }

    /// Lets the members of lost connections leave whose grace is over.
    pub(super) fn handle_lost_connections(&mut self, now_ms: i64) {
        for (id, channels) in self.connections.take_leaving(now_ms) {
            self.leave_all(&id, channels, now_ms);
        }
        self.connections.forget(now_ms);
    }
}

impl Connections {
    /// Whether `key` is still good; older ones are not any more.
    fn spend(&mut self, key: &ConnectionKey) -> bool {
        let id: Arc<str> = key.connection_id.as_str().into();
        let connection = self.0.entry(id).or_insert_with(|| {
            Connection::new(
                key.generation,
                State::Lost {
                    leave_ms: 0,
                    forget_ms: 0,
                },
            )
        });
        if key.generation < connection.spent_below || connection.generation < key.generation {
            return false;
        }
        connection.spent_below = key.generation;
        true
    }

    /// Makes `session` the holder of the connection; returns the one before.
    fn take_over(&mut self, id: &Arc<str>, session: SessionId) -> Option<SessionId> {
        let connection = self.0.get_mut(id)?;
        match std::mem::replace(&mut connection.state, State::Live { session }) {
            State::Live { session: old } if old != session => Some(old),
            _ => None,
        }
    }

    fn is_held_by(&self, id: &Arc<str>, session: SessionId) -> bool {
        let state = self.0.get(id).map(|connection| &connection.state);
        matches!(state, Some(State::Live { session: holder }) if *holder == session)
    }

    fn take_leaving(&mut self, now_ms: i64) -> Vec<(Arc<str>, BTreeSet<Arc<str>>)> {
        let leaving = self.0.iter_mut().filter(|(_, connection)| {
            matches!(connection.state, State::Lost { leave_ms, .. } if leave_ms <= now_ms)
                && !connection.present.is_empty()
        });
        leaving
            .map(|(id, c)| (id.clone(), std::mem::take(&mut c.present)))
            .collect()
    }

    fn forget(&mut self, now_ms: i64) {
        self.0.retain(|_, connection| {
            !matches!(connection.state, State::Lost { forget_ms, .. } if forget_ms <= now_ms)
        });
    }

    pub(super) fn next_due_ms(&self) -> Option<i64> {
        let due = self
            .0
            .values()
            .filter_map(|connection| match connection.state {
                State::Live { .. } => None,
                State::Lost { forget_ms, .. } if connection.present.is_empty() => Some(forget_ms),
                State::Lost { leave_ms, .. } => Some(leave_ms),
            });
        due.min()
    }
}

impl Connection {
    fn new(generation: u64, state: State) -> Self {
        Self {
            generation,
            spent_below: generation,
            present: BTreeSet::new(),
            state,
        }
    }
}

fn refused(why: &str) -> ErrorInfo {
    ErrorInfo::with_status(80018, 400, format!("{why}; this is a new connection"))
}
