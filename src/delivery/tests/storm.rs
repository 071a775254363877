//! A daemon that sends again in order, before admission and lanes that refuse at random.
//!
//! The [simulation](super::simulation) asks all of Falco from far away; this asks one
//! promise from near by: of what a daemon wants in order, nothing is published first
//! that comes behind what is neither published nor refused for good.
//!
//! What a daemon wants in order it says of each effect; in some stories it has nothing
//! but sequence numbers.
//!
//! Every seed is one story of a few [steps](steps), of what happens next and how:
//! frames are written, read in lots, and refused at the door for lack of room or by a
//! disk; requests are published or not, and answered, late, or never; connections break.
//! Then everything goes well, and all has to come to its end. A story that goes wrong
//! is told again as [short](short) as it can be.

mod daemon;
mod effects;
mod falco;
mod short;
mod steps;
mod transport;

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Debug;

use super::super::*;
use super::random::Random;
use super::seeds;
use daemon::Daemon;
use falco::Falco;
use short::{tell, wrong};
use steps::{Kind, Options, Step, steps};

/// A daemon, and which of its effects; those of twins are the same.
type Message = (u8, u8);

/// How long it may take until all is published, once nothing goes wrong any more: what
/// a daemon does not send again, because it is acked, is waited for 30 s.
const ROUNDS_MAX: usize = 800;

/// Of so many that go wrong the shortest is told.
const TOLD_MAX: usize = 50;

/// What overtook what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Inversion {
    first: Message,
    overtaken: Message,
}

/// What is published, or never will be.
#[derive(Debug, Default)]
struct Record {
    ended: BTreeSet<Message>,
    inversion: Option<Inversion>,
}

impl Record {
    fn published(&mut self, message: Message) {
        if !self.ended.insert(message) {
            return;
        }
        let (whose, n) = message;
        let mut before = (1..n).map(|n| (whose, n));
        let overtaken = before.find(|other| !self.ended.contains(other));
        let inversion = overtaken.map(|overtaken| Inversion {
            first: message,
            overtaken,
        });
        self.inversion = self.inversion.or(inversion);
    }

    fn refused_for_good(&mut self, message: Message) {
        self.ended.insert(message);
    }
}

/// All of them, and what has happened.
struct Storm {
    options: Options,
    daemons: Vec<Daemon>,
    falco: Falco,
    trace: Vec<String>,
}

impl Storm {
    fn new(options: Options) -> Self {
        let mut falco = Falco::new(options);
        let daemons = 0..options.kind.daemons();
        let daemons = daemons.map(|n| Daemon::new(options, n, falco.open()));
        Self {
            options,
            daemons: daemons.collect(),
            falco,
            trace: Vec::new(),
        }
    }

    fn note(&mut self, what: impl Debug) {
        self.trace.push(format!("{what:?}"));
    }

    fn step(&mut self, step: Step) {
        self.note(step);
        let daemons = self.daemons.len();
        match step {
            Step::Send { daemon, count } => {
                let daemon = &mut self.daemons[daemon % daemons];
                for _ in 0..count {
                    if let Some(effect) = daemon.next() {
                        self.falco
                            .connection(daemon.connection)
                            .wire
                            .push_back(effect);
                    }
                }
            }
            Step::Hear { daemon, count } => self.hear(daemon % daemons, count),
            Step::Break { daemon } => {
                let daemon = &mut self.daemons[daemon % daemons];
                let lingers = self.options.kind == Kind::Late;
                self.falco.abandon(daemon.connection, lingers);
                daemon.reconnect(self.falco.open());
            }
            step => self.falco.step(step),
        }
        for line in self.falco.turn() {
            self.note(line);
        }
    }

    fn hear(&mut self, daemon: usize, count: usize) {
        let daemon = &mut self.daemons[daemon];
        for _ in 0..count {
            let answers = &mut self.falco.connection(daemon.connection).answers;
            if let Some((message, class)) = answers.pop_front() {
                daemon.hear(message, class);
            }
        }
    }

    /// Nothing goes wrong any more.
    fn finish(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let is_over = self.falco.record.inversion.is_some();
            if is_over || self.daemons.iter().all(Daemon::is_done) {
                return;
            }
            for step in steps::fair(self.daemons.len(), self.falco.connections.len()) {
                self.step(step);
            }
        }
        let end = self.trace.len().saturating_sub(100);
        panic!(
            "never published: {:?}\n{}",
            self.options,
            self.trace[end..].join("\n")
        );
    }
}

/// What happens in this story, and what goes wrong.
fn play(options: Options, story: &[Step]) -> (Vec<String>, Option<Inversion>) {
    let mut storm = Storm::new(options);
    for step in story {
        storm.step(*step);
        if storm.falco.record.inversion.is_some() {
            break;
        }
    }
    storm.finish();
    (storm.trace, storm.falco.record.inversion)
}

fn check(kind: Kind) {
    let wrong = wrong(seeds(1000, 1), kind);
    let count = wrong.len();
    let told = wrong.iter().take(TOLD_MAX).map(|seed| tell(*seed, kind));
    let shortest = told.min_by_key(String::len).unwrap_or_default();
    assert!(
        count == 0,
        "{count} of {kind:?} go wrong: {wrong:?}\n{shortest}"
    );
}

#[test]
fn every_storm_publishes_in_order_what_one_daemon_wants_in_order() {
    check(Kind::One);
}

#[test]
fn every_storm_keeps_order_though_the_last_bytes_of_a_lost_connection_are_read_late() {
    check(Kind::Late);
}

#[test]
fn every_storm_keeps_the_order_of_each_of_two_daemons_that_share_a_session() {
    check(Kind::Two);
}

#[test]
fn every_storm_keeps_the_order_that_two_daemons_send_the_same_in() {
    check(Kind::Twins);
}

#[test]
fn a_seed_always_tells_the_same_storm() {
    for seed in 0..20 {
        for kind in [Kind::One, Kind::Late, Kind::Two, Kind::Twins] {
            let told = || {
                let (options, story) = steps(seed, kind);
                play(options, &story)
            };
            assert_eq!(told(), told(), "seed {seed} of {kind:?}");
        }
    }
}
