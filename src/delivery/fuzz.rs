//! What fuzzers may call; compiled for them only.

use std::time::Instant;

use super::config::OnRejected;
use super::lanes::model::{Model, Step, With, small};

/// Of longer stories the model, which forgets nothing, would take seconds.
const STEPS_MAX: usize = 500;

/// A story of lanes, as the bytes tell it, keeps every promise to its end.
pub fn lanes(data: &[u8], now: Instant) {
    let Some((&first, data)) = data.split_first() else {
        return;
    };
    let parks = first & 1 == 1;
    let on_rejected = if parks {
        OnRejected::Park
    } else {
        OnRejected::Skip
    };
    let mut model = Model::new(small(on_rejected), now);
    // Two bytes a step.
    let (steps, _) = data.as_chunks::<2>();
    for [what, how] in steps.iter().take(STEPS_MAX) {
        model.step(&step(*what, *how));
    }
    model.finish();
}

fn step(what: u8, how: u8) -> Step {
    match what % 32 {
        0..8 => Step::Submit {
            lane: how & 3,
            channel: how >> 2 & 1,
            object: how >> 3 & 7 == 7,
            bytes: usize::from(how >> 4) * 2 + usize::from(what >> 7),
            held_up: u64::from(what >> 5 & 3) / 3 * u64::from(how) * 60,
        },
        8..16 => Step::Send,
        16..24 => Step::Answer {
            which: usize::from(how),
            with: with(what),
        },
        24 | 25 => Step::Pass { ms: u64::from(how) },
        26 => Step::Pass {
            ms: u64::from(how) * 8,
        },
        27 => Step::Pass {
            ms: u64::from(how) * 80,
        },
        28 => Step::Connect {
            batches: how & 3 != 0,
        },
        29 => Step::Disconnect,
        30 => Step::Full { lane: how & 3 },
        _ if how == u8::MAX => Step::Stop,
        _ => Step::Send,
    }
}

fn with(what: u8) -> With {
    match what >> 5 {
        0 => With::Rejected,
        1 => With::Throttled,
        2 => With::Ambiguous,
        3 => With::Refused,
        4 => With::Offline,
        _ => With::Ok,
    }
}
