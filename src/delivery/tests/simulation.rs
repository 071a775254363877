//! A daemon, Falco, a transport and a server in virtual time, with faults.
//!
//! Falco is the real thing but for its sockets: its whole dispatcher; in some
//! stories its memo, which it may die in the midst of writing; with an outbox, on
//! a disk that fails in every way a disk can, answers nothing for a while in some
//! stories, and loses what was not synced when the power goes.
//! The others are played: a daemon that resends what was not acked, a transport
//! that is slow, loses, repeats and reorders its answers and dies, a server that
//! drops copies of an id for two minutes and refuses some messages. A daemon
//! keeps the order of a session by sequence numbers, by the flag for it, by both,
//! by waiting for each answer, or not at all; some sessions have two channels, and
//! some set objects; and now and then an id comes back with something else. There may
//! be two daemons, and for a while two connections of one that died.
//!
//! In some stories what is refused for good parks its lane, until somebody lets
//! it go on.
//!
//! With an outbox there are two routes, an operator who requeues, drops and
//! compacts, and lives that record nothing and publish what is left.
//!
//! Every seed is one story. At first everything may go wrong, and Falco dies or
//! is stopped in peace; then nothing does any more, and everything has to come
//! to its end in bounded time. What the server took and what the daemon
//! committed is compared by the [`record`]; so is, all the time, what goes out
//! with what came, in which [`order`], and with what is [`known`] to be published,
//! how many [`requests`] of a lane are on their way, how much is held in memory and
//! on disk against its [`bounds`], and how long anybody waits for an answer. What
//! finds no room is not read before there is some.
//!
//! That the checks can fail is shown by stories with [`flaws`].

mod bounds;
mod daemon;
mod falco;
mod flaws;
mod known;
mod options;
mod order;
mod program;
mod record;
mod requests;
mod server;
mod traffic;

use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::num::NonZero;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::available_parallelism;

use super::super::*;
use super::random::Random;
use super::seeds;
use bounds::Bounds;
use daemon::{Daemon, Habit, Mix};
use falco::Falco;
use flaws::Flaw;
use known::Known;
use options::{Memory, Options};
use order::Order;
use program::Program;
use record::{Record, message_with};
use server::Server;

/// Microseconds since the story began.
type Time = u64;

const MS: Time = 1000;
const SECOND: Time = 1000 * MS;

/// How long everything may go wrong.
const TROUBLE: Time = 40 * SECOND;

/// How long the rest may take: a gate's patience, an effect's deadline, and the
/// resends between.
const RECOVERY: Time = 120 * SECOND;

/// What every effect is said to take.
const EFFECT_BYTES: usize = 100;

/// What the second route is called.
const OTHER_ROUTE: &str = "other";

/// No story takes as many events, unless time stands still.
const EVENTS_MAX: u64 = 1_000_000;

/// A message of a session.
type Message = (u8, u32);

/// One submission: connection, session, number, and the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Submission {
    connection: u32,
    message: Message,
    attempt: u32,
    /// Something else under the id of a message that was acked.
    is_imposter: bool,
}

#[derive(Debug, Clone)]
enum Event {
    /// The daemon commits its next message.
    Commit(u8),
    /// The daemon looks for something to send.
    Send,
    /// A frame reaches Falco.
    Frame(Submission),
    /// Falco learns that a connection of the daemon is closed.
    Closed(u32),
    /// An ack reaches the daemon.
    Ack(Submission, Result<(), Class>),
    /// The daemon gives a message that failed another try.
    Again(u8),
    /// A request reaches the transport.
    Request(server::Request),
    /// An answer reaches Falco.
    Answer(server::Answer),
    /// Falco asked to be woken.
    Wake,
    /// Falco has a connection on this way again.
    Linked(usize),
    /// A connection of the daemon was closed by Falco.
    HungUp(u32),
    /// Something dies.
    Fault,
    /// Falco takes the frames that have come.
    Read,
    /// The journal's thread works.
    Journal,
    /// Falco starts again.
    Start,
    /// The disk has a fault, or one less.
    DiskFault,
    /// Somebody looks at the dead letters.
    Operator,
    /// Somebody looks at the lanes that are parked.
    Lanes,
}

/// Everything that happened, to the last byte of the disk, as one number; nothing
/// where nobody wants to know.
#[derive(Debug, Default)]
struct Trace(Option<Sum>);

#[derive(Debug, Default)]
struct Sum(DefaultHasher);

impl Trace {
    fn add(&mut self, what: impl Debug) {
        if let Some(sum) = &mut self.0 {
            write!(sum, "{what:?}").expect("takes everything");
        }
    }

    fn add_files(&mut self, files: impl FnOnce() -> BTreeMap<String, Vec<u8>>) {
        if let Some(sum) = &mut self.0 {
            files().hash(&mut sum.0);
        }
    }
}

impl Write for Sum {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

/// Everybody, and what is going to happen.
struct World {
    now: Time,
    queue: BTreeMap<(Time, u64), Event>,
    next: u64,
    random: Random,
    options: Options,
    is_troubled: bool,
    daemon: Daemon,
    falco: Falco,
    server: Server,
    record: Record,
    trace: Trace,
}

impl World {
    fn new(seed: u64, has_outbox: bool, flaw: Option<Flaw>) -> Self {
        let mut random = Random::new(seed);
        let options = Options {
            flaw,
            ..Options::of(&mut random, has_outbox)
        };
        let mut world = Self {
            now: 0,
            queue: BTreeMap::new(),
            next: 0,
            random,
            options,
            is_troubled: true,
            daemon: Daemon::new(options),
            falco: Falco::new(options),
            server: Server::new(options),
            record: Record::default(),
            trace: Trace::default(),
        };
        for session in 0..options.sessions {
            world.after(0, Event::Commit(session));
        }
        world.link_soon();
        world.after(0, Event::Fault);
        if options.parks {
            world.after(0, Event::Lanes);
        }
        if has_outbox {
            world.after(0, Event::DiskFault);
            world.after(0, Event::Operator);
        }
        world
    }

    fn after(&mut self, time: Time, event: Event) {
        self.queue.insert((self.now + time, self.next), event);
        self.next += 1;
    }

    fn run(&mut self) {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if self.is_troubled && at >= TROUBLE {
                self.is_troubled = false;
                self.heal_disk();
            }
            assert!(self.next < EVENTS_MAX, "no end of {event:?}");
            self.now = at;
            if TROUBLE + RECOVERY <= at {
                // All that may be left to do is to forget something.
                let is_over = self.daemon.is_done() && self.falco.program.is_drained();
                assert!(is_over, "still open: {:?}; {event:?}", self.daemon.open());
                break;
            }
            self.trace.add((at, &event));
            self.handle(event);
        }
        assert!(self.daemon.is_done(), "lost: {:?}", self.daemon.open());
        let owed = &self.falco.owed;
        assert!(owed.is_empty(), "never answered: {owed:?}");
        self.record.check(&self.daemon, self.options);
        self.check_kept();
    }

    fn handle(&mut self, event: Event) {
        let program = &mut self.falco.program;
        program.advance_to(self.now);
        if !matches!(event, Event::Journal) {
            program.wants_turn();
        }
        self.look_at_memo(&event);
        match event {
            Event::Commit(session) => self.commit(session),
            Event::Send => self.send_frames(),
            Event::Frame(submission) => self.take_frame(submission),
            Event::Closed(connection) => self.close(connection),
            Event::Ack(submission, outcome) => self.take_ack(submission, outcome),
            Event::Again(session) => {
                self.daemon.again(session);
                self.send_frames();
            }
            Event::Request(request) => self.take_request(request),
            Event::Answer(answer) => self.take_answer(&answer),
            Event::Wake => self.wake(),
            Event::Linked(way) => self.link(way),
            Event::HungUp(connection) => self.hung_up(connection),
            Event::Fault => self.fault(),
            Event::Read => self.falco.program.flush_frames(),
            Event::Journal => self.turn_journal(),
            Event::Start => self.start_falco(),
            Event::DiskFault => self.break_disk(),
            Event::Operator => self.operate(),
            Event::Lanes => self.open_lanes(),
        }
        self.pump();
        self.settle_journal();
        self.check_bounds();
        if self.falco.program.may_read_on() {
            self.after(0, Event::Read);
        }
    }

    /// Something dies, or the connection between two does.
    fn fault(&mut self) {
        if !self.is_troubled {
            return;
        }
        let way = self.random.below(self.options.ways());
        match self.random.between(0, 6) {
            0 => self.crash_falco(),
            6 => self.falco.dies_writing = self.options.memo != Memory::Nothing,
            1 => self.crash_daemon(),
            2 | 3 => self.unlink(way),
            4 if self.random.chance(500) => self.falco.stops_unread = true,
            4 => self.stop_falco(),
            _ => {
                let until = self.now + self.random.between(0, 8 * SECOND);
                self.server.hang(way % self.options.routes, until);
            }
        }
        let pause = self.random.between(0, 2 * self.options.faults_every);
        self.after(pause * MS, Event::Fault);
    }
}

/// Plays the story of one seed to its end.
fn play(seed: u64, has_outbox: bool) {
    let mut world = World::new(seed, has_outbox, None);
    let options = world.options;
    let played = catch_unwind(AssertUnwindSafe(|| world.run()));
    assert!(played.is_ok(), "seed {seed} went wrong: {options:?}");
}

/// The same; returns all that happened.
fn trace(seed: u64, has_outbox: bool) -> u64 {
    let mut world = World::new(seed, has_outbox, None);
    world.trace = Trace(Some(Sum::default()));
    world.run();
    world.trace.0.map_or(0, |sum| sum.0.finish())
}

/// Plays the stories of all these seeds, as many at once as there are cores.
fn play_all(seeds: Range<u64>, has_outbox: bool) {
    let (next, end) = (AtomicU64::new(seeds.start), seeds.end);
    let play_some = || {
        let seeds = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        for seed in seeds.take_while(|seed| *seed < end) {
            let played = catch_unwind(|| play(seed, has_outbox));
            if let Err(wrong) = played {
                // One is enough.
                next.store(end, Ordering::Relaxed);
                resume_unwind(wrong);
            }
        }
    };
    let threads = available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(play_some);
        }
    });
}

#[test]
fn every_story_ends_well() {
    play_all(seeds(1000, 1), false);
}

#[test]
fn every_story_with_an_outbox_ends_well() {
    play_all(seeds(200, 20), true);
}

#[test]
fn a_seed_always_tells_the_same_story_to_the_last_byte_on_disk() {
    for seed in 0..10 {
        for has_outbox in [false, true] {
            let (first, second) = (trace(seed, has_outbox), trace(seed, has_outbox));
            assert_eq!(first, second, "seed {seed}, outbox: {has_outbox}");
        }
    }
}
