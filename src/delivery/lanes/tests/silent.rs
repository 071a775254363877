//! Many lanes that nobody answers, and some that are answered at once.

use std::collections::HashMap;

use super::*;
use crate::delivery::config::Keeping;
use crate::protocol::ipc::TIMED_OUT;

const ROUND_TRIP: Duration = Duration::from_millis(40);

/// Whose names begin like this are answered.
const HEALTHY: &str = "h";

/// Lanes, a transport that answers some of them, and daemons that send again
/// what failed.
struct Town {
    lanes: Lanes<()>,
    now: Instant,
    is_answering: bool,
    /// Whether the transport says so when Ably has not answered in time, as ours
    /// does.
    says_so: bool,
    /// And whether they are acceptances.
    answers: BTreeSet<(Instant, u64, bool)>,
    asked: Vec<RequestId>,
    arrivals: u64,
    arrived: HashMap<EffectId, Instant>,
    /// How long each that was published has waited.
    delays: Vec<Duration>,
    given_up: usize,
    sent: Vec<Instant>,
}

impl Town {
    fn new(config: Config, says_so: bool) -> Self {
        let mut lanes = Lanes::new(config);
        lanes.handle_connected(Peer {
            batches: true,
            window: 8192,
        });
        Self {
            lanes,
            now: Instant::now(),
            is_answering: true,
            says_so,
            answers: BTreeSet::new(),
            asked: Vec::new(),
            arrivals: 0,
            arrived: HashMap::new(),
            delays: Vec::new(),
            given_up: 0,
            sent: Vec::new(),
        }
    }

    fn submit(&mut self, lane: &str) {
        self.arrivals += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.arrivals.to_le_bytes());
        let effect = SideEffect {
            id: EffectId::from_bytes(id),
            ..publish(lane, 0)
        };
        self.arrived.insert(effect.id, self.now);
        let place = Place::new(self.arrivals, Producer(0));
        self.lanes
            .handle_submit(Submitted::new(effect, place, (), self.now));
    }

    fn submit_all(&mut self, kind: &str, count: usize) {
        for n in 0..count {
            self.submit(&format!("{kind}{n}"));
        }
    }

    /// What the dispatcher does after every event.
    fn pump(&mut self) {
        loop {
            while let Some(request) = self.lanes.poll_request(self.now) {
                let channel = request.effects[0].operation.channel();
                let is_answered = self.is_answering && channel.starts_with(HEALTHY);
                let (id, timeout) = (request.id, request.timeout);
                self.sent.push(self.now);
                let number = self.asked.len() as u64;
                self.asked.push(id);
                if is_answered {
                    self.answers.insert((self.now + ROUND_TRIP, number, true));
                } else if self.says_so {
                    self.answers.insert((self.now + timeout, number, false));
                }
            }
            let Some(settled) = self.lanes.poll_settled() else {
                return;
            };
            if settled.outcome.is_ok() {
                self.delays.push(self.now - self.arrived[&settled.id]);
            } else {
                self.given_up += 1;
                self.submit(settled.lane.as_str());
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.pump();
            let answer = self.answers.first().map(|(at, ..)| *at);
            let timeout = self.lanes.poll_timeout();
            let next = answer.into_iter().chain(timeout).min();
            let Some(next) = next.filter(|next| *next <= until) else {
                break;
            };
            self.now = self.now.max(next);
            if answer == Some(next) {
                self.answer();
            } else {
                self.lanes.handle_timeout(self.now);
            }
        }
        self.now = until;
    }

    fn answer(&mut self) {
        let (_, number, is_accepted) = self.answers.pop_first().expect("one is due");
        let id = self.asked[usize::try_from(number).expect("few")];
        if is_accepted {
            return self.lanes.handle_accepted(id);
        }
        let refusal = Refusal {
            error: "timed out",
            code: Some(TIMED_OUT),
            retryable: Some(true),
        };
        self.lanes.handle_refused(id, &refusal, self.now);
    }

    /// A healthy lane more every so often; how long the slowest took.
    fn slowest_of(&mut self, count: usize, every: Duration) -> Duration {
        for n in 0..count {
            self.pass(every);
            self.submit(&format!("{HEALTHY}{n}"));
        }
        self.pass(Duration::from_secs(60));
        assert_eq!(self.delays.len(), count, "all are published");
        std::mem::take(&mut self.delays).into_iter().max().unwrap()
    }
}

/// What keeps the effects, and whether the transport tells of silence.
fn worlds() -> impl Iterator<Item = (Config, bool)> {
    let timeout = Duration::from_secs(5);
    let configs = [
        Config::with_attempt_timeout(timeout),
        Config::for_outbox(timeout),
    ];
    let both = |config: Config| [(config.clone(), false), (config, true)];
    configs.into_iter().flat_map(both)
}

#[test]
fn a_healthy_lane_waits_hardly_longer_for_four_hundred_silent_ones_than_for_ten() {
    for (config, says_so) in worlds() {
        for silent in [1, 10, 60, 400] {
            for (every, patience) in [(400, 300), (4000, 1100), (40_000, 1100)] {
                let mut town = Town::new(config.clone(), says_so);
                town.submit_all("s", silent);
                let slowest = town.slowest_of(30, Duration::from_millis(every));
                let keeping = config.keeping;
                assert!(
                    slowest <= Duration::from_millis(patience),
                    "{keeping:?}, {silent} silent ({says_so}), one every {every} ms: {slowest:?}"
                );
            }
        }
    }
}

#[test]
fn healthy_lanes_that_come_together_with_lanes_known_to_be_silent_go_before_them() {
    for (config, says_so) in worlds() {
        let mut town = Town::new(config, says_so);
        town.submit_all("s", 400);
        town.pass(Duration::from_secs(60));
        town.submit_all("s", 400);
        town.submit_all(HEALTHY, 10);
        town.submit_all("s", 400);
        town.pass(Duration::from_millis(1500));
        assert_eq!(town.delays.len(), 10);
    }
}

#[test]
fn a_transport_that_answers_nobody_is_probed_by_few_and_answers_all_when_it_is_back() {
    for (config, says_so) in worlds() {
        let is_kept = config.keeping == Keeping::Outbox;
        let mut town = Town::new(config, says_so);
        town.is_answering = false;
        town.submit_all(HEALTHY, 400);
        town.pass(Duration::from_secs(60));
        town.sent.clear();
        town.pass(Duration::from_secs(60));
        assert!(town.sent.len() <= 120, "{} probes", town.sent.len());
        assert!(!is_kept || town.given_up == 0, "no attempt is counted");
        town.is_answering = true;
        town.pass(Duration::from_secs(5));
        assert!(town.delays.len() >= 390, "all but the last probes");
        town.pass(Duration::from_secs(40));
        assert_eq!(town.delays.len(), 400, "kept: {is_kept}, told: {says_so}");
    }
}

#[test]
fn a_lane_that_was_silent_gets_its_share_while_others_want_all_there_is() {
    let mut story = Story::with(OLD, [publish("s", 0)]);
    story.expect_request(&[0]);
    story.submit((1..200).map(|n| publish(&n.to_string(), n)));
    story.pass(Duration::from_millis(5650));
    let mut sent = Vec::new();
    while !sent.contains(&0) && sent.len() < 50 {
        let (id, effects) = story.request().expect("more");
        sent.extend(effects);
        story.lanes.handle_accepted(id);
    }
    assert!(sent.contains(&0), "{sent:?}");
}
