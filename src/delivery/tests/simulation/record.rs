//! What the server took, compared with what the daemon committed.
//!
//! Knows nothing of lanes: only messages, requests and what is certain of them.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::journal::Recovered;
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::{EffectId, IdempotencyKey};

#[derive(Debug)]
struct Sent {
    messages: Vec<Message>,
    /// Whoever sent it waits for an answer until then.
    until: Time,
    fate: Fate,
}

/// What whoever sent a request was told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Nothing yet.
    Open,
    Certain,
    /// Nothing for certain before one of its messages was sent again, or was
    /// given up.
    Unknown,
}

/// A request that its lane waits for.
#[derive(Debug)]
struct InFlight {
    number: usize,
    /// Of which life and connection.
    link: (u32, u32),
    until: Time,
}

#[derive(Debug, Default)]
pub(super) struct Record {
    sent: Vec<Sent>,
    /// Those of which nothing is known.
    open: BTreeSet<usize>,
    /// First publications, in order.
    first: Vec<Message>,
    copies: BTreeMap<Message, usize>,
    /// How often Falco died before the daemon had its ack.
    forgotten: BTreeMap<Message, usize>,
    /// How often Falco died with an outbox, and may not have noted what was
    /// published.
    deaths: usize,
    /// What came under which id.
    named: BTreeMap<EffectId, (Message, SideEffect)>,
    /// What a lane waits for, by way and session.
    in_flight: BTreeMap<(usize, u8), InFlight>,
    /// Answered with FAILED, at least once.
    given_up: BTreeSet<Message>,
    /// Answered with SUCCESS.
    promised: BTreeSet<Message>,
    /// Dead letters that an operator dropped.
    dropped: BTreeSet<Message>,
    /// What lanes were parked for, and somebody let them go on without.
    let_go: BTreeSet<Message>,
}

impl Record {
    /// A request goes out, to be answered until then; returns its number.
    pub(super) fn sent(&mut self, messages: &[Message], until: Time) -> usize {
        for message in messages {
            self.doubt(*message, Time::MAX);
        }
        let number = self.sent.len();
        self.sent.push(Sent {
            messages: messages.to_vec(),
            until,
            fate: Fate::Open,
        });
        self.open.insert(number);
        number
    }

    /// Of what was sent of this, and was to be answered until then, nothing is
    /// known for certain.
    fn doubt(&mut self, message: Message, until: Time) {
        let sent = &mut self.sent;
        self.open.retain(|number| {
            let sent = &mut sent[*number];
            let is_open = until < sent.until || !sent.messages.contains(&message);
            if !is_open {
                sent.fate = Fate::Unknown;
            }
            is_open
        });
    }

    /// It went out like this; its lane had nothing else on its way.
    pub(super) fn on_its_way(&mut self, request: &server::Request, now: Time) {
        let lane = (request.way, request.messages[0].0);
        let number = request.number;
        let until = self.sent[number].until;
        let link = (request.life, request.link);
        let flight = InFlight {
            number,
            link,
            until,
        };
        let before = self.in_flight.insert(lane, flight);
        let is_over = before.is_none_or(|before| before.link != link || before.until <= now);
        assert!(is_over, "two requests of {lane:?} are on their way");
    }

    /// What goes out is, to the last byte, what came.
    pub(super) fn check_effect(&self, effect: &Effect) {
        let (_, came) = &self.named[&effect.id];
        assert_eq!(
            (&effect.operation, &effect.key),
            (&came.operation, &came.key)
        );
    }

    /// An answer is read. Of an attempt whose time is over, a Falco that stops
    /// waits for none any more: what was kept of it is given up by then.
    pub(super) fn answered(&mut self, answer: &server::Answer, now: Time, is_stopping: bool) {
        let answered = &self.sent[answer.number].messages;
        let lane = (answer.way, answered[0].0);
        if let Some(flight) = self.in_flight.get(&lane) {
            let messages = &self.sent[flight.number].messages;
            // A late acceptance settles what was sent again meanwhile.
            let is_same = messages.iter().any(|message| answered.contains(message));
            if flight.number == answer.number || answer.refusal.is_none() && is_same {
                self.in_flight.remove(&lane);
            }
        }
        let sent = &mut self.sent[answer.number];
        let is_waited_for = !is_stopping || now < sent.until;
        if answer.is_certain() && is_waited_for && self.open.remove(&answer.number) {
            sent.fate = Fate::Certain;
        }
    }

    /// Falco died before this went out.
    pub(super) fn not_sent(&mut self, number: usize) {
        self.open.remove(&number);
        self.sent[number].fate = Fate::Certain;
    }

    /// What a request was made of.
    pub(super) fn messages(&self, number: usize) -> Vec<Message> {
        self.sent[number].messages.clone()
    }

    pub(super) fn published(&mut self, messages: &[Message]) {
        for message in messages {
            let copies = self.copies.entry(*message).or_default();
            *copies += 1;
            if *copies == 1 {
                self.first.push(*message);
            }
        }
    }

    /// Falco died, and with it what it knew of these.
    pub(super) fn forgot(&mut self, messages: impl Iterator<Item = Message>) {
        for message in messages {
            *self.forgotten.entry(message).or_default() += 1;
        }
    }

    /// Falco died with an outbox; what an operator wanted to drop may be gone.
    pub(super) fn died(&mut self, dropped: &[EffectId]) {
        self.deaths += 1;
        self.dropped(dropped);
    }

    pub(super) fn dropped(&mut self, ids: &[EffectId]) {
        let messages = ids.iter().map(|id| self.named[id].0);
        self.dropped.extend(messages.collect::<Vec<_>>());
    }

    /// A lane is to go on without this.
    pub(super) fn let_go(&mut self, id: EffectId) {
        self.let_go.insert(self.named[&id].0);
    }

    /// While a lane is parked for something, nothing behind that is published.
    pub(super) fn check_parked(&self, messages: &[Message]) {
        for (session, number) in messages {
            let before = (1..*number).map(|before| (*session, before));
            let mut refused = before.filter(|before| Server::refuses(*before));
            let passed = refused.find(|refused| !self.let_go.contains(refused));
            assert_eq!(passed, None, "passed by {:?}", (session, number));
        }
    }

    /// A submission came.
    pub(super) fn came(&mut self, effect: &SideEffect, message: Message) {
        self.named.insert(effect.id, (message, effect.clone()));
    }

    /// SUCCESS was said.
    pub(super) fn promised(&mut self, message: Message) {
        self.promised.insert(message);
    }

    /// Where SUCCESS means published, nothing goes out after it, also not from a
    /// later life: a server may have forgotten it by then.
    pub(super) fn check_not_acked(&self, messages: &[Message]) {
        let acked = messages.iter().find(|m| self.promised.contains(m));
        assert_eq!(acked, None, "goes out after it was acked");
    }

    /// FAILED was said. An attempt that was not answered in its time is one
    /// whose outcome nobody knew: what its answer says later helps no one.
    pub(super) fn given_up(&mut self, message: Message, now: Time) {
        self.given_up.insert(message);
        self.doubt(message, now);
    }

    /// Whether FAILED was ever said of it. An answer that comes after that is
    /// noted as far as it is understood: of what was published, only the ids.
    /// A later life then knows nothing to compare with.
    pub(super) fn was_given_up(&self, message: Message) -> bool {
        self.given_up.contains(&message)
    }

    fn is_settled(&self, message: Message) -> bool {
        self.copies.contains_key(&message) || self.dropped.contains(&message)
    }

    /// What a journal told is what was promised: nothing that is still to be
    /// published is missing, and nothing is done that was not published.
    pub(super) fn check_recovered(&self, recovered: &Recovered) {
        let live = recovered.live.iter();
        let live: BTreeSet<_> = live.map(|live| message_with(&live.key)).collect();
        for message in &self.promised {
            let is_safe = self.is_settled(*message) || live.contains(message);
            assert!(is_safe, "{message:?} was acked and is lost");
        }
        for done in &recovered.done {
            let message = self.named[&done.settled.id].0;
            let is_true = self.is_settled(message);
            assert!(is_true, "{message:?} is done and was never published");
        }
    }

    /// What is not published at the end is what the server refuses; and of that,
    /// what was acked is a dead letter, unless an operator dropped it.
    pub(super) fn check_dead(&self, dead: &BTreeSet<EffectId>) {
        let dead: BTreeSet<_> = dead.iter().map(|id| self.named[id].0).collect();
        for message in &dead {
            assert!(Server::refuses(*message), "{message:?} was given up");
        }
        for message in &self.promised {
            let is_somewhere = self.is_settled(*message) || dead.contains(message);
            assert!(is_somewhere, "{message:?} was acked and is nowhere");
        }
    }

    /// SUCCESS means published, or kept.
    pub(super) fn check_acked(&self, message: Message, is_kept: bool) {
        assert!(
            is_kept || self.copies.contains_key(&message),
            "{message:?} is not published"
        );
    }

    /// Nothing is lost, nothing is out of order, nothing was published that
    /// was refused, and copies are where the outcome was unknown: one for each
    /// attempt that was not answered before it was given up or made again, and
    /// for each life that ended before it had noted what was published.
    pub(super) fn check(&self, daemon: &Daemon, options: Options) {
        for session in 0..daemon.sessions() {
            let first = self.first.iter().filter(|(of, _)| *of == session);
            let mut first: Vec<u32> = first.map(|(_, number)| *number).collect();
            if options.habit(session) == Habit::Carelessness {
                first.sort_unstable();
            }
            let expected = daemon.published(session, options.outbox.is_some());
            assert_eq!(first, expected, "session {session}");
        }
        let mut unknown = BTreeMap::<Message, usize>::new();
        let doubtful = self.sent.iter().filter(|sent| sent.fate != Fate::Certain);
        for message in doubtful.flat_map(|sent| &sent.messages) {
            *unknown.entry(*message).or_default() += 1;
        }
        for (message, copies) in &self.copies {
            let forgotten = self.forgotten.get(message).unwrap_or(&0);
            let unknown = unknown.get(message).unwrap_or(&0);
            let bound = 1 + forgotten + self.deaths + unknown;
            assert!(
                *copies <= bound,
                "{message:?}: {copies} copies, at most {bound}"
            );
            // Without batches a message always has the same id. An object set
            // has none that a server knows: to set it again changes nothing.
            assert!(
                options.batches || options.sets_objects(message.0) || *copies == 1,
                "{message:?} is visible twice"
            );
        }
    }
}

/// The message that has this key.
pub(super) fn message_with(key: &IdempotencyKey) -> Message {
    let IdempotencyKey::Uuid(key) = key else {
        panic!("no message has the key {key}");
    };
    let key = key.as_u128();
    let number = u32::try_from(key & 0xffff_ffff).unwrap();
    (u8::try_from(key >> 32).unwrap(), number)
}
