//! The journal against naive models, on a disk that lies.

mod ahead;
mod astray;
mod clocks;
mod compaction;
mod crash;
mod damage;
mod drafts;
mod ended;
mod faults;
mod missed;
mod model;
mod older;
mod open;
mod refusals;
mod rig;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::config::{Config, OnFailure, Sync};
use super::entry::{DeadLetter, Effect, Entry, Recovered, Settled, State};
use super::error::{OpenError, Unrecorded};
use super::handle::{Appended, Round};
use super::reading::Reading;
use super::stats::Health;
use super::storage::lying::{Dice, Lying};
use super::writer::{Core, Job, Now};
use crate::clock::BootTime;
use crate::protocol::envelope::Operation;
use crate::protocol::id::{EffectId, IdempotencyKey, LaneKey};
use model::{Told, beginning, some_appends, some_entries};
use rig::{Rig, break_syncs, fail, fill, full, idle, mend, note, segments, settle_all, small};

/// When everything happens.
const MS: u64 = 1_800_000_000_000;

fn id(i: u64) -> EffectId {
    EffectId::from(Uuid::from_u64_pair(0xfa1c_0000, i))
}

fn effect(i: u64) -> Effect {
    let payload = match i % 4 {
        0 => format!("{{\"i\":{i}}}"),
        1 => format!("{{\n\"i\": {i} }}"),
        2 => format!("not json {i}"),
        _ => format!("{{\"v\":1,\"q\":\"{i}\"}}"),
    };
    let operation = if i % 5 == 4 {
        Operation::ObjectSet {
            channel: "objects".into(),
            key: format!("key \"{i}\"").into(),
            value: Bytes::from(payload).into(),
        }
    } else {
        Operation::Publish {
            channel: format!("session:{}:conversation", i % 3).into(),
            event: "message.v1".into(),
            payload: Bytes::from(payload).into(),
        }
    };
    Effect {
        id: id(i),
        lane: LaneKey::new(format!("lane\\{}", i % 3)),
        route: (i % 3 == 1).then(|| "second".into()),
        key: match i % 3 {
            0 => IdempotencyKey::Uuid(id(i).as_uuid()),
            1 => IdempotencyKey::Uuid(id(i + 1).as_uuid()),
            _ => IdempotencyKey::Given(format!("k\"{i}").into()),
        },
        fingerprint: i.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        arrived_ms: MS + i,
        operation,
    }
}

fn letter(i: u64) -> DeadLetter {
    DeadLetter {
        class: "rejected".into(),
        code: i.is_multiple_of(2).then_some(40_160),
        error: format!("not \"allowed\" {i}").into(),
        attempts: 3,
        at_ms: MS + i,
    }
}
