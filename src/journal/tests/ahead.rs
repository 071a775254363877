//! Appends that are written while those before them are being synced.

mod at_once;
mod limits;
mod trouble;

use std::collections::VecDeque;

use nix::libc::{EFBIG, EIO, EMFILE, ENOSPC};

use super::super::handle::Journal;
use super::super::storage::lying::Op;
use super::rig::Awaited;
use super::*;

/// A journal that writes ahead wherever it may.
struct Hurried {
    rig: Rig,
    /// What was appended, and who waits for it; oldest first.
    waiting: VecDeque<(Vec<Entry>, Awaited)>,
    /// What was answered.
    recorded: Vec<Entry>,
    /// How much of it has to be durable: what is only settled may come later.
    durable: usize,
    refused: usize,
    /// The most that waited.
    most: usize,
}

impl Hurried {
    fn open(disk: &Lying, config: &Config) -> Option<Self> {
        let (mut rig, _) = Rig::open(disk, config).ok()?;
        rig.core.hurry();
        Some(Self {
            rig,
            waiting: VecDeque::new(),
            recorded: Vec::new(),
            durable: 0,
            refused: 0,
            most: 0,
        })
    }

    fn new(config: &Config) -> Self {
        Self::open(&Lying::default(), config).expect("an empty disk")
    }

    fn append(&mut self, entries: Vec<Entry>) {
        self.rig.pass(Duration::from_millis(1));
        let mut receipts = self.rig.send(vec![(None, entries.clone())]);
        self.waiting.push_back((entries, receipts.remove(0)));
        self.look();
        self.most = self.most.max(self.waiting.len());
    }

    fn land(&mut self) {
        self.rig.core.land_first(self.rig.now);
        self.look();
    }

    fn tick(&mut self) {
        self.rig.tick();
        self.look();
    }

    /// Takes the answers that are there: the first who waits has the first.
    fn look(&mut self) {
        while let Some((entries, mut receipt)) = self.waiting.pop_front() {
            match receipt.try_recv() {
                Ok(Ok(_)) => {
                    let has_effect = entries.iter().any(|e| matches!(e, Entry::Effect(_)));
                    self.recorded.extend(entries);
                    if has_effect {
                        self.durable = self.recorded.len();
                    }
                }
                Ok(Err(_)) => self.refused += 1,
                Err(_) => {
                    self.waiting.push_front((entries, receipt));
                    break;
                }
            }
        }
        let later = self.waiting.iter_mut().skip(1);
        let overtakes = |(_, receipt): &mut (_, Awaited)| receipt.try_recv().is_ok();
        assert_eq!(later.map(overtakes).filter(|is| *is).count(), 0);
    }

    /// What the next life is told.
    fn reopened(&self) -> (Told, Recovered) {
        Rig::reopened(&self.rig.disk, &self.rig.config)
    }
}

/// A journal that begins no segment by itself.
fn one_segment() -> Config {
    Config {
        segment_bytes_max: 1 << 20,
        ..small(Sync::Always)
    }
}

/// With `so_many` effects written, of which none is synced.
fn under_way(so_many: u64) -> Hurried {
    let mut hurried = Hurried::new(&one_segment());
    (0..so_many).for_each(|i| hurried.append(vec![Entry::Effect(effect(i))]));
    assert_eq!(hurried.waiting.len() as u64, so_many);
    hurried
}

/// A history, mostly of effects; until something is refused, or to its end.
fn run(disk: &Lying, config: &Config, seed: u64, steps: usize) -> Option<Hurried> {
    let mut hurried = Hurried::open(disk, config)?;
    let mut dice = Dice(seed);
    for i in 0..steps as u64 {
        let mut entries = some_entries(&mut dice, &hurried.rig.entries);
        if dice.below(4) != 0 {
            entries.retain(|entry| matches!(entry, Entry::Effect(_) | Entry::Done(_)));
            entries.push(Entry::Effect(effect(1000 + i)));
        }
        hurried.append(entries);
        match dice.below(4) {
            0 => hurried.land(),
            1 => hurried.tick(),
            _ => {}
        }
        if 0 < hurried.refused {
            break;
        }
    }
    Some(hurried)
}

#[test]
fn a_power_cut_while_syncs_are_under_way_keeps_a_beginning_with_all_that_was_answered() {
    for (seed, config) in [(1, small(Sync::Always)), (2, one_segment())] {
        let whole = run(&Lying::default(), &config, seed, 45).expect("no fault");
        assert!(whole.rig.core.progress().written > 60 && 2 < whole.most);
        for cut in 0..=whole.rig.disk.changes() {
            let disk = Lying::default();
            disk.cut_after(cut);
            let Some(hurried) = run(&disk, &config, seed, 45) else {
                continue;
            };
            for dice in 0..4 {
                let disk = disk.after_power_cut(&mut Dice(seed ^ (cut << 8) ^ dice));
                let (told, recovered) = Rig::reopened(&disk, &config);
                let (entries, durable) = (&hurried.rig.entries, hurried.durable);
                let found = beginning(&told, entries, durable);
                assert!(found.is_some(), "cut {cut}: {:?}", recovered.report);
                assert!(!recovered.report.is_corrupt(), "{:?}", recovered.report);
            }
        }
    }
}

#[test]
fn one_failing_call_while_syncs_are_under_way_loses_nothing_that_was_answered() {
    for op in [
        Op::Create,
        Op::Rename,
        Op::SyncFolder,
        Op::Write,
        Op::Truncate,
        Op::Sync,
    ] {
        for nth in 0..25 {
            for errno in [EIO, ENOSPC, EFBIG] {
                let config = small(Sync::Always);
                let mut hurried = Hurried::new(&config);
                fail(&hurried.rig.disk, op, (nth, 1), errno);
                let mut dice = Dice(nth);
                for i in 0..60 {
                    let entry = some_entries(&mut dice, &hurried.recorded).remove(0);
                    let is_effect = dice.below(3) != 0;
                    let effect = Entry::Effect(effect(1000 + i));
                    hurried.append(vec![if is_effect { effect } else { entry }]);
                    match dice.below(5) {
                        0 => hurried.land(),
                        1 => hurried.tick(),
                        _ => {}
                    }
                }
                hurried.tick();
                let what = format!("{op:?} {nth} {errno}");
                assert!(hurried.waiting.is_empty(), "{what}: all are answered");
                let (told, recovered) = hurried.reopened();
                let what = format!("{what}: {:?}", recovered.report);
                assert_eq!(told, Told::by(&hurried.recorded), "{what}");
                assert!(!recovered.report.is_corrupt(), "{what}");
            }
        }
    }
}

#[test]
fn nobody_is_answered_before_what_they_wrote_is_synced() {
    let mut hurried = under_way(3);
    for synced in 1..=3 {
        assert!(!hurried.rig.core.is_durable());
        hurried.land();
        assert_eq!(hurried.recorded.len(), synced);
        let disk = hurried.rig.disk.after_power_cut(&mut Dice(7));
        let (told, _) = Rig::reopened(&disk, &hurried.rig.config);
        assert!(synced <= told.live.len(), "{told:?}");
    }
    assert!(hurried.rig.core.is_durable());
}

#[test]
fn what_was_written_behind_a_sync_that_fails_is_written_again_with_it() {
    let mut hurried = under_way(3);
    hurried.land();
    break_syncs(&hurried.rig);
    hurried.land();
    assert_eq!((hurried.recorded.len(), hurried.refused), (1, 2));
    mend(&mut hurried.rig);
    (10..13).for_each(|i| hurried.append(vec![Entry::Effect(effect(i))]));
    fail(&hurried.rig.disk, Op::Sync, (0, 1), EIO);
    hurried.land();
    assert_eq!(hurried.recorded.len(), 4, "one failure is survived");
    assert_eq!(hurried.rig.core.stats().poisoned, 2);
    let (told, recovered) = hurried.reopened();
    assert_eq!(told, Told::by(&hurried.recorded));
    assert!(!recovered.report.is_corrupt(), "{:?}", recovered.report);
}

#[test]
fn a_full_disk_refuses_what_does_not_fit_and_nothing_that_is_under_way() {
    let mut hurried = under_way(2);
    hurried
        .rig
        .disk
        .set_capacity(Some(hurried.rig.disk.used() + 10));
    // The reserve goes first.
    let mut i = 2;
    while hurried.refused == 0 {
        hurried.append(vec![Entry::Effect(effect(i))]);
        i += 1;
    }
    assert!(hurried.waiting.is_empty() && 3 < i);
    let (told, _) = hurried.reopened();
    assert_eq!(told, Told::by(&hurried.recorded));
}

#[test]
fn what_is_no_effect_waits_until_nothing_is_under_way() {
    for entry in [
        Entry::Discard(id(0)),
        Entry::Failed(id(0), letter(0)),
        Entry::Requeue(id(0)),
    ] {
        let mut hurried = under_way(2);
        hurried.append(vec![entry]);
        assert_eq!(hurried.recorded.len(), 3);
    }
    let mut hurried = under_way(2);
    hurried.append(vec![Entry::Done(vec![id(0).into()])]);
    assert_eq!(hurried.recorded.len(), 3);
}

#[test]
fn a_journal_under_load_still_does_what_is_due() {
    let mut hurried = Hurried::new(&small(Sync::Always));
    for i in 0..400 {
        hurried.append(vec![
            Entry::Effect(effect(i)),
            Entry::Done(vec![id(i / 2).into()]),
        ]);
        if i % 3 == 0 {
            hurried.land();
        }
    }
    assert!(2 < segments(&hurried.rig), "segments are begun");
    assert!(hurried.most < 25, "all else is looked after in between");
}
