//! The daemon: commits messages, hands them over in order, resends what was not
//! acked.
//!
//! It is as careless as the protocol allows: it goes on sending after a
//! failure, until it comes to that one again.
//!
//! In some stories there are two, each with every other session and a connection of
//! its own. In some, Falco hears late that the connection of one that died is
//! closed: it may read what was on its way there behind what the next one brings.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// Frames a daemon has open at once in a session.
pub(super) const WINDOW: usize = 8;

/// How a daemon sees to it that a failure costs a session no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Habit {
    /// Its payloads have sequence numbers.
    Numbers,
    /// Its frames have the flag for it, and every attempt has one id.
    Flag,
    /// It waits for each answer.
    Patience,
    /// It does not.
    Carelessness,
}

/// What else keeps the order of a session whose frames have the flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mix {
    /// Nothing.
    Nothing,
    /// Most messages have a number, too, and not all go to one channel.
    SomeNumbers,
    /// All messages have a number, too, and not all the flag.
    SomeFlags,
}

impl Mix {
    pub(super) fn is_numbered(self, number: u32) -> bool {
        match self {
            Self::Nothing => false,
            Self::SomeNumbers => !number.is_multiple_of(5),
            Self::SomeFlags => true,
        }
    }

    pub(super) fn has_flag(self, number: u32) -> bool {
        self != Self::SomeFlags || number % 5 > 1
    }

    /// Whether it goes to another channel than most.
    pub(super) fn is_elsewhere(self, number: u32) -> bool {
        self == Self::SomeNumbers && number % 5 == 3
    }
}

#[derive(Debug, Default)]
struct Session {
    committed: u32,
    /// Committed and neither acked nor refused for good.
    open: BTreeSet<u32>,
    /// Handed over on this connection and not answered.
    out: BTreeMap<u32, u32>,
    /// Everything below was handed over on this connection.
    cursor: u32,
    /// Failed; waits to be tried again.
    failed: BTreeSet<u32>,
    refused: BTreeSet<u32>,
}

pub(super) struct Daemon {
    options: Options,
    /// Of each of them; none has a number twice.
    connections: Vec<u32>,
    sessions: Vec<Session>,
    attempts: u32,
}

impl Daemon {
    pub(super) fn new(options: Options) -> Self {
        let sessions = (0..options.sessions).map(|_| Session::default());
        Self {
            options,
            connections: (1..).take(options.daemons).collect(),
            sessions: sessions.collect(),
            attempts: 0,
        }
    }

    /// The connections there are.
    pub(super) fn connections(&self) -> impl Iterator<Item = u32> {
        self.connections.iter().copied()
    }

    /// Which of them has a session.
    fn which(&self, session: u8) -> usize {
        usize::from(session) % self.connections.len()
    }

    /// The connection over which a session goes.
    pub(super) fn connection_of(&self, session: u8) -> u32 {
        self.connections[self.which(session)]
    }

    /// The latest of all.
    pub(super) fn last_connection(&self) -> u32 {
        self.connections().max().expect("there is a daemon")
    }

    pub(super) fn is_done(&self) -> bool {
        let all = self.options.messages;
        let mut sessions = self.sessions.iter();
        sessions.all(|s| s.committed == all && s.open.is_empty())
    }

    /// What has no outcome yet.
    pub(super) fn open(&self) -> Vec<&BTreeSet<u32>> {
        self.sessions.iter().map(|s| &s.open).collect()
    }

    /// The same, as messages.
    pub(super) fn open_messages(&self) -> impl Iterator<Item = Message> {
        let sessions = (0..).zip(&self.sessions);
        sessions.flat_map(|(at, s)| s.open.iter().map(move |number| (at, *number)))
    }

    /// All that were committed.
    pub(super) fn messages(&self) -> impl Iterator<Item = Message> {
        let sessions = (0..).zip(&self.sessions);
        sessions.flat_map(|(at, s)| (1..=s.committed).map(move |number| (at, number)))
    }

    /// The messages of a session that have to be published. Of what is refused
    /// from an outbox, no daemon hears.
    pub(super) fn published(&self, number: u8, is_kept: bool) -> Vec<u32> {
        let session = &self.sessions[usize::from(number)];
        let is_refused = |n: &u32| {
            if is_kept {
                Server::refuses((number, *n))
            } else {
                session.refused.contains(n)
            }
        };
        let all = 1..=session.committed;
        all.filter(|n| !is_refused(n)).collect()
    }

    pub(super) fn sessions(&self) -> u8 {
        self.options.sessions
    }

    /// Tries what failed again, in order.
    pub(super) fn again(&mut self, session: u8) {
        let session = &mut self.sessions[usize::from(session)];
        if let Some(first) = session.failed.pop_first() {
            session.cursor = session.cursor.min(first);
            session.failed.clear();
        }
    }

    /// A new connection of one daemon: everything open is handed over again.
    fn reconnect(&mut self, which: usize) -> u32 {
        let next = self.last_connection() + 1;
        self.connections[which] = next;
        let (skipped, step) = (which, self.connections.len());
        for session in self.sessions.iter_mut().skip(skipped).step_by(step) {
            session.out.clear();
            session.failed.clear();
            session.cursor = 0;
        }
        next
    }

    /// The next message to hand over.
    fn next(&mut self) -> Option<Submission> {
        for (at, session) in self.sessions.iter_mut().enumerate() {
            let session_number = u8::try_from(at).unwrap();
            let is_busy = match self.options.habit(session_number) {
                Habit::Patience => !session.out.is_empty() || !session.failed.is_empty(),
                _ => session.out.len() >= WINDOW,
            };
            if is_busy {
                continue;
            }
            let from = session.cursor;
            let waiting = session.open.range(from..);
            let next = waiting
                .copied()
                .find(|n| !session.out.contains_key(n) && !session.failed.contains(n));
            let Some(number) = next else { continue };
            session.cursor = number + 1;
            self.attempts += 1;
            session.out.insert(number, self.attempts);
            return Some(Submission {
                connection: self.connections[at % self.connections.len()],
                message: (session_number, number),
                attempt: self.attempts,
                is_imposter: false,
            });
        }
        None
    }

    /// Something else under the id of a submission.
    fn imposter(&mut self, submission: Submission) -> Submission {
        self.attempts += 1;
        Submission {
            attempt: self.attempts,
            is_imposter: true,
            ..submission
        }
    }
}

impl World {
    pub(super) fn commit(&mut self, session: u8) {
        let state = &mut self.daemon.sessions[usize::from(session)];
        state.committed += 1;
        state.open.insert(state.committed);
        if state.committed < self.options.messages {
            let pause = self.random.between(0, 1500 * MS);
            self.after(pause, Event::Commit(session));
        }
        self.send_frames();
    }

    pub(super) fn send_frames(&mut self) {
        let mut sender = None;
        while let Some(submission) = self.daemon.next() {
            let at = self.now + self.random.between(1, 2000);
            let arrives = self.falco.frame_arrives(submission.connection, at);
            self.after(arrives - self.now, Event::Frame(submission));
            sender = Some(self.daemon.which(submission.message.0));
        }
        let may_die = 0 < self.options.lingers && self.is_troubled;
        let dies = may_die && self.random.chance(30);
        if let Some(which) = sender.filter(|_| dies) {
            self.replace_daemon(which, true);
        }
    }

    /// What is on its way over a connection is read late.
    fn hold_up_frames(&mut self, connection: u32) {
        let mut held = Vec::new();
        self.queue.retain(|_, event| match event {
            Event::Frame(submission) if submission.connection == connection => {
                held.push(*submission);
                false
            }
            _ => true,
        });
        for submission in held {
            let at = self.now + self.random.between(1, self.options.lingers);
            let arrives = self.falco.frame_arrives(connection, at);
            self.after(arrives - self.now, Event::Frame(submission));
        }
    }

    pub(super) fn take_ack(&mut self, submission: Submission, outcome: Result<(), Class>) {
        let (at, number) = submission.message;
        if submission.connection != self.daemon.connection_of(at) {
            return;
        }
        let session = &mut self.daemon.sessions[usize::from(at)];
        let out = session.out.remove(&number);
        assert_eq!(out, Some(submission.attempt), "one ack for each submission");
        match outcome {
            Ok(()) => {
                session.open.remove(&number);
                let is_kept = self.options.outbox.is_some();
                self.record.check_acked(submission.message, is_kept);
                self.send_imposter(submission);
            }
            Err(Class::Rejected | Class::TooLarge) => {
                assert!(Server::refuses(submission.message), "{number} was rejected");
                session.open.remove(&number);
                session.refused.insert(number);
            }
            Err(_) => {
                if session.failed.is_empty() {
                    let pause = self.random.between(10, 500) * MS;
                    self.after(pause, Event::Again(at));
                }
                self.daemon.sessions[usize::from(at)].failed.insert(number);
            }
        }
        self.after(0, Event::Send);
    }

    /// Its id is used for something else.
    fn send_imposter(&mut self, acked: Submission) {
        let (session, _) = acked.message;
        let is_known = self.options.knows_ids() && !self.options.has_fresh_ids(session);
        let is_tried = is_known && !Server::refuses(acked.message) && self.random.chance(50);
        if is_tried && !self.record.was_given_up(acked.message) {
            let imposter = self.daemon.imposter(acked);
            let takes = self.random.between(1, 4 * SECOND);
            self.after(takes, Event::Frame(imposter));
        }
    }

    /// Everything of a daemon but its database is gone.
    pub(super) fn crash_daemon(&mut self) {
        let which = self.random.below(self.options.daemons);
        let lingers = 0 < self.options.lingers && self.random.chance(500);
        self.replace_daemon(which, lingers);
    }

    /// One takes the place of another that died. Falco may not hear of that yet.
    fn replace_daemon(&mut self, which: usize, lingers: bool) {
        let closed = self.daemon.connections[which];
        if lingers {
            self.hold_up_frames(closed);
        }
        let longest = if lingers {
            self.options.lingers
        } else {
            2 * MS
        };
        let at = self.now + self.random.between(1, longest);
        let falco = &mut self.falco;
        let arrives = falco.frame_arrives(closed, at);
        let connection = self.daemon.reconnect(which);
        falco.program.open(connection);
        if !lingers {
            falco.frame_arrives(connection, arrives);
        }
        for session in 0..self.options.sessions {
            if self.daemon.connection_of(session) == connection {
                self.record.order.ends(session);
            }
        }
        self.after(arrives - self.now, Event::Closed(closed));
        let pause = self.random.between(0, 3 * SECOND);
        self.after(pause, Event::Send);
    }

    /// A daemon may find this connection closed.
    pub(super) fn hung_up(&mut self, connection: u32) {
        let found = self.daemon.connections().position(|of| of == connection);
        if let Some(which) = found {
            self.hang_up_on_daemon(which);
        }
    }

    /// A daemon finds its connection closed.
    pub(super) fn hang_up_on_daemon(&mut self, which: usize) {
        self.daemon.reconnect(which);
        let pause = self.random.between(0, SECOND);
        self.after(pause, Event::Send);
    }
}
