use std::time::Duration;

use super::*;

const LANE_PAUSE_MAX: Duration = Duration::from_secs(10);

struct Rig {
    window: Window,
    now: Instant,
    acks: HashMap<u128, oneshot::Receiver<Result<(), PublishError>>>,
}

fn id(name: u128) -> EffectId {
    EffectId::from_bytes(name.to_be_bytes())
}

impl Rig {
    fn new() -> Self {
        Self {
            window: Window::default(),
            now: Instant::now(),
            acks: HashMap::new(),
        }
    }

    fn deliver(&mut self, lane: &str, name: u128) {
        self.push(name, Promise::Delivered(LaneKey::new(lane)));
    }

    fn push(&mut self, name: u128, promise: Promise) {
        let (ack, fate) = oneshot::channel();
        self.acks.insert(name, fate);
        self.window.push(Submission {
            id: id(name),
            body: Bytes::new(),
            promise,
            ack,
        });
    }

    /// What goes on the connection now.
    fn sent(&mut self) -> Vec<u128> {
        let mut sent = Vec::new();
        while let Some(next) = self.window.next_unsent() {
            sent.push(u128::from_be_bytes(*next.id.as_bytes()));
        }
        sent
    }

    fn answer(&mut self, name: u128, answer: Result<(), &str>) {
        let fate = answer.map_err(Failed::new);
        self.window.handle_ack(id(name), fate, self.now, 1.0);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.window.handle_timeout(self.now);
    }

    fn fate(&mut self, name: u128) -> Option<Result<(), PublishError>> {
        self.acks.get_mut(&name).unwrap().try_recv().ok()
    }
}

#[test]
fn what_failed_goes_out_again_before_what_came_after_it() {
    let mut rig = Rig::new();
    for name in 1..=3 {
        rig.deliver("a", name);
    }
    assert_eq!(rig.sent(), [1, 2, 3]);
    rig.answer(1, Err("throttled: later"));
    rig.answer(2, Err("throttled: later"));
    rig.deliver("a", 4);
    rig.pass(LANE_PAUSE_MAX);
    assert_eq!(rig.sent(), [], "the answer to 3 is not in");
    rig.answer(3, Err("gap: resend"));
    assert_eq!(rig.sent(), [1, 2, 3, 4]);
    for name in 1..=4 {
        rig.answer(name, Ok(()));
        assert_eq!(rig.fate(name), Some(Ok(())));
    }
    assert!(rig.window.is_empty());
    assert_eq!(rig.window.poll_timeout(), None);
}

#[test]
fn a_failure_holds_up_its_own_lane_only() {
    let mut rig = Rig::new();
    rig.deliver("a", 1);
    assert_eq!(rig.sent(), [1]);
    rig.answer(1, Err("lane_full: wait"));
    rig.deliver("a", 2);
    rig.deliver("b", 3);
    assert_eq!(rig.sent(), [3]);
    let due = rig.window.poll_timeout().unwrap();
    rig.pass(due - rig.now);
    assert_eq!(rig.sent(), [1, 2]);
}

#[test]
fn a_rejection_is_final_and_lets_the_lane_go_on() {
    let mut rig = Rig::new();
    rig.deliver("a", 1);
    rig.deliver("a", 2);
    assert_eq!(rig.sent(), [1, 2]);
    rig.answer(1, Err("rejected: no event"));
    assert!(matches!(rig.fate(1), Some(Err(PublishError::Failed(_)))));
    rig.answer(2, Ok(()));
    assert_eq!(rig.fate(2), Some(Ok(())));
}

#[test]
fn pauses_grow_while_a_lane_fails_and_shrink_once_it_does_not() {
    let mut rig = Rig::new();
    rig.deliver("a", 1);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        assert_eq!(rig.sent(), [1]);
        rig.answer(1, Err("ambiguous: lost"));
        let due = rig.window.poll_timeout().unwrap();
        pauses.push((due - rig.now).as_millis());
        rig.pass(due - rig.now);
    }
    assert_eq!(pauses, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    rig.deliver("a", 2);
    assert_eq!(rig.sent(), [1, 2]);
    rig.answer(1, Ok(()));
    rig.answer(2, Err("ambiguous: lost"));
    let due = rig.window.poll_timeout().unwrap();
    assert_eq!((due - rig.now).as_millis(), 200);
}

#[test]
fn a_lost_connection_ends_the_wait_for_its_answers_but_not_the_pause() {
    let mut rig = Rig::new();
    for name in 1..=2 {
        rig.deliver("a", name);
    }
    assert_eq!(rig.sent(), [1, 2]);
    rig.answer(1, Err("throttled: later"));
    rig.window.handle_disconnected(rig.now);
    assert_eq!(rig.sent(), []);
    rig.pass(LANE_PAUSE_MAX);
    assert_eq!(rig.sent(), [1, 2]);

    rig.answer(1, Err("throttled: later"));
    rig.pass(LANE_PAUSE_MAX);
    assert_eq!(rig.sent(), []);
    rig.window.handle_disconnected(rig.now);
    assert_eq!(rig.sent(), [1, 2], "the pause was over");
}

#[test]
fn an_answer_to_what_was_not_sent_on_this_connection_means_nothing() {
    let mut rig = Rig::new();
    rig.deliver("a", 1);
    rig.answer(1, Ok(()));
    assert_eq!(rig.fate(1), None);
    assert_eq!(rig.sent(), [1]);
    rig.answer(1, Ok(()));
    rig.answer(1, Ok(()));
    assert_eq!(rig.fate(1), Some(Ok(())));
}

#[test]
fn what_is_submitted_once_fails_with_the_first_answer_and_after_its_patience() {
    let mut rig = Rig::new();
    let answered_by = rig.now + Duration::from_secs(20);
    rig.push(1, Promise::AnsweredBy(answered_by));
    rig.push(2, Promise::AnsweredBy(answered_by));
    assert_eq!(rig.sent(), [1, 2]);
    rig.answer(1, Err("throttled: later"));
    assert!(matches!(rig.fate(1), Some(Err(PublishError::Failed(_)))));
    rig.pass(Duration::from_secs(20));
    assert_eq!(rig.fate(2), Some(Err(PublishError::TimedOut)));
    assert_eq!(rig.window.poll_timeout(), None);
}

mod model {
    //! Whatever Falco answers, each lane's effects are published in order, by
    //! a Falco that fails what comes after a failure, and none is forgotten.

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Deliver(u8),
        Send,
        Answer { index: usize, is_success: bool },
        Lose,
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..3u8).prop_map(Step::Deliver),
            3 => Just(Step::Send),
            4 => (any::<usize>(), prop::bool::weighted(0.7))
                .prop_map(|(index, is_success)| Step::Answer { index, is_success }),
            1 => Just(Step::Lose),
            2 => (0..3000u64).prop_map(Step::Pass),
        ]
    }

    /// A Falco that keeps the promise of ordered frames.
    #[derive(Default)]
    struct Falco {
        unanswered: Vec<u128>,
        failed: HashMap<u128, BTreeSet<u128>>,
        published: HashMap<u128, Vec<u128>>,
    }

    /// Lanes are told from the names of effects.
    fn lane_of(name: u128) -> u128 {
        name % 3
    }

    impl Falco {
        fn take(&mut self, sent: Vec<u128>) {
            self.unanswered.extend(sent);
        }

        /// The oldest unanswered effect of some lane gets its answer.
        fn answer(&mut self, index: usize, is_success: bool) -> Option<(u128, bool)> {
            let index = index.checked_rem(self.unanswered.len())?;
            let lane = lane_of(self.unanswered[index]);
            let first = self.unanswered.iter().position(|n| lane_of(*n) == lane)?;
            let name = self.unanswered.remove(first);
            let failed = self.failed.entry(lane).or_default();
            let is_gap = failed.first().is_some_and(|first| *first < name);
            if is_success && !is_gap {
                failed.remove(&name);
                let published = self.published.entry(lane).or_default();
                if !published.contains(&name) {
                    published.push(name);
                }
                return Some((name, true));
            }
            failed.insert(name);
            Some((name, false))
        }
    }

    proptest! {
        #[test]
        fn whatever_happens_lanes_are_published_in_order_and_whole(
            steps in prop::collection::vec(step(), 1..120)
        ) {
            let mut rig = Rig::new();
            let mut falco = Falco::default();
            let mut delivered: HashMap<u128, Vec<u128>> = HashMap::new();
            let mut next = 0;
            for step in steps {
                match step {
                    Step::Deliver(lane) => {
                        let name = next * 3 + u128::from(lane);
                        next += 1;
                        delivered.entry(lane_of(name)).or_default().push(name);
                        rig.deliver(&lane.to_string(), name);
                    }
                    Step::Send => falco.take(rig.sent()),
                    Step::Answer { index, is_success } => {
                        if let Some((name, ok)) = falco.answer(index, is_success) {
                            rig.answer(name, if ok { Ok(()) } else { Err("throttled: x") });
                        }
                    }
                    Step::Lose => {
                        falco.unanswered.clear();
                        falco.failed.clear();
                        rig.window.handle_disconnected(rig.now);
                    }
                    Step::Pass(ms) => rig.pass(Duration::from_millis(ms)),
                }
            }
            // From here on nothing goes wrong.
            while !rig.window.is_empty() {
                falco.take(rig.sent());
                while let Some((name, ok)) = falco.answer(0, true) {
                    rig.answer(name, if ok { Ok(()) } else { Err("gap: x") });
                }
                rig.pass(LANE_PAUSE_MAX);
            }
            prop_assert_eq!(falco.published, delivered);
        }
    }
}
