//! A daemon that sends all that is not acked, in order.
//!
//! After a failure that is not final it goes back to the first that is not acked, and
//! sends from there again; what was on its way comes before that. Over a new connection
//! it begins there, too. In some stories it does not repeat what has no answer yet over
//! its connection: only there anything is refused for good, for a copy of that would
//! stand in its way, and not come again.

use super::*;

/// See the module.
pub(super) struct Daemon {
    whose: u8,
    effects: u8,
    repeats: bool,
    pub connection: usize,
    /// All before this were sent over this connection, as far as they have to be.
    cursor: u8,
    done: BTreeSet<u8>,
    /// Sent over this connection, and not answered.
    out: BTreeSet<u8>,
}

impl Daemon {
    pub(super) fn new(options: Options, number: u8, connection: usize) -> Self {
        let are_twins = options.kind == Kind::Twins;
        Self {
            whose: if are_twins { 0 } else { number },
            effects: options.effects,
            repeats: options.repeats,
            connection,
            cursor: 1,
            done: BTreeSet::new(),
            out: BTreeSet::new(),
        }
    }

    /// The next to send.
    pub(super) fn next(&mut self) -> Option<Message> {
        let waits = |n: &u8| !self.repeats && self.out.contains(n);
        let mut open = (self.cursor..=self.effects).filter(|n| !self.done.contains(n));
        let next = open.find(|n| !waits(n))?;
        self.cursor = next + 1;
        self.out.insert(next);
        Some((self.whose, next))
    }

    pub(super) fn hear(&mut self, (_, n): Message, failed: Option<Class>) {
        self.out.remove(&n);
        match failed {
            Some(class) if !class.is_final() => self.cursor = 1,
            Some(_) | None => _ = self.done.insert(n),
        }
    }

    pub(super) fn reconnect(&mut self, connection: usize) {
        self.connection = connection;
        self.cursor = 1;
        self.out.clear();
    }

    pub(super) fn is_done(&self) -> bool {
        self.done.len() == usize::from(self.effects)
    }
}
