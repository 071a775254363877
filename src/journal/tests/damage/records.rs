//! Lines that stand where they do not belong, and records we do not know.

use super::super::super::record::{Salt, restamp};
use super::*;

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
        let salt = Salt::new(u64::from_str_radix(salt, 16).unwrap());
        let q = lines.len() as u64 + 1;
        let mut later = lines.last().unwrap().clone();
        later.pop();
        spoil(&mut later);
        restamp(&mut later, salt, q);
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
    restamp(&mut later, Salt::new(salt), 5);
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
fn a_record_that_has_the_number_of_a_lost_header_counts_no_more_at_the_next_start() {
    let (config, mut files) = unsynced();
    let other = closed(&[Entry::Effect(effect(50))], &roomy());
    let mut stray = lines(&other[FIRST])[2].clone();
    let bytes = files.get_mut(FIRST).unwrap();
    let mut lines = lines(bytes);
    let salt = std::str::from_utf8(&lines[0][90..106]).unwrap();
    let salt = Salt::new(u64::from_str_radix(salt, 16).unwrap());
    stray.pop();
    restamp(&mut stray, salt, 1);
    stray.push(b'\n');
    lines.push(stray);
    for header in &mut lines[..2] {
        let end = header.len() - 1;
        header[..end].fill(b'x');
    }
    *bytes = lines.concat();
    let disk = Lying::holding(&files);
    let (told, _) = Rig::reopened(&disk, &config);
    for _ in 0..2 {
        let (again, recovered) = Rig::reopened(&disk, &config);
        assert_eq!(again, told, "{:?}", recovered.report);
    }
}

#[test]
fn what_comes_behind_damage_comes_behind_it_also_after_the_next_start() {
    for lost in 0..8 {
        let config = Config {
            sync: Sync::Interval(Duration::from_secs(3600)),
            ..roomy()
        };
        let mut rig = Rig::new(&config);
        for i in 0..12 {
            rig.commit(vec![Entry::Effect(effect(i))]).expect("written");
        }
        let mut files = segments(&rig.disk);
        let bytes = files.get_mut(FIRST).unwrap();
        let mut lines = lines(bytes);
        for line in &mut lines[4..4 + lost] {
            let end = line.len() - 1;
            line[..end].fill(b'x');
        }
        *bytes = lines.concat();
        let disk = Lying::holding(&files);
        let (mut rig, _) = Rig::open(&disk, &config).expect("opens");
        for i in 20..23 {
            rig.commit(vec![Entry::Effect(effect(i))]).expect("written");
        }
        drop(rig);
        let (_, recovered) = Rig::reopened(&disk, &config);
        let order: Vec<_> = recovered.live.iter().map(|live| live.id).collect();
        let mut sorted = order.clone();
        sorted.sort();
        assert_eq!(order, sorted, "{lost} lost");
        assert_eq!(order.len(), 15 - lost);
    }
}
