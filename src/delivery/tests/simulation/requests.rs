//! What was sent, and what is certain of it.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::protocol::id::EffectId;

#[derive(Debug)]
pub(super) struct Sent {
    pub messages: Vec<Message>,
    /// What they came under.
    pub ids: Vec<EffectId>,
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

/// What an answer says to whoever reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It was published, and is waited for.
    Published,
    /// It was published, and was given up meanwhile.
    PublishedLate,
    /// Something else.
    Other,
}

/// A request that its lane waits for.
#[derive(Debug)]
struct InFlight {
    number: usize,
    id: RequestId,
    /// Of which life and connection.
    link: (u32, u32),
    until: Time,
    /// An earlier request with some of it was accepted.
    may_be_over: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Requests {
    sent: Vec<Sent>,
    /// Those of which nothing is known.
    open: BTreeSet<usize>,
    /// What a lane waits for, by way and session.
    in_flight: BTreeMap<(usize, u8), InFlight>,
}

impl Requests {
    /// A request goes out, to be answered until then; returns its number.
    pub(super) fn sent(&mut self, effects: &[&Effect], until: Time) -> usize {
        let messages: Vec<_> = effects.iter().map(|e| message_with(&e.key)).collect();
        for message in &messages {
            self.doubt(*message, Time::MAX);
        }
        let number = self.sent.len();
        self.sent.push(Sent {
            messages,
            ids: effects.iter().map(|effect| effect.id).collect(),
            until,
            fate: Fate::Open,
        });
        self.open.insert(number);
        number
    }

    /// The request with this number.
    pub(super) fn get(&self, number: usize) -> &Sent {
        &self.sent[number]
    }

    /// Of what was sent of this, and was to be answered until then, nothing is
    /// known for certain.
    pub(super) fn doubt(&mut self, message: Message, until: Time) {
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
            id: request.id,
            link,
            until,
            may_be_over: false,
        };
        let before = self.in_flight.insert(lane, flight);
        let is_over = before
            .is_none_or(|before| before.link != link || before.until <= now || before.may_be_over);
        assert!(is_over, "two requests of {lane:?} are on their way");
    }

    /// An answer is read. Of an attempt whose time is over, a Falco that stops
    /// waits for none any more: what was kept of it is given up by then.
    pub(super) fn answered(
        &mut self,
        answer: &server::Answer,
        now: Time,
        is_stopping: bool,
    ) -> Meaning {
        let answered = &self.sent[answer.number].messages;
        let lane = (answer.way, answered[0].0);
        let is_accepted = answer.refusal.is_none();
        let is_waited_for = !is_stopping || now < self.sent[answer.number].until;
        let mut settles = false;
        if let Some(flight) = self.in_flight.get_mut(&lane) {
            let messages = &self.sent[flight.number].messages;
            // A late acceptance settles what was sent again meanwhile: surely if it is
            // of the same request, else if it is not in other company by now.
            let is_same = messages.iter().any(|message| answered.contains(message));
            let is_front = flight.link == (answer.life, answer.link)
                && flight.id.generation == answer.id.generation;
            flight.may_be_over |= is_accepted && is_same;
            settles = is_front && now < flight.until && self.open.contains(&flight.number);
            if flight.number == answer.number || is_accepted && is_same && is_front {
                self.in_flight.remove(&lane);
            }
        }
        let is_news = answer.is_certain() && is_waited_for && self.open.remove(&answer.number);
        if is_news {
            self.sent[answer.number].fate = Fate::Certain;
        }
        // After its time it may have been given up, and nobody was there to be told.
        let is_timely = is_news && now < self.sent[answer.number].until;
        match (is_accepted, is_timely || settles) {
            (true, true) => Meaning::Published,
            (true, false) => Meaning::PublishedLate,
            (false, _) => Meaning::Other,
        }
    }

    /// Whether a request of this life has no answer.
    pub(super) fn are_open(&self, life: u32) -> bool {
        let mut flights = self.in_flight.values().filter(|of| of.link.0 == life);
        flights.any(|flight| self.open.contains(&flight.number))
    }

    /// Falco died before this went out.
    pub(super) fn not_sent(&mut self, number: usize) {
        self.open.remove(&number);
        self.sent[number].fate = Fate::Certain;
    }

    /// How often each message was sent without anybody learning what came of it.
    pub(super) fn unknown(&self) -> BTreeMap<Message, usize> {
        let mut unknown = BTreeMap::<Message, usize>::new();
        let doubtful = self.sent.iter().filter(|sent| sent.fate != Fate::Certain);
        for message in doubtful.flat_map(|sent| &sent.messages) {
            *unknown.entry(*message).or_default() += 1;
        }
        unknown
    }
}
