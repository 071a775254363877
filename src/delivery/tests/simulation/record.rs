//! What the server took, compared with what the daemon committed.
//!
//! Knows nothing of lanes: only messages, requests and what is certain of them.

use std::collections::BTreeMap;

use super::*;

#[derive(Debug)]
struct Sent {
    messages: Vec<Message>,
    fate: Fate,
}

/// What whoever sent a request was told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Nothing yet.
    Open,
    Certain,
    /// Nothing for certain before one of its messages was sent again.
    Unknown,
}

#[derive(Debug, Default)]
pub(super) struct Record {
    sent: Vec<Sent>,
    /// First publications, in order.
    first: Vec<Message>,
    copies: BTreeMap<Message, usize>,
    /// How often Falco died before the daemon had its ack.
    forgotten: BTreeMap<Message, usize>,
}

impl Record {
    /// A request goes out; returns its number.
    pub(super) fn sent(&mut self, messages: &[Message]) -> usize {
        let open = self.sent.iter_mut().filter(|sent| sent.fate == Fate::Open);
        for sent in open.filter(|sent| sent.messages.iter().any(|m| messages.contains(m))) {
            sent.fate = Fate::Unknown;
        }
        self.sent.push(Sent {
            messages: messages.to_vec(),
            fate: Fate::Open,
        });
        self.sent.len() - 1
    }

    pub(super) fn answered(&mut self, answer: &server::Answer) {
        let fate = &mut self.sent[answer.number].fate;
        if *fate == Fate::Open && answer.is_certain() {
            *fate = Fate::Certain;
        }
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

    /// SUCCESS means published.
    pub(super) fn check_acked(&self, message: Message) {
        assert!(
            self.copies.contains_key(&message),
            "{message:?} is not published"
        );
    }

    /// Nothing is lost, nothing is out of order, nothing was published that
    /// was refused, and copies are where the outcome was unknown.
    pub(super) fn check(&self, daemon: &Daemon, options: Options) {
        for session in 0..daemon.sessions() {
            let first = self.first.iter().filter(|(of, _)| *of == session);
            let first: Vec<u32> = first.map(|(_, number)| *number).collect();
            assert_eq!(first, daemon.published(session), "session {session}");
        }
        for (message, copies) in &self.copies {
            let unknown = self
                .sent
                .iter()
                .filter(|s| s.fate != Fate::Certain && s.messages.contains(message));
            let forgotten = self.forgotten.get(message).unwrap_or(&0);
            let bound = 1 + forgotten + unknown.count();
            assert!(
                *copies <= bound,
                "{message:?}: {copies} copies, at most {bound}"
            );
            // Without batches a message always has the same id.
            assert!(
                options.batches || *copies == 1,
                "{message:?} is visible twice"
            );
        }
    }
}
