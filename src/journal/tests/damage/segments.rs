//! Segments that are missing, or unreadable as a whole.

use super::*;

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
