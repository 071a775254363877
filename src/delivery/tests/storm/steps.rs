//! What happens in a story: made up before it is told, so that it can be told with less.

use super::*;

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One daemon.
    One,
    /// The same, and what it has written is read also after it has connected anew.
    Late,
    /// Two, of one session, each with effects of its own.
    Two,
    /// Two that send the same.
    Twins,
}

impl Kind {
    pub(super) fn daemons(self) -> u8 {
        match self {
            Self::One | Self::Late => 1,
            Self::Two | Self::Twins => 2,
        }
    }
}

/// What is the same all the time.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one question of its own"
)]
pub(super) struct Options {
    pub kind: Kind,
    /// What each daemon sends.
    pub effects: u8,
    /// Whether it sends again also what has no answer yet, and nothing is refused for
    /// good.
    pub repeats: bool,
    /// Whether they have sequence numbers, too.
    pub are_numbered: bool,
    /// Whether they have nothing but those: no daemon says that it wants order.
    pub only_numbers: bool,
    /// Whether a disk keeps them.
    pub has_disk: bool,
    pub parks: bool,
    pub batches: bool,
    pub lane_effects_max: usize,
    pub attempts_max: u32,
}

/// What the door says to what it has let through.
#[derive(Debug, Clone, Copy)]
pub(super) enum Door {
    Open,
    /// It is refused at once.
    Shut(Class),
    /// There is no room.
    Full,
}

/// What becomes of what waits for the disk.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fate {
    Kept,
    Refused,
    /// It goes on without.
    Around,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum How {
    Accepted,
    /// It is published, and the answer comes later.
    AcceptedLate,
    Refused,
    Rejected,
    Lost,
}

impl How {
    /// The same, if nothing is refused for good.
    pub(super) fn for_now(self) -> Self {
        match self {
            Self::Rejected => Self::Refused,
            how => how,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Send {
        daemon: usize,
        count: usize,
    },
    Read {
        connection: usize,
        count: usize,
        door: Door,
    },
    Hear {
        daemon: usize,
        count: usize,
    },
    Break {
        daemon: usize,
    },
    Disk(Fate),
    Answer(How),
    AnswerLate,
    Pass {
        ms: u64,
    },
    Unlink,
    Link,
    /// Too much of a connection stands still.
    Surplus {
        connection: usize,
    },
    /// An operator lets the lane go on.
    Resume,
}

/// The story of a seed.
pub(super) fn steps(seed: u64, kind: Kind) -> (Options, Vec<Step>) {
    // The numbers of a seed are those of the one before, but for the first.
    let mut random = Random::new(Random::new(seed).between(0, u64::MAX - 1));
    let mut options = Options {
        kind,
        effects: random.small(2, 5),
        repeats: random.chance(600),
        are_numbered: random.chance(300),
        has_disk: random.chance(300),
        parks: random.chance(100),
        batches: random.chance(300),
        lane_effects_max: random.below(5) + 1,
        attempts_max: u32::from(random.small(1, 2)),
        only_numbers: false,
    };
    // A gate is of the connection that was told of a failure, and twins have two.
    options.only_numbers =
        options.are_numbered && kind != Kind::Twins && options.effects.is_multiple_of(2);
    let length = random.between(10, 70);
    let story = (0..length).map(|_| step(&mut random));
    let story = story.collect();
    (options, story)
}

fn step(random: &mut Random) -> Step {
    let (daemon, connection) = (random.below(2), random.below(4));
    let count = random.below(4) + 1;
    match random.below(100) {
        0..22 => Step::Send { daemon, count },
        22..50 => Step::Read {
            connection,
            count,
            door: door(random),
        },
        50..65 => Step::Hear { daemon, count },
        65..70 => Step::Break { daemon },
        70..76 => Step::Disk(match random.below(3) {
            0 => Fate::Kept,
            1 => Fate::Refused,
            _ => Fate::Around,
        }),
        76..88 => Step::Answer(match random.below(10) {
            0..2 => How::Accepted,
            2 => How::AcceptedLate,
            3..8 => How::Refused,
            8 => How::Rejected,
            _ => How::Lost,
        }),
        88..90 => Step::AnswerLate,
        90..95 => Step::Pass {
            ms: random.between(10, 1000),
        },
        95 => Step::Unlink,
        96 => Step::Link,
        97..99 => Step::Surplus { connection },
        _ => Step::Resume,
    }
}

fn door(random: &mut Random) -> Door {
    match random.below(10) {
        0 => Door::Shut(Class::Unrecorded),
        1 => Door::Shut(Class::Throttled),
        2 => Door::Full,
        _ => Door::Open,
    }
}

/// All does what it should.
pub(super) fn fair(daemons: usize, connections: usize) -> Vec<Step> {
    let count = usize::from(u8::MAX);
    let door = Door::Open;
    let read = (0..connections).map(|connection| Step::Read {
        connection,
        count,
        door,
    });
    let send = (0..daemons)
        .flat_map(|daemon| [Step::Hear { daemon, count }, Step::Send { daemon, count }]);
    let end = [
        Step::Link,
        Step::Resume,
        Step::Disk(Fate::Kept),
        Step::AnswerLate,
        Step::Answer(How::Accepted),
        Step::Pass { ms: 50 },
    ];
    send.chain(read).chain(end).collect()
}
