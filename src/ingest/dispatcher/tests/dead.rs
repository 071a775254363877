//! Lanes that nobody answers, and what else comes over their connection.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use uuid::Uuid;

use super::super::super::session::Debts;
use super::super::played::{Plan, Played, Time};
use super::story::effect;
use crate::delivery::{Class, Peer, RequestId};
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::{EffectId, IdempotencyKey, LaneKey};

/// The connection it is about.
const ONE: u64 = 1;

/// Another, over which something comes all the time.
const OTHER: u64 = 2;

/// What a session reads at once.
const READ: usize = 512;

/// Of the first connection, one that is well; more are those of the other.
const WELL: u128 = 100;

/// How soon those are answered.
const SOON: Duration = Duration::ZERO;

/// A little later than that a lane stands still.
const SLOW: Duration = Duration::from_millis(1200);

/// The effect of a lane with this number.
fn numbered(lane: u128, number: u128) -> SideEffect {
    let id = Uuid::from_u128(lane << 64 | number);
    SideEffect {
        id: EffectId::from(id),
        key: IdempotencyKey::Uuid(id),
        lane: LaneKey::new(lane.to_string()),
        ..effect(0)
    }
}

fn parts(id: EffectId) -> (u128, u128) {
    let id = id.as_uuid().as_u128();
    (id >> 64, id & u128::from(u64::MAX))
}

/// A daemon that has sent much, and a transport that answers some of it.
struct Story {
    time: Time,
    falco: Played,
    debts: Debts,
    unread: VecDeque<SideEffect>,
    /// Which lanes are answered, and how soon.
    answers: fn(u128) -> Option<Duration>,
    /// What is not answered yet, and when it went out.
    out: Vec<(RequestId, Vec<EffectId>, Duration)>,
    published: Vec<(u128, u128)>,
    /// When they were answered, how, and how often, over the first connection.
    told: BTreeMap<(u128, u128), (Duration, Option<Class>, usize)>,
    ticks: u128,
}

impl Story {
    fn new(unread: impl IntoIterator<Item = SideEffect>) -> Self {
        let time = Time::new();
        let mut falco = Played::direct(&time, &Plan::default());
        for connection in [ONE, OTHER] {
            falco.open(connection);
        }
        let (batches, window) = (true, 1000);
        falco.link(0, Peer { batches, window });
        Self {
            debts: falco.debts(ONE),
            time,
            falco,
            unread: unread.into_iter().collect(),
            answers: |lane| (WELL <= lane).then_some(SOON),
            out: Vec::new(),
            published: Vec::new(),
            told: BTreeMap::new(),
            ticks: 0,
        }
    }

    /// So much time passes, in which something comes over the other connection.
    fn pass(&mut self, time: Duration) {
        let until = self.since() + time;
        while self.since() < until {
            self.ticks += 1;
            let other = numbered(WELL + 1, self.ticks);
            self.falco.submit(&self.time, OTHER, vec![other]);
            self.falco.advance(&self.time);
            self.pass_quietly(Duration::from_millis(50));
        }
    }

    /// The same, in which nothing does.
    fn pass_quietly(&mut self, time: Duration) {
        let until = self.since() + time;
        self.go_on();
        while let Some(due) = self.falco.due().map(|due| self.time.since(due)) {
            if until < due {
                break;
            }
            self.time.advance_to(due);
            self.falco.wake(&self.time);
            self.go_on();
        }
        self.time.advance_to(until);
    }

    fn since(&self) -> Duration {
        self.time.since(self.time.now().0)
    }

    /// All that can happen now.
    fn go_on(&mut self) {
        while self.read() | self.answer() | self.hear() {}
    }

    fn read(&mut self) -> bool {
        self.debts.look();
        let mut read = Vec::new();
        while read.len() < READ && self.debts.are_few() {
            let Some(effect) = self.unread.pop_front() else {
                break;
            };
            self.debts.add(effect.bytes);
            read.push(effect);
        }
        let has_read = !read.is_empty();
        if has_read {
            self.falco.submit(&self.time, ONE, read);
            self.falco.advance(&self.time);
        }
        has_read
    }

    fn answer(&mut self) -> bool {
        let now = self.since();
        while let Some(request) = self.falco.request(&self.time, 0) {
            let effects = request.effects.iter().map(|effect| effect.id);
            self.out.push((request.id, effects.collect(), now));
        }
        let answered = self.out.extract_if(.., |(_, effects, sent)| {
            let (lane, _) = parts(effects[0]);
            (self.answers)(lane).is_some_and(|after| *sent + after <= now)
        });
        let answered: Vec<_> = answered.collect();
        for (request, effects, _) in &answered {
            self.published.extend(effects.iter().copied().map(parts));
            self.falco.answer(&self.time, (0, *request), None);
        }
        !answered.is_empty()
    }

    fn hear(&mut self) -> bool {
        let acks = self.falco.acks();
        let now = self.since();
        for (connection, id, outcome) in &acks {
            if *connection == ONE {
                self.debts.settle(100);
                let class = outcome.as_ref().err().map(|failure| failure.class);
                let told = self.told.entry(parts(*id)).or_insert((now, class, 0));
                *told = (now, class, told.2 + 1);
            }
        }
        !acks.is_empty()
    }

    /// The refused, in order.
    fn refused(&self) -> impl Iterator<Item = (u128, u128)> {
        let told = self.told.iter();
        let refused = told.filter(|(_, (_, class, _))| class.is_some());
        refused.map(|(effect, _)| *effect)
    }

    /// When the last of the lane that is well was answered.
    fn last_well(&self, of: u128) -> Option<Duration> {
        let told = self.told.range((WELL, 0)..);
        let well = told.filter(|(_, (_, class, _))| class.is_none());
        let times: Vec<_> = well.map(|(_, (at, ..))| *at).collect();
        let all = usize::try_from(of).is_ok_and(|of| of == times.len());
        times.into_iter().max().filter(|_| all)
    }
}

/// So many effects of so many dead lanes, one of each at a time, and now and then
/// one that is well.
fn mixed(lanes: u128, effects: u128) -> impl Iterator<Item = SideEffect> {
    (0..effects).flat_map(move |n| {
        let well = n.is_multiple_of(100).then(|| numbered(WELL, n / 100));
        (0..lanes).map(move |lane| numbered(lane, n)).chain(well)
    })
}

/// The same, one lane after the other, with one that is well behind each.
fn in_a_row(lanes: u128, effects: u128) -> impl Iterator<Item = SideEffect> {
    (0..lanes).flat_map(move |lane| {
        let well = numbered(WELL, lane);
        (0..effects).map(move |n| numbered(lane, n)).chain([well])
    })
}

#[test]
fn dead_lanes_that_come_with_more_than_a_connection_may_be_owed_delay_no_other_for_long() {
    let mut story = Story::new(mixed(9, 4000));
    story.pass(Duration::from_secs(20));
    let last = story.last_well(40).expect("all are answered");
    assert!(last < Duration::from_millis(1500), "{last:?}");
}

#[test]
fn dead_lanes_that_come_one_after_the_other_delay_no_other_for_more_than_a_second_each() {
    let mut story = Story::new(in_a_row(12, 4000));
    story.pass(Duration::from_secs(30));
    let last = story.last_well(12).expect("all are answered");
    assert!(last < Duration::from_secs(12), "{last:?}");
}

#[test]
fn what_dead_lanes_gave_back_is_published_in_order_when_it_comes_again() {
    let mut story = Story::new(in_a_row(12, 4000));
    story.pass(Duration::from_secs(12));
    story.answers = |_| Some(SOON);
    for _ in 0..20 {
        story.pass(Duration::from_millis(500));
        let refused = story.refused().map(|(lane, n)| numbered(lane, n));
        story.unread = refused.collect();
    }
    assert_eq!(story.refused().count(), 0);
    for lane in 0..12 {
        let of_lane = story.published.iter().filter(|(of, _)| *of == lane);
        let mut first = BTreeSet::new();
        let numbers = of_lane.map(|(_, number)| *number);
        let numbers = numbers.filter(|number| first.insert(*number));
        assert!(numbers.eq(0..4000), "lane {lane}");
    }
}

#[test]
fn nothing_is_given_back_while_nobody_is_answered() {
    let mut story = Story::new(mixed(7, 3500));
    // Others show that they stand still, but that is not too much yet.
    story.pass(Duration::from_millis(1500));
    story.answers = |_| None;
    story.pass(Duration::from_secs(3));
    let more = (3500..3600).flat_map(|n| (0..7).map(move |lane| numbered(lane, n)));
    story.unread.extend(more);
    story.pass(Duration::from_secs(2));
    assert!(story.unread.is_empty() && story.refused().count() == 0);
    story.answers = |_| Some(SOON);
    story.pass(Duration::from_secs(10));
    assert_eq!(story.refused().count(), 0);
    assert!(story.last_well(35).is_some());
}

#[test]
fn nothing_is_given_back_of_lanes_that_are_merely_slow() {
    let mut story = Story::new(mixed(60, 300));
    story.answers = |lane| Some(if WELL <= lane { SOON } else { SLOW });
    story.pass(Duration::from_secs(16));
    assert_eq!(story.refused().count(), 0);
    assert!(story.unread.is_empty());
}
