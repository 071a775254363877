//! What the server took, compared with what the daemon committed.
//!
//! Knows nothing of lanes: only messages, requests and what is certain of them.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::journal::Recovered;
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::{EffectId, IdempotencyKey};
use requests::Requests;

#[derive(Debug, Default)]
pub(super) struct Record {
    pub requests: Requests,
    pub known: Known,
    pub order: Order,
    /// First publications, in order.
    first: Vec<Message>,
    copies: BTreeMap<Message, usize>,
    /// How often nobody was left who knew what had become of it.
    forgotten: BTreeMap<Message, usize>,
    /// May have been published, and nobody is left who knows together with what.
    lost_company: BTreeSet<Message>,
    /// What came under which id.
    named: BTreeMap<EffectId, (Message, SideEffect)>,
    /// Answered with FAILED, at least once, or failed with nobody to be told.
    given_up: BTreeSet<Message>,
    /// What was on its way as its connection was closed, under this id and in this
    /// life: if it fails, nobody is told.
    untold: BTreeMap<Message, (EffectId, u32)>,
    /// What each was sent together with.
    beside: BTreeMap<Message, BTreeSet<Message>>,
    /// Answered with SUCCESS.
    promised: BTreeSet<Message>,
    /// Dead letters that an operator dropped.
    dropped: BTreeSet<Message>,
    /// What lanes were parked for, and somebody let them go on without.
    let_go: BTreeSet<Message>,
    /// What each object was set to last: in which life that was sent, and whether
    /// a transport that died with it has done it late.
    set: BTreeMap<u8, (Message, u32, bool)>,
}

impl Record {
    /// What goes out is, to the last byte, what came.
    pub(super) fn check_effect(&self, effect: &Effect) {
        let (_, came) = &self.named[&effect.id];
        assert_eq!(
            (&effect.operation, &effect.key),
            (&came.operation, &came.key)
        );
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

    /// A life is over, and with it what only that knew of these.
    pub(super) fn forgot(&mut self, messages: impl Iterator<Item = Message>) {
        for message in messages.filter(|message| !self.known.is_noted(*message)) {
            *self.forgotten.entry(message).or_default() += 1;
        }
    }

    /// A life is over, and with it what only that knew of the company in which its
    /// messages went out: those of `messages` that are published, and all of which
    /// nobody knows whether they are, as of what was on its way too long for a stop in
    /// peace.
    pub(super) fn lost_company(&mut self, messages: &[Message]) {
        let published = messages.iter().filter(|m| self.copies.contains_key(m));
        let doubtful = self.requests.unknown().into_keys();
        let lost = published.copied().chain(doubtful);
        let known = &self.known;
        let lost = lost.filter(|message| !known.is_noted(*message));
        self.lost_company.extend(lost);
    }

    /// An object is set. Of what one life sends, nothing sets it back but what a
    /// transport that died with it does late: nobody can call that back.
    pub(super) fn was_set(&mut self, request: &server::Request) {
        let message = request.messages[0];
        let new = (message, request.life, request.was_late);
        let before = self.set.insert(message.0, new);
        let is_back = |(last, life, _)| life == request.life && message < last;
        let is_set_back = !request.was_late && before.is_some_and(is_back);
        assert!(!is_set_back, "{message:?} sets back {before:?}");
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

    /// These go out together.
    pub(super) fn go_out(&mut self, messages: &[Message]) {
        for message in messages {
            self.beside.entry(*message).or_default().extend(messages);
        }
    }

    /// A submission came.
    pub(super) fn came(&mut self, effect: &SideEffect, message: Message) {
        self.named.insert(effect.id, (message, effect.clone()));
    }

    /// One came to a journal, which may not know any more that it is published.
    pub(super) fn came_to_journal(&mut self, message: Message, now: Time) {
        if self.known.comes_again(message, now) {
            self.forgot(std::iter::once(message));
            self.lost_company.insert(message);
        }
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
        self.requests.doubt(message, now);
    }

    /// Its connection is closed in this life, and it is on its way under this id.
    pub(super) fn nobody_is_told(&mut self, message: Message, id: EffectId, life: u32) {
        self.untold.insert(message, (id, life));
    }

    /// Under which id it was on its way in this life while its connection was closed.
    pub(super) fn untold(&mut self, message: Message, life: u32) -> Option<EffectId> {
        let (id, since) = self.untold.remove(&message)?;
        (since == life).then_some(id)
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
    /// for each life that ended before it had noted what was published. An object
    /// has the last value in the end, but for what a dead transport did late.
    pub(super) fn check(&self, daemon: &Daemon, options: Options) {
        let keeps_all = options.outbox.is_none_or(program::Options::keeps_all);
        for session in 0..daemon.sessions() {
            let first = self.first.iter().filter(|(of, _)| *of == session);
            let mut first: Vec<u32> = first.map(|(_, number)| *number).collect();
            if options.habit(session) == Habit::Carelessness {
                first.sort_unstable();
            }
            let expected = daemon.published(session, options.outbox.is_some());
            assert_eq!(first, expected, "session {session}");
            let is_ordered = keeps_all && options.habit(session) != Habit::Carelessness;
            if let Some((last, _, false)) = self.set.get(&session).filter(|_| is_ordered) {
                assert_eq!(Some(&last.1), expected.last(), "object {session}");
            }
        }
        self.check_copies(options);
    }

    fn check_copies(&self, options: Options) {
        let unknown = self.requests.unknown();
        for (message, copies) in &self.copies {
            let forgotten = self.forgotten.get(message).unwrap_or(&0);
            let unknown = unknown.get(message).unwrap_or(&0);
            let bound = 1 + forgotten + unknown;
            assert!(
                *copies <= bound,
                "{message:?}: {copies} copies, at most {bound}"
            );
            // An object set has no id that a server knows; to do it again changes nothing.
            if *copies == 1 || options.sets_objects(message.0) {
                continue;
            }
            // Alone, it always has the same id.
            let is_alone = options.goes_alone(message.0);
            assert!(!is_alone, "{message:?} is visible twice, alone");
            let may_be = self.may_be_in_another_batch(*message, options);
            assert!(may_be, "{message:?} is visible twice in batches");
        }
    }

    /// Whether it may go out in another company than before, which a server does not
    /// know again. A daemon that was told FAILED sends it when and with what it likes.
    /// One that is careless has gone on past what failed; to the next life of Falco it
    /// hands over everything in order, and what stood in one batch with that comes
    /// again with others in between, which nothing may overtake; or some of that batch
    /// fails, with what stands before it now, and the rest goes on. So much for what a
    /// memo holds; else a life may end and nobody is left who knows the company.
    fn may_be_in_another_batch(&self, message: Message, options: Options) -> bool {
        let is_careless = options.habit(message.0) == Habit::Carelessness;
        self.was_given_up(message)
            || self.lost_company.contains(&message)
            || is_careless && self.was_beside_given_up(message)
    }

    fn was_beside_given_up(&self, message: Message) -> bool {
        let mut beside = self.beside.get(&message).into_iter().flatten();
        beside.any(|beside| self.was_given_up(*beside))
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
