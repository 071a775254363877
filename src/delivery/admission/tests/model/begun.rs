//! All that was ever let through, and how it is found again.

use super::*;

/// How long what has its outcome is known.
const KEPT: Duration = Duration::from_secs(15 * 60);

/// Who submitted something, and has no answer.
#[derive(Debug, Clone)]
pub(super) struct Waiter {
    pub from: Producer,
    pub origin: u32,
    pub id: EffectId,
    pub is_ordered: bool,
    /// When it came, or where it stood over its connection, if it joined another.
    pub stands_at: Option<u64>,
    /// Where it had to come again, before it waited for another.
    pub fenced_at: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum End {
    Open,
    Done(BootTime),
    /// At which place, over which connection.
    Failed(BootTime, (u64, Producer)),
    Forgotten,
}

/// An effect that was let through.
#[derive(Debug)]
pub(super) struct Begun {
    pub effect: SideEffect,
    /// Over which connection.
    pub from: Producer,
    pub waiters: Vec<Waiter>,
    /// Where it failed before, and over which connection.
    pub failed_at: Option<(u64, Producer)>,
    pub end: End,
}

/// What is known of something that comes.
pub(super) enum Known {
    Open(usize),
    Done,
    Conflict,
    /// At which place it failed, and over which connection, if it did.
    Not(Option<(u64, Producer)>),
}

/// See the module.
#[derive(Default)]
pub(super) struct All(pub Vec<Begun>);

impl All {
    /// The last that was begun and is `it`, if it is known at all.
    fn last(&self, now: BootTime, is_it: impl Fn(&Begun) -> bool) -> Option<usize> {
        let at = self.0.iter().rposition(is_it)?;
        let is_known = match self.0[at].end {
            End::Open => true,
            End::Done(since) | End::Failed(since, _) => now.since(since) < KEPT,
            End::Forgotten => false,
        };
        is_known.then_some(at)
    }

    /// What is known of something that comes.
    pub(super) fn known(&self, effect: &SideEffect, now: BootTime) -> Known {
        let same_id = self.last(now, |begun| begun.effect.id == effect.id);
        if same_id.is_some_and(|at| fingerprint(&self.0[at].effect) != fingerprint(effect)) {
            return Known::Conflict;
        }
        let key = known_by(effect);
        let has_key = |begun: &Begun| {
            let is_named = known_by(&begun.effect) != begun.effect.id.as_uuid();
            is_named && known_by(&begun.effect) == key
        };
        // A later attempt under its id stands for it.
        let is_replaced = |at: usize| {
            let id = self.0[at].effect.id;
            let mut later = self.0[at + 1..].iter();
            later.any(|later| later.effect.id == id)
        };
        let same_key = self.last(now, has_key).filter(|at| !is_replaced(*at));
        let mut failed_at = None;
        for at in same_id.into_iter().chain(same_key) {
            match self.0[at].end {
                End::Open => return Known::Open(at),
                End::Done(_) => return Known::Done,
                End::Failed(_, place) => failed_at = failed_at.or(Some(place)),
                End::Forgotten => {}
            }
        }
        Known::Not(failed_at)
    }

    /// The one that is on its way under this id.
    pub(super) fn open(&mut self, id: EffectId) -> &mut Begun {
        let mut open = self.0.iter_mut();
        let open = open.find(|begun| begun.end == End::Open && begun.effect.id == id);
        open.expect("it was let through")
    }

    /// How many wait for an answer.
    pub(super) fn waiting(&self) -> usize {
        self.0.iter().map(|begun| begun.waiters.len()).sum()
    }

    /// Forgets who is gone, but for one by which an effect is on its way; in the
    /// order of their submissions.
    pub(super) fn forget(&mut self, gone: impl Fn(Producer) -> bool) -> Vec<u32> {
        let mut left = Vec::new();
        for begun in &mut self.0 {
            let waiters = std::mem::take(&mut begun.waiters).into_iter();
            let (gone, mut stay): (Vec<_>, Vec<_>) = waiters.partition(|one| gone(one.from));
            let mut gone = gone.into_iter();
            if stay.is_empty() {
                stay.extend(gone.next());
            }
            left.extend(gone.map(|waiter| waiter.origin));
            begun.waiters = stay;
        }
        left.sort_unstable();
        left
    }
}
