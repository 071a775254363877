//! Ends that are torn, and holes.

use super::*;

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
