//! Damaged files: what is lost, what is told, and that nothing is made up.

use std::collections::BTreeMap;

use nix::libc::{EMFILE, ENOSPC, EPERM};

use super::super::recovery;
use super::super::report::Class;
use super::super::scan;
use super::super::storage::Storage as _;
use super::super::storage::lying::Op;
use super::*;

type Files = BTreeMap<String, Vec<u8>>;

const FIRST: &str = "seg-0000000000000001.jsonl";

/// Roomy segments: one file holds it all.
fn roomy() -> Config {
    Config {
        segment_bytes_max: 1 << 20,
        bytes_max: 1 << 30,
        ..small(Sync::Always)
    }
}

/// A closed journal of these entries, one a batch, and its files.
fn closed(entries: &[Entry], config: &Config) -> Files {
    closed_on(&Lying::default(), entries, config)
}

fn closed_on(disk: &Lying, entries: &[Entry], config: &Config) -> Files {
    let (mut rig, _) = Rig::open(disk, config).expect("an empty disk");
    for entry in entries {
        rig.commit(vec![entry.clone()]).expect("recorded");
    }
    rig.core.close(rig.now).expect("closed");
    segments(&rig.disk)
}

fn segments(disk: &Lying) -> Files {
    let files = disk.files().into_iter();
    files.filter(|(name, _)| name.starts_with("seg-")).collect()
}

fn few() -> Vec<Entry> {
    let mut entries: Vec<Entry> = (0..7).map(|i| Entry::Effect(effect(i))).collect();
    entries.insert(3, Entry::Done(vec![id(0).into()]));
    entries.insert(5, Entry::Failed(id(1), letter(1)));
    entries.push(Entry::Done(vec![id(2).into(), id(3).into()]));
    entries.push(Entry::Requeue(id(1)));
    entries
}

/// Only reads, as the exhaustive tests do thousands of times.
fn read(files: &Files) -> recovery::Read {
    recovery::read(&Lying::holding(files), 0, scan::OLDER).expect("it is read")
}

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

/// Opens what `spoil` left of a closed journal of [`few`].
fn spoiled(config: &Config, spoil: impl FnOnce(&mut Files)) -> (Lying, Told, Recovered) {
    let mut files = closed(&few(), config);
    spoil(&mut files);
    let disk = Lying::holding(&files);
    let (told, recovered) = Rig::reopened(&disk, config);
    (disk, told, recovered)
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect()
}

fn classes(recovered: &Recovered) -> Vec<Class> {
    recovered
        .report
        .damage
        .iter()
        .map(|damage| damage.class)
        .collect()
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
fn a_tail_of_nothing_or_of_garbage_is_cut_and_kept_aside() {
    for tail in [
        vec![0; 5000],
        b"garbage".to_vec(),
        vec![0; 1],
        vec![b'\n'; 3],
    ] {
        let (disk, told, recovered) = spoiled(&roomy(), |files| {
            files.get_mut(FIRST).unwrap().extend_from_slice(&tail);
        });
        assert_eq!(told, Told::by(&few()));
        assert_eq!(classes(&recovered), [Class::Torn], "{tail:?}");
        assert_eq!(recovered.report.torn_bytes, tail.len() as u64);
        let kept = disk.files();
        let mut aside = kept
            .iter()
            .filter(|(name, _)| name.starts_with("quarantine/"));
        let (bin, bytes) = aside.next().expect("kept aside");
        assert_eq!(*bytes, tail, "{bin}");
        let (json, report) = aside.next().expect("with a report");
        let report: serde_json::Value = serde_json::from_slice(report).expect(json);
        assert_eq!(report["class"], "torn");
        assert_eq!(report["len"], tail.len());
    }
}

#[test]
fn a_line_written_twice_counts_once() {
    let (_, told, recovered) = spoiled(&roomy(), |files| {
        let bytes = files.get_mut(FIRST).unwrap();
        let mut lines = lines(bytes);
        lines.insert(4, lines[4].clone());
        *bytes = lines.concat();
    });
    assert_eq!(told, Told::by(&few()));
    assert_eq!(classes(&recovered), [Class::Stray]);
}

#[test]
fn of_swapped_lines_the_earlier_is_missed_and_told() {
    let (_, _, recovered) = spoiled(&roomy(), |files| {
        let bytes = files.get_mut(FIRST).unwrap();
        let mut lines = lines(bytes);
        lines.swap(4, 5);
        *bytes = lines.concat();
    });
    assert_eq!(recovered.report.lost(), 1);
    assert!(recovered.report.is_corrupt());
}

#[test]
fn a_line_that_is_gone_without_a_trace_is_missed_by_its_number() {
    let (_, _, recovered) = spoiled(&roomy(), |files| {
        let bytes = files.get_mut(FIRST).unwrap();
        let mut lines = lines(bytes);
        lines.remove(4);
        *bytes = lines.concat();
    });
    let damage = &recovered.report.damage[0];
    assert_eq!((damage.missing, damage.len), (Some((5, 5)), 0));
    assert!(recovered.report.is_corrupt());
}

#[test]
fn a_missing_segment_is_missed_and_the_others_count() {
    let config = Config {
        segment_bytes_max: 600,
        bytes_max: 1 << 30,
        ..small(Sync::Always)
    };
    let names: Vec<String> = closed(&few(), &config).into_keys().collect();
    assert!(names.len() > 3);
    let spoils: [fn(&mut Files, &str); 3] = [
        |files, name| _ = files.remove(name),
        |files, name| files.get_mut(name).unwrap().clear(),
        |files, name| files.get_mut(name).unwrap().truncate(100),
    ];
    for spoil in spoils {
        let (_, _, recovered) = spoiled(&config, |files| spoil(files, &names[1]));
        assert!(recovered.report.is_corrupt());
        assert!(recovered.report.lost() > 2, "{:?}", recovered.report);
        let (_, told, recovered) = spoiled(&config, |files| {
            let last = names.last().unwrap();
            spoil(files, last);
        });
        // Nobody can tell an end that is gone from one that never was, but for
        // what is left of it.
        let is_left = names.last()
            == recovered
                .report
                .damage
                .last()
                .map(|d| String::from(&*d.seg))
                .as_ref();
        assert_eq!(
            recovered.report.is_corrupt(),
            is_left,
            "{:?}",
            recovered.report
        );
        assert!(beginning(&told, &few(), 1).is_some());
    }
}

#[test]
fn a_segment_whose_headers_are_lost_is_read_all_the_same() {
    for (at, sectors) in [(0, 1), (0, 2)] {
        let (_, told, recovered) = spoiled(&roomy(), |files| {
            files.get_mut(FIRST).unwrap()[at..512 * sectors].fill(0);
        });
        let lost = recovered.report.lost();
        assert!(recovered.report.is_corrupt(), "{:?}", recovered.report);
        assert!((2..8).contains(&lost), "{:?}", recovered.report);
        // What is left follows on what is lost.
        assert!(told.live.iter().any(|(effect, _)| effect.id == id(6)));
        assert_eq!(recovered.report.torn_bytes, 0);
    }
}

#[test]
fn what_cannot_be_read_at_all_is_no_torn_end_and_is_kept_aside() {
    let spoils: [fn(&mut Vec<u8>); 3] = [
        |bytes| bytes.fill(0),
        |bytes| bytes.clear(),
        |bytes| *bytes = String::from_utf8_lossy(bytes).replace('\n', "\r\n").into(),
    ];
    for spoil in spoils {
        let (disk, told, recovered) = spoiled(&roomy(), |files| {
            spoil(files.get_mut(FIRST).unwrap());
        });
        assert!(recovered.report.is_corrupt(), "{:?}", recovered.report);
        assert_eq!(recovered.report.torn_bytes, 0);
        assert_eq!(told.live, []);
        let is_told =
            |name: &String| name.starts_with("quarantine/") && name.strip_suffix(".json").is_some();
        assert_eq!(disk.files().keys().filter(|name| is_told(name)).count(), 1);
        // What was lost is told again, and everything else goes on.
        let (mut rig, _) = Rig::open(&disk, &roomy()).expect("it opens");
        assert_eq!(rig.core.stats().quarantined, 1);
        rig.commit(vec![Entry::Effect(effect(50))])
            .expect("recorded");
    }
}

#[test]
fn what_is_damaged_where_something_else_was_before_is_kept_aside_too() {
    let mut files = Files::new();
    for (life, byte) in [(0, b'x'), (1, b'y'), (1, b'y')] {
        files.insert(FIRST.to_owned(), vec![byte; 600]);
        let disk = Lying::holding(&files);
        let now = Now {
            at: Instant::now(),
            ms: MS + life,
        };
        let reading = Reading::default();
        let opened = super::super::open_on(disk.clone(), &roomy(), now, &reading);
        assert!(opened.is_ok());
        files = disk.files();
    }
    let kept = |bytes: &[u8]| files.values().filter(|kept| *kept == bytes).count();
    assert_eq!((kept(&[b'x'; 600]), kept(&[b'y'; 600])), (1, 1));
}

#[test]
fn a_whole_record_that_is_not_known_is_refused_and_nothing_is_touched() {
    let spoils: [fn(&mut Vec<u8>); 2] = [
        |line| line[35] = b'Q',
        |line| {
            let at = line.len() - 16;
            line.splice(at..at, *b",\"zz\":1");
        },
    ];
    for spoil in spoils {
        let mut files = closed(&few(), &roomy());
        let bytes = files.get_mut(FIRST).unwrap();
        let mut lines = lines(bytes);
        let salt = std::str::from_utf8(&lines[0][90..106]).unwrap();
        let salt = super::super::record::Salt::new(u64::from_str_radix(salt, 16).unwrap());
        let q = lines.len() as u64 + 1;
        let mut later = lines.last().unwrap().clone();
        later.pop();
        spoil(&mut later);
        super::super::record::restamp(&mut later, salt, q);
        later.push(b'\n');
        lines.push(later);
        *bytes = lines.concat();
        let disk = Lying::holding(&files);
        let refused = Rig::open(&disk, &roomy()).err();
        assert!(
            matches!(refused, Some(OpenError::UnknownRecord { .. })),
            "{refused:?}"
        );
        assert_eq!(disk.files(), files);
    }
}

#[test]
fn a_segment_of_another_journal_is_not_believed() {
    let config = Config {
        segment_bytes_max: 600,
        bytes_max: 1 << 30,
        ..small(Sync::Always)
    };
    let foreign = closed_on(&Lying::with_ids_from(1000), &few(), &config);
    let names: Vec<&String> = foreign.keys().collect();
    let (_, _, recovered) = spoiled(&config, |files| {
        *files.get_mut(names[2]).unwrap() = foreign[names[2]].clone();
    });
    assert!(recovered.report.is_corrupt(), "{:?}", recovered.report);
    // A lone record of it is no record here.
    let line = lines(&foreign[FIRST])[2].clone();
    let (_, told, _) = spoiled(&roomy(), |files| {
        files.get_mut(FIRST).unwrap().extend_from_slice(&line);
    });
    assert_eq!(told, Told::by(&few()));
}

/// A journal of [`few`] whose end was never synced.
fn unsynced() -> (Config, Files) {
    let config = Config {
        sync: Sync::Interval(Duration::from_secs(3600)),
        ..roomy()
    };
    let mut rig = Rig::new(&config);
    for entry in few() {
        rig.commit(vec![entry]).expect("written");
    }
    let files = segments(&rig.disk);
    (config, files)
}

/// What the quarantine holds, by the ends of the names.
fn aside(disk: &Lying, kind: &str) -> Vec<Vec<u8>> {
    let files = disk.files().into_iter();
    let aside = files.filter(|(name, _)| name.starts_with("quarantine/") && name.ends_with(kind));
    aside.map(|(_, bytes)| bytes).collect()
}

#[test]
fn what_cannot_be_read_and_not_be_copied_is_moved_aside_and_is_in_nobodys_way() {
    let mut files = closed(&few(), &roomy());
    files.get_mut(FIRST).unwrap().fill(0);
    let disk = Lying::holding(&files);
    disk.set_capacity(Some(disk.used() + 1500));
    let (mut rig, _) = Rig::open(&disk, &roomy()).expect("it opens");
    rig.commit(vec![Entry::Effect(effect(50))])
        .expect("recorded");
    assert_eq!(rig.core.stats().quarantined, 1);
    assert_eq!(aside(&disk, ".jsonl"), [files[FIRST].clone()]);
    assert!(aside(&disk, ".bin").is_empty(), "no half of a copy");
    disk.set_capacity(None);
    let (mut rig, recovered) = Rig::open(&disk, &roomy()).expect("it opens");
    assert_eq!(recovered.live.len(), 1);
    assert_eq!(rig.core.stats().quarantined, 1);
}

#[test]
fn what_cannot_be_read_nor_copied_nor_moved_is_in_nobodys_way_either() {
    let spoils: [fn(&mut Vec<u8>); 2] = [|bytes| bytes.fill(0), |bytes| bytes.clear()];
    for spoil in spoils {
        let (config, files) = unsynced();
        let disk = Lying::holding(&files);
        drop(Rig::reopened(&disk, &config));
        let mut files = segments(&disk);
        spoil(files.last_entry().unwrap().get_mut());
        let disk = Lying::holding(&files);
        fail(&disk, Op::Create, (0, 1), ENOSPC);
        fail(&disk, Op::Rename, (0, 1), EPERM);
        let (mut rig, _) = Rig::open(&disk, &config).expect("it opens");
        rig.commit(vec![Entry::Effect(effect(50))])
            .expect("recorded");
        assert_eq!(rig.core.stats().quarantined, 1);
        let mut entries = few();
        entries.push(Entry::Effect(effect(50)));
        for _ in 0..2 {
            let (told, recovered) = Rig::reopened(&disk, &config);
            assert_eq!(told, Told::by(&entries), "{:?}", recovered.report);
            assert_eq!(classes(&recovered), [Class::Corrupt]);
            assert_eq!(aside(&disk, ".json").len(), 1);
        }
    }
}

#[test]
fn damage_that_could_not_be_kept_aside_stays_and_is_told_until_it_is() {
    let config = small(Sync::Always);
    let entries: Vec<Entry> = (0..20).map(|i| Entry::Effect(effect(i))).collect();
    let mut files = closed(&entries, &config);
    assert!(2 < files.len());
    files.get_mut(FIRST).unwrap()[700] ^= 1;
    let disk = Lying::holding(&files);
    fail(&disk, Op::Create, (0, 1), ENOSPC);
    let (mut rig, recovered) = Rig::open(&disk, &config).expect("it opens");
    assert!(recovered.report.is_corrupt());
    for i in 0..20 {
        rig.commit(vec![Entry::Done(vec![id(i).into()])])
            .expect("recorded");
    }
    rig.now.ms += 16 * 60 * 1000;
    rig.core.compact(rig.now);
    idle(&mut rig, 200);
    assert!(disk.files().contains_key(FIRST), "it was not kept");
    assert_eq!(rig.core.stats().quarantined, 1);

    let (mut rig, _) = Rig::open(&disk, &config).expect("it opens");
    rig.now.ms += 16 * 60 * 1000;
    // A listing that fails ends nothing.
    fail(&disk, Op::List, (0, 20), EMFILE);
    idle(&mut rig, 200);
    disk.heal();
    idle(&mut rig, 200);
    assert!(!disk.files().contains_key(FIRST), "it was kept");
    assert_eq!(aside(&disk, ".bin").len(), 1);
    assert_eq!(rig.core.stats().quarantined, 1);
}

#[test]
fn what_tells_of_losses_is_read_again_only_when_something_changed_there() {
    let mut files = closed(&few(), &roomy());
    let bytes = files.get_mut(FIRST).unwrap();
    bytes[700] ^= 1;
    bytes.extend_from_slice(b"torn");
    let disk = Lying::holding(&files);
    let (mut rig, _) = Rig::open(&disk, &roomy()).expect("it opens");
    assert_eq!(aside(&disk, ".json").len(), 2);
    // What cannot be read would count as a loss.
    fail(&disk, Op::Open, (0, u64::MAX), EMFILE);
    for _ in 0..3 {
        rig.pass(Duration::from_secs(2));
        rig.tick();
        assert_eq!(rig.core.stats().quarantined, 1);
    }
    disk.heal();
    let names = disk.files().into_keys();
    let mut told = names.filter(|name| name.starts_with("quarantine/") && name.ends_with("json"));
    told.try_for_each(|name| disk.remove(&name)).expect("there");
    rig.pass(Duration::from_secs(2));
    rig.tick();
    assert_eq!(rig.core.stats().quarantined, 0);
}

#[test]
fn a_hole_in_what_reads_as_one_line_ends_the_log_there_too() {
    let (config, mut files) = unsynced();
    let bytes = files.get_mut(FIRST).unwrap();
    let mut lines = lines(bytes);
    // The eighth entry's LF is damaged, and the hole goes from the next one's to
    // where the one after that begins.
    *lines[9].last_mut().unwrap() = b'?';
    lines[10].pop();
    lines[10].extend_from_slice(&[0; 20]);
    *bytes = lines.concat();
    let disk = Lying::holding(&files);
    let (told, recovered) = Rig::reopened(&disk, &config);
    assert_eq!(told, Told::by(&few()[..8]));
    assert_eq!(classes(&recovered), [Class::Torn]);
    assert_eq!(Rig::reopened(&disk, &config).0, told);
}

#[test]
fn what_was_written_again_counts_where_it_was_first_if_the_second_cannot_be_read() {
    let spoils: [fn(&mut Vec<u8>); 3] = [
        |bytes| bytes.fill(0),
        |bytes| bytes.clear(),
        |bytes| bytes.truncate(100),
    ];
    for spoil in spoils {
        for starts in 1..3 {
            let (config, files) = unsynced();
            let disk = Lying::holding(&files);
            (0..starts).for_each(|_| drop(Rig::reopened(&disk, &config)));
            let mut files = segments(&disk);
            assert_eq!(files.len(), starts + 1);
            let mut last = files.last_entry().unwrap();
            let name = last.key().clone();
            spoil(last.get_mut());
            let disk = Lying::holding(&files);
            let (told, recovered) = Rig::reopened(&disk, &config);
            assert_eq!(told, Told::by(&few()), "{:?}", recovered.report);
            assert_eq!(classes(&recovered), [Class::Corrupt]);
            assert_eq!(*recovered.report.damage[0].seg, *name);
            let (again, recovered) = Rig::reopened(&disk, &config);
            assert_eq!(again, told, "{:?}", recovered.report);
            assert!(!recovered.report.is_corrupt(), "{:?}", recovered.report);
        }
    }
}

#[test]
fn a_hole_among_what_was_never_synced_ends_the_log_there() {
    let (config, mut files) = unsynced();
    let bytes = files.get_mut(FIRST).unwrap();
    let ends: Vec<usize> = memchr::memchr_iter(b'\n', bytes).collect();
    // The ninth entry's bytes were never written out; what follows it was.
    bytes[ends[9] + 1..ends[10]].fill(0);
    let (told, recovered) = Rig::reopened(&Lying::holding(&files), &config);
    assert_eq!(told, Told::by(&few()[..8]));
    assert_eq!(classes(&recovered), [Class::Torn]);
}

#[test]
fn what_tells_a_salt_that_no_header_tells_is_not_cut_off() {
    let (config, mut files) = unsynced();
    let bytes = files.get_mut(FIRST).unwrap();
    let mut lines = lines(bytes);
    // One record is left before a hole, and one behind it.
    lines.truncate(5);
    for (line, byte) in [(0, b'x'), (1, b'x'), (3, 0)] {
        let end = lines[line].len() - 1;
        lines[line][..end].fill(byte);
    }
    *bytes = lines.concat();
    let disk = Lying::holding(&files);
    for _ in 0..3 {
        let (told, recovered) = Rig::reopened(&disk, &config);
        assert_eq!(told, Told::by(&few()[..1]), "{:?}", recovered.report);
    }
}

#[test]
fn a_record_of_a_later_version_is_refused_and_nothing_is_touched() {
    let mut files = closed(&few(), &roomy());
    let bytes = files.get_mut(FIRST).unwrap();
    let mut lines = lines(bytes);
    let salt = lines[0][90..106].to_vec();
    let salt = u64::from_str_radix(std::str::from_utf8(&salt).unwrap(), 16).unwrap();
    let mut later = lines[4].clone();
    later.pop();
    later[5] = b'2';
    super::super::record::restamp(&mut later, super::super::record::Salt::new(salt), 5);
    later.push(b'\n');
    lines[4] = later;
    *bytes = lines.concat();
    let disk = Lying::holding(&files);
    let refused = Rig::open(&disk, &roomy()).err();
    assert!(
        matches!(refused, Some(OpenError::NewerVersion { version: 2, .. })),
        "{refused:?}"
    );
    assert_eq!(disk.files(), files);
    // A flipped digit is damage, not a version.
    files.get_mut(FIRST).unwrap()[5] = b'3';
    assert!(matches!(
        Rig::open(&Lying::holding(&files), &roomy()),
        Err(OpenError::NewerVersion { version: 2, .. })
    ));
}

#[test]
fn a_torn_end_is_cut_off_and_not_found_again() {
    let mut files = closed(&few(), &roomy());
    let bytes = files.get_mut(FIRST).unwrap();
    let whole = bytes.len();
    bytes.extend_from_slice(b"{\"v\":1,\"q\":\"00");
    let disk = Lying::holding(&files);
    let (_, recovered) = Rig::reopened(&disk, &roomy());
    assert_ne!(recovered.report.torn_bytes, 0);
    assert_eq!(disk.files()[FIRST].len(), whole);
    let (_, recovered) = Rig::reopened(&disk, &roomy());
    assert_eq!(recovered.report.damage, []);
}
