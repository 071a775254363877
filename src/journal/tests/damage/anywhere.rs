//! Damage anywhere: every bit, every end.

use std::collections::BTreeMap;

use nix::libc::ENOSPC;

use super::super::super::storage::lying::Op;
use super::super::super::storage::{Storage as _, StoredFile as _};
use super::*;

/// The ids that are live, and whether dead.
fn live(read: &recovery::Read) -> BTreeMap<EffectId, bool> {
    let held = read.fold.live.values();
    held.map(|held| (held.live.id, held.failed.is_some()))
        .collect()
}

fn modelled(entries: &[Entry]) -> BTreeMap<EffectId, bool> {
    let live = Told::by(entries).live;
    let one = |(effect, letter): (Effect, Option<DeadLetter>)| (effect.id, letter.is_some());
    live.into_iter().map(one).collect()
}

#[test]
fn any_flipped_bit_costs_one_record_at_most_and_is_told() {
    let entries = few();
    let files = closed(&entries, &roomy());
    let bytes = &files[FIRST];
    assert!((3000..6000).contains(&bytes.len()), "{}", bytes.len());
    let whole = modelled(&entries);
    let without: Vec<_> = (0..entries.len())
        .map(|lost| {
            let mut entries = entries.clone();
            entries.remove(lost);
            modelled(&entries)
        })
        .collect();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = files.clone();
        damaged.get_mut(FIRST).unwrap()[bit / 8] ^= 1 << (bit % 8);
        let read = read(&damaged);
        let found = live(&read);
        let is_lf = bytes[bit / 8] == b'\n';
        assert!(
            found == whole || without.contains(&found),
            "bit {bit}: {:?}",
            read.report
        );
        assert!(read.report.lost() <= 1, "bit {bit}: {:?}", read.report);
        if found != whole {
            assert!(!read.report.damage.is_empty(), "bit {bit} is not told");
        }
        if !is_lf {
            assert!(!read.report.damage.is_empty(), "bit {bit} is not told");
        }
    }
}

#[test]
fn any_truncation_leaves_what_was_before_it() {
    let mut entries = Vec::new();
    for i in 0..50 {
        entries.push(Entry::Effect(effect(i)));
        entries.push(Entry::Done(vec![id(i).into()]));
        entries.push(Entry::Discard(id(i)));
        entries.push(Entry::Requeue(id(i)));
    }
    let config = Config {
        segment_bytes_max: 2500,
        ..roomy()
    };
    let files = closed(&entries, &config);
    let mut records = 0;
    for (name, bytes) in &files {
        // Alone it is a journal whose older segments were not needed any more.
        records += any_truncation_of(name, bytes);
    }
    let headers = 2 * files.len();
    assert_eq!(records, entries.len() + headers + 1);
}

/// Every effect is settled by the record after it, so only a last one is live.
fn any_truncation_of(name: &str, bytes: &[u8]) -> usize {
    let ends: Vec<usize> = memchr::memchr_iter(b'\n', bytes).collect();
    for cut in 0..=bytes.len() {
        let read = read(&[(name.to_owned(), bytes[..cut].to_vec())].into());
        let whole = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(read.report.records, whole as u64, "cut {cut}");
        let last = whole.checked_sub(1);
        let start = last.map_or(0, |last| last.checked_sub(1).map_or(0, |l| ends[l] + 1));
        let is_effect = last.is_some() && bytes[start + 35] == b'E';
        assert_eq!(read.fold.live.len(), usize::from(is_effect), "cut {cut}");
        // No crash tears the headers: they were synced before the name was given.
        let is_corrupt = whole == 0 || (whole == 1 && ends[0] + 1 < cut);
        assert_eq!(
            read.report.is_corrupt(),
            is_corrupt,
            "cut {cut}: {:?}",
            read.report
        );
        let torn = cut.saturating_sub(last.map_or(0, |last| ends[last] + 1));
        let torn = if is_corrupt { 0 } else { torn };
        assert_eq!(read.report.torn_bytes, torn as u64, "cut {cut}");
    }
    ends.len()
}

#[test]
fn a_damaged_line_in_what_was_not_synced_costs_the_same_whenever_it_is_read() {
    let config = Config {
        sync: Sync::INTERVAL,
        ..roomy()
    };
    let mut rig = Rig::new(&config);
    // What is decided is synced, and what comes after it is not.
    let more = (20..24).map(|i| Entry::Effect(effect(i)));
    for entry in few().into_iter().chain(more) {
        rig.commit(vec![entry]).expect("recorded");
    }
    assert!(!rig.core.is_durable());
    let files = segments(&rig.disk);
    let bytes = &files[FIRST];
    let ends: Vec<usize> = memchr::memchr_iter(b'\n', bytes).collect();
    // The line ends, where only a scan finds the record behind; and lines.
    let places = ends.iter().flat_map(|end| [*end, end - 60]);
    for at in places {
        let mut damaged = files.clone();
        damaged.get_mut(FIRST).unwrap()[at] ^= 1;
        let disk = Lying::holding(&damaged);
        let (first, recovered) = Rig::reopened(&disk, &config);
        assert!(recovered.report.lost() <= 1, "byte {at}");
        for _ in 0..2 {
            let (again, _) = Rig::reopened(&disk, &config);
            assert_eq!(again, first, "byte {at}: {:?}", recovered.report);
        }
    }
}

#[test]
fn what_is_read_behind_damage_in_what_was_not_synced_survives_a_power_cut() {
    let config = Config {
        sync: Sync::Interval(Duration::from_secs(3600)),
        ..roomy()
    };
    let unsynced = || {
        let mut rig = Rig::new(&config);
        // What is decided is synced, and what comes after it is not.
        let more = (20..24).map(|i| Entry::Effect(effect(i)));
        for entry in few().into_iter().chain(more) {
            rig.commit(vec![entry]).expect("written");
        }
        rig.disk
    };
    let ends: Vec<usize> = memchr::memchr_iter(b'\n', &segments(&unsynced())[FIRST]).collect();
    let places = ends.iter().flat_map(|end| [*end, end - 60]);
    for at in places {
        let disk = unsynced();
        let byte = segments(&disk)[FIRST][at] ^ 1;
        let mut file = disk.open_to_change(FIRST).expect("it is there");
        file.write_at(&[byte], at as u64).expect("it is damaged");
        let (rig, recovered) = Rig::open(&disk, &config).expect("it opens");
        assert!(recovered.is_durable, "byte {at}");
        let told = Told::from(&recovered, &rig.core);
        for seed in 0..8 {
            let disk = disk.after_power_cut(&mut Dice(seed));
            if segments(&disk)[FIRST].get(at) == Some(&(byte ^ 1)) {
                // Of the damage the disk knows nothing.
                continue;
            }
            let (mut rig, again) = Rig::open(&disk, &config).expect("it opens");
            assert_eq!(Told::from(&again, &rig.core), told, "byte {at}, {seed}");
            // What was lost is told of, and once.
            let losses = u64::from(recovered.report.is_corrupt());
            assert_eq!(rig.core.stats().quarantined, losses, "byte {at}, {seed}");
        }
    }
}

#[test]
fn damage_that_could_not_be_kept_aside_is_not_hidden_by_what_is_written_again() {
    let (config, mut files) = unsynced();
    let bytes = files.get_mut(FIRST).unwrap();
    let ends: Vec<usize> = memchr::memchr_iter(b'\n', bytes).collect();
    bytes[ends[5] - 60] ^= 1;
    let disk = Lying::holding(&files);
    fail(&disk, Op::Create, (0, 1), ENOSPC);
    for _ in 0..3 {
        let (mut rig, recovered) = Rig::open(&disk, &config).expect("it opens");
        assert!(recovered.report.is_corrupt(), "it is found again");
        assert_eq!(rig.core.stats().quarantined, 1);
    }
    assert_eq!(aside(&disk, ".json").len(), 1);
}
