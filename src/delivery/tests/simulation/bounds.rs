//! What Falco may hold, in memory and on disk, and that it never holds more.
//!
//! In some stories that is so little that they come to it all the time.

use super::*;

/// See the module; of memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    lane: Amount,
    /// Of a lane that goes on, beyond that.
    more: Amount,
    /// Over all lanes, shared by the routes.
    all: Amount,
}

impl Bounds {
    /// As usual, but for the effects of a lane.
    pub(super) fn of_lane(effects: usize) -> Self {
        let usual = Config::default();
        Self {
            lane: Amount {
                effects,
                bytes: usual.lane_bytes_max,
            },
            more: Amount {
                effects: usual.held_effects_max,
                bytes: usual.held_bytes_max,
            },
            all: Amount {
                effects: usual.effects_max,
                bytes: usual.bytes_max,
            },
        }
    }

    /// In one of two stories one of the others is narrow, too.
    pub(super) fn narrowed(mut self, random: &mut Random) -> Self {
        self.more.effects = random.below(2) * self.lane.effects;
        match random.below(6) {
            0 => {
                self.lane.bytes = usize::from(random.small(2, 12)) * EFFECT_BYTES;
                self.more.bytes = random.below(2) * self.lane.bytes;
            }
            1 => self.all.effects = usize::from(random.small(4, 40)),
            2 => self.all.bytes = usize::from(random.small(4, 40)) * EFFECT_BYTES,
            _ => {}
        }
        self
    }

    /// What Falco is told of it.
    pub(super) fn told(self, flaw: Option<Flaw>) -> Config {
        let usual = Self::of_lane(Config::default().lane_effects_max);
        let Self { lane, more, all } = match flaw {
            Some(Flaw::HasLongLanes) => Self {
                all: self.all,
                ..usual
            },
            Some(Flaw::HoldsAll) => Self {
                all: usual.all,
                ..self
            },
            _ => self,
        };
        Config {
            lane_effects_max: lane.effects,
            lane_bytes_max: lane.bytes,
            held_effects_max: more.effects,
            held_bytes_max: more.bytes,
            effects_max: all.effects,
            bytes_max: all.bytes,
            ..Config::default()
        }
    }

    /// Of one of so many routes.
    fn check(self, routes: usize, lanes: &[Amount], all: Amount) {
        let (mut sum, mut most) = (Amount::default(), self.lane);
        most += self.more;
        for lane in lanes {
            let is_few = lane.effects <= most.effects && lane.bytes <= most.bytes;
            assert!(is_few, "a lane holds {lane:?}, at most {most:?}");
            sum += *lane;
        }
        assert_eq!(sum, all, "what all lanes hold is counted wrongly");
        let max = Amount {
            effects: self.all.effects / routes,
            // The last one may go over it.
            bytes: self.all.bytes / routes + EFFECT_BYTES - 1,
        };
        let is_few = all.effects <= max.effects && all.bytes <= max.bytes;
        assert!(is_few, "all lanes hold {all:?}, at most {max:?}");
    }
}

impl World {
    /// After every event.
    pub(super) fn check_bounds(&mut self) {
        let Options {
            bounds,
            routes,
            sessions,
            flaw,
            ..
        } = self.options;
        for (lanes, all) in self.falco.program.held() {
            bounds.check(routes, &lanes, all);
        }
        if let Some(outbox) = self.options.outbox {
            let (bytes, max) = (
                self.falco.program.disk_bytes(),
                outbox.disk_max(sessions, flaw),
            );
            assert!(bytes <= max, "the journal has {bytes} bytes, at most {max}");
        }
    }
}
