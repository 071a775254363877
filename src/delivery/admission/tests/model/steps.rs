//! What happens in a story.

use super::*;

/// What a daemon submits: a message, in an attempt with an id of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub message: u8,
    /// Which of its ids it has.
    pub with: u8,
    /// It asks for order; in a lane where that is not told by habit.
    pub has_flag: bool,
    /// Its bytes are what they always are.
    pub is_same: bool,
}

const MESSAGES: u8 = 15;
pub(super) const LANES: u8 = 3;

impl Attempt {
    pub(super) fn lane(self) -> u8 {
        self.message % LANES
    }

    fn id(self) -> u8 {
        self.message * 2 + self.with + 1
    }

    /// What its daemon counts its messages by: in the first lane nothing.
    fn number(self) -> Option<i64> {
        let is_numbered = match self.lane() {
            0 => false,
            1 => true,
            _ => !self.message.is_multiple_of(4),
        };
        is_numbered.then(|| i64::from(self.message / LANES) + 1)
    }

    /// In the first lane each has the flag, in the second none, in the third it
    /// depends.
    fn is_ordered(self) -> bool {
        match self.lane() {
            0 => true,
            1 => false,
            _ => self.has_flag,
        }
    }

    fn channel(self) -> &'static str {
        if self.lane() == 2 && self.message.is_multiple_of(5) {
            "elsewhere"
        } else {
            "c"
        }
    }

    pub(super) fn effect(self) -> SideEffect {
        let bytes = if self.is_same { "" } else { r#","x":1"# };
        let number = match self.number() {
            Some(number) => format!(r#"{{"sequence_number":{number}{bytes}}}"#),
            None => format!(r#"{{"n":{}{bytes}}}"#, self.message),
        };
        let body = Bytes::from(number);
        let channel = self.channel().into();
        // Of what is set, none is known by its key.
        let operation = if self.lane() == 0 && self.message.is_multiple_of(2) {
            Operation::ObjectSet {
                channel,
                key: "k".into(),
                value: body.into(),
            }
        } else {
            Operation::Publish {
                channel,
                event: "e".into(),
                payload: body.into(),
            }
        };
        SideEffect {
            lane: LaneKey::new(self.lane().to_string()),
            operation,
            is_ordered: self.is_ordered(),
            ..message(self.id(), 1000 + u32::from(self.message))
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Submit {
        from: u64,
        attempt: Attempt,
    },
    /// The same, and what is let through finds no room, or no disk.
    Refuse {
        from: u64,
        attempt: Attempt,
        class: Class,
    },
    Settle {
        lane: u8,
        how: How,
    },
    Told,
    Close {
        from: u64,
    },
    Pass {
        seconds: u64,
    },
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let attempt = (
        0..MESSAGES,
        0..2u8,
        any::<bool>(),
        prop::bool::weighted(0.95),
    );
    let attempt = attempt.prop_map(|(message, with, has_flag, is_same)| Attempt {
        message,
        with,
        has_flag,
        is_same,
    });
    let from = 0..CONNECTIONS;
    let no_room = prop_oneof![
        Just(Class::LaneFull),
        Just(Class::Unrecorded),
        Just(Class::ShuttingDown),
        Just(Class::TooLarge),
    ];
    let how = prop_oneof![
        8 => Just(How::Done),
        3 => Just(How::Fails(Class::Ambiguous)),
        3 => Just(How::Fails(Class::Throttled)),
        1 => Just(How::Fails(Class::ShuttingDown)),
        2 => Just(How::Refused(Class::Rejected)),
        1 => Just(How::Refused(Class::TooLarge)),
        1 => Just(How::HasNoRoom),
    ];
    let step = prop_oneof![
        20 => (from.clone(), attempt.clone())
            .prop_map(|(from, attempt)| Step::Submit { from, attempt }),
        1 => (from.clone(), attempt, no_room)
            .prop_map(|(from, attempt, class)| Step::Refuse { from, attempt, class }),
        9 => (0..LANES, how).prop_map(|(lane, how)| Step::Settle { lane, how }),
        8 => Just(Step::Told),
        1 => from.prop_map(|from| Step::Close { from }),
        2 => prop_oneof![4 => 0..20u64, 1 => 25..35u64, 1 => 0..1000u64]
            .prop_map(|seconds| Step::Pass { seconds }),
    ];
    prop::collection::vec(step, 0..250)
}
