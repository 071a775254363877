//! More damage in one segment than anybody looks into range by range.

use nix::libc::{EIO, ENOSPC};

use super::super::super::quarantine::RANGES_MAX;
use super::super::super::report::{Damage, Report};
use super::super::super::storage::lying::Op;
use super::*;

/// One segment holds it all, however much that is.
pub(super) fn vast() -> Config {
    Config {
        segment_bytes_max: 60 << 20,
        bytes_max: 1 << 30,
        ..small(Sync::Always)
    }
}

/// A closed journal with so many damaged ranges, one record each, and whole
/// records behind each.
pub(super) fn riddled(ranges: usize) -> Files {
    let mut rig = Rig::new(&vast());
    let mut left = 2 * ranges + 4;
    while 0 < left {
        let some = left.min(4096);
        let entries = (0..some as u64).map(|i| Entry::Requeue(id(i)));
        rig.commit(entries.collect()).expect("recorded");
        left -= some;
    }
    rig.core.close(rig.now).expect("closed");
    let mut files = segments(&rig.disk);
    assert_eq!(files.len(), 1);
    damage(
        files.get_mut(FIRST).unwrap(),
        (0..ranges).map(|i| 2 + 2 * i),
    );
    files
}

/// Spoils these lines, counted from 0.
fn damage(bytes: &mut [u8], lines: impl Iterator<Item = usize>) {
    let ends: Vec<usize> = memchr::memchr_iter(b'\n', bytes).collect();
    lines.for_each(|line| bytes[ends[line] - 20] ^= 1);
}

/// The names in the quarantine.
fn names(disk: &Lying) -> Vec<String> {
    let names = disk.files().into_keys();
    names.filter(|n| n.starts_with("quarantine/")).collect()
}

fn syncs(disk: &Lying) -> u64 {
    disk.calls(Op::Sync) + disk.calls(Op::SyncFolder)
}

/// What the reports tell of: losses, and records lost.
fn told(disk: &Lying) -> (u64, u64) {
    let mut told = (0, 0);
    for report in aside(disk, ".json") {
        let head = report.split(|byte| *byte == b'\n').next().unwrap();
        let head: serde_json::Value = serde_json::from_slice(head).expect("a report");
        let lost = match head["missing"].as_array() {
            Some(missing) => missing[1].as_u64().unwrap() - missing[0].as_u64().unwrap() + 1,
            None => head["lost"].as_u64().unwrap(),
        };
        told.0 += head["losses"].as_u64().unwrap_or(1);
        told.1 += lost;
    }
    told
}

/// What is kept comes back from these: the bytes of every range.
fn kept_bytes(files: &Files, report: &Report) -> Vec<u8> {
    let bytes = &files[FIRST];
    let range = |d: &Damage| {
        let off = usize::try_from(d.off).unwrap();
        &bytes[off..off + usize::try_from(d.len).unwrap()]
    };
    report.damage.iter().flat_map(range).copied().collect()
}

#[test]
fn a_hundred_thousand_damaged_ranges_cost_two_files_and_are_told_one_by_one() {
    const RANGES: u64 = 100_000;
    let files = riddled(100_000);
    let disk = Lying::holding(&files);
    let (mut rig, recovered) = Rig::open(&disk, &vast()).expect("it opens");
    assert_eq!(recovered.report.damage.len() as u64, RANGES);
    assert_eq!(recovered.report.lost(), RANGES);
    assert_eq!(rig.core.stats().quarantined, RANGES);
    assert_eq!(names(&disk).len(), 2, "{:?}", names(&disk));
    // Two files, three times their folders, and the next segment.
    assert!(syncs(&disk) < 12, "{} syncs", syncs(&disk));
    assert_eq!(
        aside(&disk, ".bin"),
        [kept_bytes(&files, &recovered.report)]
    );
    assert_eq!(told(&disk), (RANGES, RANGES));
    let report = &aside(&disk, ".json")[0];
    assert_eq!(
        memchr::memchr_iter(b'\n', report).count() as u64,
        RANGES + 1
    );

    let before = names(&disk);
    let (mut rig, _) = Rig::open(&disk, &vast()).expect("it opens");
    assert_eq!(rig.core.stats().quarantined, RANGES);
    assert_eq!(names(&disk), before, "nothing is kept twice");
}

#[test]
fn up_to_so_many_ranges_have_files_of_their_own_and_more_are_kept_together() {
    for (ranges, expected) in [(RANGES_MAX, 2 * RANGES_MAX), (RANGES_MAX + 1, 2)] {
        let disk = Lying::holding(&riddled(ranges));
        let (mut rig, _) = Rig::open(&disk, &vast()).expect("it opens");
        assert_eq!(rig.core.stats().quarantined, ranges as u64);
        assert_eq!(names(&disk).len(), expected);
        assert_eq!(told(&disk), (ranges as u64, ranges as u64));
    }
}

#[test]
fn of_damage_that_grows_only_what_is_new_is_kept_and_counted() {
    let ranges = RANGES_MAX + 10;
    let disk = Lying::holding(&riddled(ranges));
    drop(Rig::reopened(&disk, &vast()));
    let mut files = disk.files();
    damage(
        files.get_mut(FIRST).unwrap(),
        std::iter::once(2 * ranges + 3),
    );
    let disk = Lying::holding(&files);
    let (mut rig, recovered) = Rig::open(&disk, &vast()).expect("it opens");
    assert_eq!(recovered.report.damage.len(), ranges + 1);
    assert_eq!(rig.core.stats().quarantined, ranges as u64 + 1);
    assert_eq!(names(&disk).len(), 4, "{:?}", names(&disk));
    let before = names(&disk);
    drop(Rig::reopened(&disk, &vast()));
    assert_eq!(names(&disk), before, "nothing is kept twice");
}

#[test]
fn a_power_cut_anywhere_while_much_is_kept_aside_keeps_and_tells_it_once_in_the_end() {
    for ranges in [3, RANGES_MAX + 3] {
        let files = riddled(ranges);
        let expected = kept_bytes(&files, &read(&files).report);
        let whole = Lying::holding(&files);
        let (first, _) = Rig::reopened(&whole, &vast());
        for cut in 0..=whole.changes() {
            for dice in 0..4 {
                let disk = Lying::holding(&files);
                disk.cut_after(cut);
                // Whether that opens is no matter here.
                drop(Rig::open(&disk, &vast()));
                let disk = disk.after_power_cut(&mut Dice(cut << 3 | dice));
                for _ in 0..2 {
                    let (again, _) = Rig::reopened(&disk, &vast());
                    assert_eq!(again, first, "cut {cut}");
                }
                let (mut rig, _) = Rig::open(&disk, &vast()).expect("it opens");
                assert_eq!(rig.core.stats().quarantined, ranges as u64, "cut {cut}");
                assert_eq!(told(&disk), (ranges as u64, ranges as u64), "cut {cut}");
                let names = names(&disk);
                let unfinished = names.iter().any(|name| name.contains(".tmp"));
                assert!(!unfinished, "cut {cut}: {names:?}");
                for bytes in aside(&disk, ".bin") {
                    let found = memchr::memmem::find(&expected, &bytes);
                    assert!(found.is_some(), "cut {cut}: not what was damaged");
                }
            }
        }
    }
}

#[test]
fn a_disk_that_does_not_take_much_damage_leaves_it_where_it_is_and_has_it_told() {
    let ranges = RANGES_MAX + 3;
    let faults = [
        (Op::Create, ENOSPC),
        (Op::Write, ENOSPC),
        (Op::Sync, EIO),
        (Op::Rename, EIO),
        (Op::SyncFolder, EIO),
    ];
    for (op, errno) in faults {
        for nth in 0..2 {
            let files = riddled(ranges);
            let disk = Lying::holding(&files);
            fail(&disk, op, (nth, 1), errno);
            let (mut rig, recovered) = Rig::open(&disk, &vast()).expect("it opens");
            assert_eq!(recovered.report.lost(), ranges as u64);
            assert_eq!(rig.core.stats().quarantined, ranges as u64, "{op:?} {nth}");
            assert_eq!(disk.files()[FIRST], files[FIRST]);
            disk.heal();
            let (mut rig, _) = Rig::open(&disk, &vast()).expect("it opens");
            assert_eq!(rig.core.stats().quarantined, ranges as u64, "{op:?} {nth}");
            assert_eq!(told(&disk), (ranges as u64, ranges as u64), "{op:?} {nth}");
            assert_eq!(names(&disk).len(), 2, "{op:?} {nth}: {:?}", names(&disk));
        }
    }
}

#[test]
fn what_a_full_disk_has_no_room_to_copy_leaves_nothing_half_done() {
    let ranges = RANGES_MAX + 3;
    let files = riddled(ranges);
    let disk = Lying::holding(&files);
    disk.set_capacity(Some(disk.used() + 700));
    let (mut rig, _) = Rig::open(&disk, &vast()).expect("it opens");
    assert_eq!(rig.core.stats().quarantined, ranges as u64);
    assert_eq!(names(&disk), [""; 0]);
    disk.set_capacity(None);
    let (mut rig, _) = Rig::open(&disk, &vast()).expect("it opens");
    assert_eq!(rig.core.stats().quarantined, ranges as u64);
    assert_eq!(names(&disk).len(), 2);
}

#[test]
fn a_report_on_many_that_somebody_has_formatted_tells_the_same() {
    let ranges = RANGES_MAX + 10;
    let disk = Lying::holding(&riddled(ranges));
    drop(Rig::reopened(&disk, &vast()));
    let mut files = disk.files();
    for (name, bytes) in &mut files {
        if name.strip_suffix(".json").is_some() {
            *bytes = formatted(bytes);
        }
    }
    let disk = Lying::holding(&files);
    let (mut rig, _) = Rig::open(&disk, &vast()).expect("it opens");
    assert_eq!(rig.core.stats().quarantined, ranges as u64);
    assert_eq!(names(&disk).len(), 2, "nothing is kept twice");
}
