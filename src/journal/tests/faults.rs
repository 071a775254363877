//! Calls that fail: each once, and each for good.

mod full;
mod given_up;
mod limit;
mod sync;
mod unread;

use nix::libc::{EFBIG, EIO, EMFILE, ENOSPC, EPERM, EROFS};

use super::super::entry::Stored;
use super::super::error::Unreadable;
use super::super::storage::lying::Op;
use super::*;

const OPS: [Op; 7] = [
    Op::Create,
    Op::Rename,
    Op::Remove,
    Op::SyncFolder,
    Op::Write,
    Op::Truncate,
    Op::Sync,
];

/// What was recorded, as far as receipts tell: entries of calls that were
/// refused may only be missing as effects.
fn history(rig: &mut Rig, seed: u64, steps: usize) -> Vec<Entry> {
    let mut dice = Dice(seed);
    let mut recorded: Vec<Entry> = Vec::new();
    for _ in 0..steps {
        let entry = some_entries(&mut dice, &recorded).remove(0);
        if rig.commit(vec![entry.clone()]).is_ok() {
            recorded.push(entry);
        }
        rig.tick();
    }
    recorded
}

#[test]
fn one_failing_call_loses_nothing_that_was_said_to_be_recorded() {
    for op in OPS {
        for nth in 0..25 {
            for errno in [EIO, ENOSPC, EFBIG] {
                let config = small(Sync::Always);
                let mut rig = Rig::new(&config);
                fail(&rig.disk, op, (nth, 1), errno);
                let recorded = history(&mut rig, nth, 40);
                let (told, recovered) = Rig::reopened(&rig.disk, &config);
                let what = format!("{op:?} {nth} {errno}: {:?}", recovered.report);
                assert_eq!(told, Told::by(&recorded), "{what}");
                assert!(!recovered.report.is_corrupt(), "{what}");
            }
        }
    }
}

#[test]
fn an_append_with_an_effect_too_large_records_none_of_its_effects() {
    let config = small(Sync::Always);
    let mut rig = Rig::new(&config);
    rig.commit(vec![Entry::Effect(effect(0))])
        .expect("recorded");
    let over = Effect {
        lane: LaneKey::new("x".repeat(4 << 20)),
        ..effect(1)
    };
    let entries = [effect(2), over, effect(3)].map(Entry::Effect);
    let mut entries = entries.to_vec();
    entries.push(Entry::Done(vec![id(0).into()]));
    let refused = rig.commit(entries);
    assert!(
        matches!(refused, Err(Unrecorded::TooLarge { .. })),
        "{refused:?}"
    );
    let (told, _) = Rig::reopened(&rig.disk, &config);
    let expected = [Entry::Effect(effect(0)), Entry::Done(vec![id(0).into()])];
    assert_eq!(told, Told::by(&expected));
}

#[test]
fn an_effect_that_is_there_is_not_taken_twice() {
    let config = small(Sync::Always);
    let mut rig = Rig::new(&config);
    let other = Effect {
        fingerprint: 7,
        ..effect(0)
    };
    let twice = vec![Entry::Effect(effect(0)), Entry::Effect(other.clone())];
    rig.commit(twice).expect("recorded");
    rig.commit(vec![Entry::Effect(other.clone())])
        .expect("recorded");
    assert_eq!(rig.core.stats().live, 1);
    // Once it is settled, the same id is a new effect; also within one batch.
    rig.commit(vec![
        Entry::Done(vec![id(0).into()]),
        Entry::Effect(other.clone()),
    ])
    .expect("recorded");
    let (told, _) = Rig::reopened(&rig.disk, &config);
    assert_eq!(told.live, [(other, None)]);
}
