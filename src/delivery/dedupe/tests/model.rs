//! Random stories, checked against the simplest thing that could be right: a
//! list of everything that was ever submitted.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Submit { id: u8, key: u8, payload: bool },
    Settle { which: usize, how: How },
    Pass { seconds: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    Done,
    Failed,
    TurnedAway,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let how = prop_oneof![
        3 => Just(How::Done),
        2 => Just(How::Failed),
        1 => Just(How::TurnedAway),
    ];
    let step = prop_oneof![
        8 => (0..12u8, 0..5u8, prop::bool::weighted(0.9))
            .prop_map(|(id, key, payload)| Step::Submit { id, key, payload }),
        5 => (any::<usize>(), how).prop_map(|(which, how)| Step::Settle { which, how }),
        1 => (0..600u64).prop_map(|seconds| Step::Pass { seconds }),
    ];
    prop::collection::vec(step, 0..200)
}

/// One effect that was begun.
#[derive(Debug)]
struct Begun {
    id: u8,
    key: u8,
    payload: bool,
    ticket: Ticket,
    /// Submissions that wait for it.
    waiters: usize,
    /// How it ended, when, and what place it had.
    end: Option<(How, BootTime, u64)>,
    /// One with the same id was begun later.
    is_replaced: bool,
}

struct Model {
    dedupe: Dedupe<u32>,
    now: BootTime,
    begun: Vec<Begun>,
    arrivals: u64,
}

impl Model {
    fn step(&mut self, step: &Step) {
        match *step {
            Step::Submit { id, key, payload } => self.submit(id, key, payload),
            Step::Settle { which, how } => self.settle(which, how),
            Step::Pass { seconds } => self.now = self.now.after(Duration::from_secs(seconds)),
        }
        let joined: usize = self.open().map(|at| self.begun[at].waiters - 1).sum();
        assert_eq!(self.dedupe.joined, joined);
    }

    fn open(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.begun.len()).filter(|at| self.begun[*at].end.is_none())
    }

    /// What is remembered of an id, or of a key: of what was begun last.
    fn last(&self, is_it: impl Fn(&Begun) -> bool) -> Option<&Begun> {
        let last = self.begun.iter().rev().find(|begun| is_it(begun))?;
        let is_known = match last.end {
            None => true,
            Some((How::TurnedAway, ..)) => false,
            Some((_, at, _)) => self.now.since(at) < KEPT,
        };
        is_known.then_some(last)
    }

    fn submit(&mut self, id: u8, key: u8, payload: bool) {
        let text = if payload { "one" } else { "other" };
        let effect = given(u32::from(id), &key.to_string(), text);
        let found = self.dedupe.look_up(&effect, self.now);
        let same_id = self.last(|begun| begun.id == id);
        let same_key = self.last(|begun| begun.key == key);
        let same_key = same_key.filter(|begun| !begun.is_replaced);
        let known: Vec<_> = same_id.into_iter().chain(same_key).collect();
        match found {
            Known::Conflict => assert_ne!(same_id.expect("known").payload, payload),
            Known::Open(ticket) => {
                let begun = known.iter().find(|b| b.ticket == ticket);
                assert!(begun.is_some_and(|b| b.end.is_none()), "{known:?}");
                let begun = self.begun.iter_mut().rev().find(|b| b.ticket == ticket);
                begun.expect("found").waiters += 1;
                self.dedupe.join(ticket, effect.id, 0);
            }
            Known::Done => {
                let is_done = |b: &&Begun| matches!(b.end, Some((How::Done, ..)));
                assert!(known.iter().any(is_done), "{known:?}");
            }
            Known::Not { failed_at } => {
                let is_failed = |b: &&Begun| matches!(b.end, Some((How::Failed, ..)));
                assert!(known.iter().all(is_failed), "{known:?}");
                let places = known.iter().filter_map(|b| Some(b.end?.2));
                assert!(failed_at.is_none_or(|at| places.clone().any(|p| p == at.0)));
                assert_eq!(failed_at.is_some(), places.count() > 0);
                self.begin(id, key, payload, &effect);
            }
        }
    }

    fn begin(&mut self, id: u8, key: u8, payload: bool, effect: &SideEffect) {
        for before in self.begun.iter_mut().filter(|b| b.id == id) {
            before.is_replaced = true;
        }
        let ticket = self.dedupe.begin(effect, None, 0);
        self.begun.push(Begun {
            id,
            key,
            payload,
            ticket,
            waiters: 1,
            end: None,
            is_replaced: false,
        });
    }

    fn settle(&mut self, which: usize, how: How) {
        let open: Vec<_> = self.open().collect();
        let Some(&at) = open.get(which % open.len().max(1)) else {
            return;
        };
        self.arrivals += 1;
        let (ticket, place, now) = (self.begun[at].ticket, self.arrivals, self.now);
        let waiters = match how {
            How::Done => self.dedupe.done(ticket, now),
            How::Failed => self.dedupe.failed(ticket, (place, BY), now),
            How::TurnedAway => self.dedupe.turned_away(ticket, now),
        };
        let told = waiters.into_iter().count();
        assert_eq!(told, self.begun[at].waiters, "one answer each");
        self.begun[at].end = Some((how, now, place));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_story_of_resends_is_remembered_right(steps in steps()) {
        let mut model = Model {
            dedupe: Dedupe::new(),
            now: BootTime::default(),
            begun: Vec::new(),
            arrivals: 0,
        };
        for step in &steps {
            model.step(step);
        }
        let ids: HashMap<u8, usize> = model.begun.iter().map(|b| (b.id, 1)).collect();
        assert!(model.dedupe.records.by_id.len() <= ids.len());
    }
}
