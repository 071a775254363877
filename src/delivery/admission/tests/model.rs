//! Random stories of several connections, checked against [lists](naive) of all
//! that ever came: each of them says what the answers are, word for word, and what
//! is let through, at which place.
//!
//! Behind the door stands one [line](lines) for each lane, which publishes what was
//! let through one by one, fails what is behind a failure with it, and now and then
//! is full until it is empty. No lane is parked here.

mod begun;
mod lines;
mod naive;
mod shut;
mod steps;
mod waiting;

use proptest::prelude::*;

use super::*;
use crate::delivery::Settled;
use lines::{How, Lines};
use naive::Naive;
use steps::{Attempt, LANES, Step, steps};
use waiting::Come;

/// Connections at a time.
const CONNECTIONS: u64 = 3;

/// One told: which submission, under which id, and how it ended.
type Told = (u32, EffectId, String);

struct Tale {
    admission: Admission<u32>,
    naive: Naive,
    lines: Lines,
    now: BootTime,
    /// Those that are open; none has a number twice.
    connections: Vec<Producer>,
    opened: u64,
    submissions: u32,
    /// Whose they are that have no answer.
    owed: HashMap<u32, Producer>,
    trace: Vec<String>,
}

impl Tale {
    fn new() -> Self {
        Self {
            admission: Admission::new(),
            naive: Naive::default(),
            lines: Lines::default(),
            now: BootTime::default(),
            connections: (0..CONNECTIONS).map(Producer).collect(),
            opened: CONNECTIONS,
            submissions: 0,
            owed: HashMap::new(),
            trace: Vec::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Submit { from, attempt } => self.submit(from, attempt, None),
            Step::Refuse {
                from,
                attempt,
                class,
            } => self.submit(from, attempt, Some(class)),
            Step::Settle { lane, how } => self.settle(lane, how),
            Step::Told => {
                self.admission.handle_told();
                self.naive.told();
            }
            Step::Close { from } => self.close(from),
            Step::Pass { seconds } => {
                self.now = self.now.after(Duration::from_secs(seconds));
                self.admission.handle_timeout(self.now);
            }
        }
        self.check_answers();
    }

    fn submit(&mut self, from: u64, attempt: Attempt, no_room: Option<Class>) {
        let from = self.connections[usize::try_from(from).expect("few")];
        let (effect, origin) = (attempt.effect(), self.submissions);
        self.submissions += 1;
        self.owed.insert(origin, from);
        let expected = self.naive.submit(&effect, from, origin, self.now);
        let admitted = self.admission.handle_submit(effect, from, origin, self.now);
        let place = admitted.as_ref().map(|admitted| admitted.place.arrival);
        assert_eq!(place, expected, "{attempt:?} from {from:?}");
        self.trace.push(format!("{place:?}"));
        let Some(admitted) = admitted else { return };
        let lane = attempt.lane();
        let is_full = self.lines.is_full(lane).then_some(Class::LaneFull);
        let Some(class) = is_full.or(no_room) else {
            return self.lines.push(lane, admitted);
        };
        let failure = Failure::new(class, "no room");
        self.naive.refused(&admitted, &failure, self.now);
        if class == Class::LaneFull && self.lines.fill(lane) {
            self.naive.emptied(&admitted.effect.lane, self.now);
            self.admission.handle_shut_out(admitted, failure, self.now);
        } else {
            self.admission.handle_refused(admitted, failure, self.now);
        }
    }

    fn settle(&mut self, lane: u8, how: How) {
        for settled in self.lines.settle(lane, how) {
            self.naive.settled(&settled, self.now);
            self.admission.handle_settled(settled, self.now);
        }
        if self.lines.is_emptied(lane) {
            let lane = LaneKey::new(lane.to_string());
            self.naive.emptied(&lane, self.now);
            self.admission.handle_emptied(None, &lane, self.now);
        }
    }

    fn close(&mut self, from: u64) {
        let from = &mut self.connections[usize::try_from(from).expect("few")];
        let closed = std::mem::replace(from, Producer(self.opened));
        self.opened += 1;
        let unanswered = self.owed.values().filter(|whose| **whose == closed).count();
        self.admission.handle_closed(closed);
        let mut left = self.admission.handle_left(closed, unanswered);
        left.sort_unstable();
        assert_eq!(left, self.naive.close(closed, unanswered));
        for origin in left {
            assert!(
                self.owed.remove(&origin).is_some(),
                "{origin} had an answer"
            );
        }
    }

    /// Every submission has one answer, with its id, and no other than it has to.
    fn check_answers(&mut self) {
        let answers = std::iter::from_fn(|| self.admission.poll_answer());
        let told = answers.map(|answer| {
            let text = answer.outcome.err().map_or("ok".into(), |f| f.to_string());
            (answer.origin, answer.id, text)
        });
        let told: Vec<Told> = told.collect();
        for (origin, ..) in &told {
            assert!(self.owed.remove(origin).is_some(), "{origin} had an answer");
        }
        assert_eq!(told, self.naive.answers());
        self.trace.push(format!("{told:?}"));
    }

    /// All that was let through is published, and nobody is owed anything.
    fn finish(mut self) -> Vec<String> {
        for lane in 0..LANES {
            while !self.lines.is_empty(lane) {
                self.settle(lane, How::Done);
            }
        }
        self.check_answers();
        assert!(self.owed.is_empty(), "never answered: {:?}", self.owed);
        assert_eq!(self.admission.dedupe.waiting(), 0);
        assert_eq!(self.admission.joins.len(), 0);
        self.trace
    }
}

fn tell(steps: &[Step]) -> Vec<String> {
    let mut tale = Tale::new();
    for step in steps {
        tale.step(step);
    }
    tale.finish()
}

proptest! {
    #[test]
    fn every_story_of_several_connections_is_answered_as_lists_would(steps in steps()) {
        let first = tell(&steps);
        prop_assert_eq!(first, tell(&steps), "the same story, told twice");
    }
}
