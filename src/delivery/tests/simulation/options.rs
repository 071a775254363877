//! What a story is like.

use super::*;

/// What of what it has published Falco remembers in its next life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    /// It has no memo.
    Nothing,
    /// What its memo has room for.
    Bytes(usize),
    /// Its memo holds whatever a story publishes.
    All,
}

impl Memory {
    fn of(random: &mut Random, has_outbox: bool) -> Self {
        // An outbox notes in its journal what it has published of its own.
        let nothing = if has_outbox { 700 } else { 300 };
        // Only one that holds all is held to everything.
        let some = if has_outbox { 500 } else { 300 };
        let bytes = usize::from(random.small(4, 100)) * 128;
        match (random.chance(nothing), random.chance(some)) {
            (true, _) => Self::Nothing,
            (_, true) => Self::Bytes(bytes),
            _ => Self::All,
        }
    }
}

/// What this story is like; printed when it goes wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    pub sessions: u8,
    pub messages: u32,
    /// The transport knows batches.
    pub batches: bool,
    /// The daemon names every attempt anew.
    pub fresh_ids: bool,
    /// Of a thousand answers, how many are lost, late, doubled, refusals.
    pub answers_lost: u64,
    pub answers_late: u64,
    pub answers_doubled: u64,
    pub refusals: u64,
    /// Milliseconds between two deaths, about.
    pub faults_every: u64,
    pub bounds: Bounds,
    pub habits: u8,
    /// Transports it knows, each for the sessions that name it.
    pub routes: usize,
    /// Falco keeps on disk what it takes.
    pub outbox: Option<program::Options>,
    /// What is refused for good parks its lane.
    pub parks: bool,
    /// Sessions whose effects are object sets, a bit each.
    pub objects: u8,
    pub memo: Memory,
    /// What sessions with the flag do besides, two bits each.
    pub mixes: u8,
    /// Daemons at once, each with a connection.
    pub daemons: usize,
    /// For how long Falco may not hear that a connection is closed.
    pub lingers: Time,
    /// What is wrong with it on purpose.
    pub flaw: Option<Flaw>,
    /// For what nobody else has to decide.
    pub dice: u64,
}

impl Options {
    pub(super) fn of(random: &mut Random, has_outbox: bool) -> Self {
        let mut options = Self {
            sessions: random.small(1, 4),
            messages: u32::from(random.small(5, 40)),
            batches: random.chance(700),
            fresh_ids: random.chance(500),
            answers_lost: random.between(0, 60),
            answers_late: random.between(0, 100),
            answers_doubled: random.between(0, 100),
            refusals: random.between(0, 150),
            faults_every: random.between(300, 20_000),
            bounds: Bounds::of_lane(usize::from(random.small(3, 60))),
            habits: random.small(0, u8::MAX),
            routes: if has_outbox {
                usize::from(random.small(1, 2))
            } else {
                1
            },
            outbox: has_outbox.then(|| program::Options::of(random)),
            parks: random.chance(300),
            objects: random.small(0, u8::MAX) & random.small(0, u8::MAX),
            memo: Memory::of(random, has_outbox),
            mixes: 0,
            daemons: 1,
            lingers: 0,
            flaw: None,
            dice: random.between(0, u64::MAX - 1),
        };
        let mut random = Random::new(options.dice);
        options.bounds = options.bounds.narrowed(&mut random);
        options.mixes = random.small(0, u8::MAX);
        if let Some(outbox) = &mut options.outbox {
            outbox.hangs = if random.chance(250) { 25 * SECOND } else { 0 };
        }
        options.daemons = usize::from(random.small(1, 2));
        options.lingers = if random.chance(500) { 3 * SECOND } else { 0 };
        options
    }

    pub(super) fn delivery(self) -> Config {
        Config {
            on_rejected: if self.parks {
                OnRejected::Park
            } else {
                OnRejected::Skip
            },
            ..self.bounds.told(self.flaw)
        }
    }

    /// Whether a crash of Falco makes it forget what it has published.
    pub(super) fn forgets(self) -> bool {
        self.outbox.is_some() || self.memo != Memory::All
    }

    /// Whether all that is acked stays known by its id for a while.
    pub(super) fn knows_ids(self) -> bool {
        match self.outbox {
            None => !self.forgets(),
            Some(outbox) => outbox.keeps_all(),
        }
    }

    /// Whether the attempts of a session have ids of their own.
    pub(super) fn has_fresh_ids(self, session: u8) -> bool {
        let is_recognised = self.habit(session) != Habit::Flag && !self.sets_objects(session);
        self.fresh_ids && is_recognised
    }

    /// Whether nothing of a session passes what was refused, unless somebody
    /// lets it: what a daemon has is parked in memory only.
    pub(super) fn parks_for_good(self, session: u8) -> bool {
        let is_kept = self.outbox.is_some_and(program::Options::keeps_all);
        let is_ordered = self.habit(session) != Habit::Carelessness;
        self.parks && is_kept && is_ordered
    }

    pub(super) fn sets_objects(self, session: u8) -> bool {
        self.objects >> session & 1 == 1
    }

    /// How the daemon keeps the order of a session.
    pub(super) fn habit(self, session: u8) -> Habit {
        match self.habits >> (2 * session) & 3 {
            0 => Habit::Flag,
            1 => Habit::Patience,
            2 => Habit::Carelessness,
            // No gate looks for numbers in what is set.
            _ if self.sets_objects(session) => Habit::Carelessness,
            _ => Habit::Numbers,
        }
    }

    /// What a session with the flag does besides.
    pub(super) fn mix(self, session: u8) -> Mix {
        if self.habit(session) != Habit::Flag || self.sets_objects(session) {
            return Mix::Nothing;
        }
        match self.mixes >> (2 * session) & 3 {
            0 => Mix::Nothing,
            1 => Mix::SomeFlags,
            _ => Mix::SomeNumbers,
        }
    }

    /// Whether every message of a session goes out by itself: with batches, if no
    /// lane ever has two of them.
    pub(super) fn goes_alone(self, session: u8) -> bool {
        let is_alone = self.outbox.is_none() && self.habit(session) == Habit::Patience;
        !self.batches || is_alone
    }

    /// Which route the effects of a session name.
    pub(super) fn route(self, session: u8) -> usize {
        usize::from(session) % self.routes
    }

    /// With an outbox, each route has a direct way and one for what is kept.
    pub(super) fn ways(self) -> usize {
        match self.outbox {
            Some(_) => 2 * self.routes,
            None => self.routes,
        }
    }
}
