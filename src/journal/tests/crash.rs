//! What survives a power cut, wherever it comes.

use std::collections::BTreeMap;

use super::*;

/// Writes a history until something fails, or to its end.
fn run(disk: &Lying, config: &Config, seed: u64, steps: usize) -> Option<Rig> {
    run_together(disk, config, seed, (steps, 1))
}

/// The same; in each step up to so many appends are written together.
fn run_together(
    disk: &Lying,
    config: &Config,
    seed: u64,
    (steps, together): (usize, usize),
) -> Option<Rig> {
    let (mut rig, _) = Rig::open(disk, config).ok()?;
    let mut dice = Dice(seed);
    for _ in 0..steps {
        let appends = some_appends(&mut dice, &rig.entries, together);
        if rig.commit_together(appends).iter().any(Result::is_err) {
            break;
        }
        rig.tick();
    }
    Some(rig)
}

/// The state after a crash is what a beginning of the log comes to that has
/// all that was durable; reading it again gives the same.
fn check_crash(rig: &Rig, seed: u64) {
    let image = rig.disk.after_power_cut(&mut Dice(seed)).files();
    let disk = Lying::holding(&image);
    let (told, recovered) = Rig::reopened(&disk, &rig.config);
    let found = beginning(&told, &rig.entries, rig.durable);
    assert!(
        found.is_some(),
        "seed {seed}: {} durable of {}; {:?}\n{told:#?}",
        rig.durable,
        rig.entries.len(),
        recovered.report
    );
    assert!(!recovered.report.is_corrupt(), "{:?}", recovered.report);
    let (again, same) = Rig::reopened(&Lying::holding(&image), &rig.config);
    assert_eq!(
        (&again, &same),
        (&told, &recovered),
        "the same files, another answer"
    );
    let (twice, after) = Rig::reopened(&disk, &rig.config);
    assert_eq!(twice, told, "the repair changed what is told");
    assert_eq!(after.report.torn_bytes, 0, "{:?}", after.report);
}

fn a_cut_after_every_change(
    config: &Config,
    disk: impl Fn() -> Lying,
    seed: u64,
    shape: (usize, usize),
) {
    let whole = run_together(&disk(), config, seed, shape).expect("no fault");
    assert!(whole.core.progress().written > 60 && 3 < segments(&whole));
    for cut in 0..=whole.disk.changes() {
        let disk = disk();
        disk.cut_after(cut);
        if let Some(rig) = run_together(&disk, config, seed, shape) {
            (0..3).for_each(|dice| check_crash(&rig, seed ^ (cut << 8) ^ dice));
        }
    }
}

#[test]
fn a_power_cut_after_any_change_keeps_a_beginning_with_all_that_was_durable() {
    a_cut_after_every_change(&small(Sync::Always), Lying::default, 1, (45, 1));
}

#[test]
fn a_power_cut_keeps_a_beginning_of_what_several_appends_wrote_together() {
    for (sync, seed) in [(Sync::Always, 21), (Sync::INTERVAL, 22)] {
        a_cut_after_every_change(&small(sync), Lying::default, seed, (25, 4));
    }
}

#[test]
fn a_power_cut_between_syncs_keeps_a_beginning_with_all_that_was_durable() {
    a_cut_after_every_change(&small(Sync::INTERVAL), Lying::default, 2, (60, 1));
}

#[test]
fn a_power_cut_where_files_may_not_become_longer_keeps_a_beginning_with_all_that_was_durable() {
    let limited = || {
        let disk = Lying::default();
        disk.set_file_max(2500);
        disk
    };
    for (sync, seed, steps) in [(Sync::Always, 3, 45), (Sync::INTERVAL, 4, 60)] {
        let config = Config {
            segment_bytes_max: 1 << 20,
            ..small(sync)
        };
        a_cut_after_every_change(&config, limited, seed, (steps, 1));
    }
}

#[test]
fn many_histories_survive_a_power_cut_at_their_end() {
    for seed in 100..130 {
        let sync = if seed % 2 == 0 {
            Sync::Always
        } else {
            Sync::INTERVAL
        };
        let rig = run(&Lying::default(), &small(sync), seed, 120).expect("no fault");
        check_crash(&rig, seed);
    }
}

#[test]
fn torn_writes_of_any_size_keep_a_beginning() {
    for write_max in [1, 7, 100, 511, 513] {
        let disk = Lying::default();
        disk.set_write_max(write_max);
        let rig = run(&disk, &small(Sync::INTERVAL), write_max as u64, 40).expect("no fault");
        (0..8).for_each(|dice| check_crash(&rig, dice));
    }
}

#[test]
fn a_crash_while_recovering_changes_nothing() {
    let config = small(Sync::INTERVAL);
    let rig = run(&Lying::default(), &config, 5, 70).expect("no fault");
    let mut image = rig.disk.files();
    // A torn end, and damage in the middle.
    let names: Vec<String> = image
        .keys()
        .filter(|n| n.starts_with("seg-"))
        .cloned()
        .collect();
    let bytes = image.get_mut(names.last().expect("a segment")).expect("it");
    bytes.extend_from_slice(b"{\"v\":1,\"q\":\"torn");
    let bytes = image.get_mut(&names[0]).expect("it");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    let whole = Lying::holding(&image);
    let (told, recovered) = Rig::reopened(&whole, &config);
    assert!(recovered.report.torn_bytes > 0 && recovered.report.is_corrupt());
    for cut in 0..=whole.changes() {
        let disk = Lying::holding(&image);
        disk.cut_after(cut);
        // Whether that opens is no matter here.
        drop(Rig::open(&disk, &config));
        let disk = disk.after_power_cut(&mut Dice(cut));
        let (again, second) = Rig::reopened(&disk, &config);
        assert_eq!(again, told, "cut {cut}");
        assert!(second.report.is_corrupt(), "damage stays damage");
    }
}

#[test]
fn the_same_history_twice_gives_the_same_state() {
    let config = small(Sync::Always);
    let told = |seed| {
        let rig = run(&Lying::default(), &config, seed, 50).expect("no fault");
        Rig::reopened(&rig.disk, &config).0
    };
    assert_eq!(told(9), told(9));
}

#[test]
fn numbers_have_no_gap_within_and_across_segments() {
    let rig = run(&Lying::default(), &small(Sync::Always), 11, 120).expect("no fault");
    let segments: BTreeMap<String, Vec<u8>> = rig
        .disk
        .files()
        .into_iter()
        .filter(|(name, _)| name.starts_with("seg-"))
        .collect();
    assert!(segments.len() > 2);
    let mut expected = None;
    for (name, bytes) in segments {
        for line in bytes.split(|byte| *byte == b'\n').filter(|l| !l.is_empty()) {
            let digits = std::str::from_utf8(&line[12..28]).unwrap();
            let q = u64::from_str_radix(digits, 16).unwrap();
            assert_eq!(q, expected.unwrap_or(q), "{name}");
            expected = Some(q + 1);
            let json: serde_json::Value = serde_json::from_slice(line).unwrap();
            assert_eq!(json["v"], 1);
        }
    }
    assert_eq!(expected, Some(rig.core.progress().written + 1));
}
