//! What is kept aside, and what a disk does not take there.

use nix::libc::{EMFILE, ENOSPC, EPERM};

use super::super::super::storage::lying::Op;
use super::super::super::storage::{QUARANTINE, Storage as _};
use super::*;

#[test]
fn what_is_damaged_where_something_else_was_before_is_kept_aside_too() {
    let mut files = Files::new();
    for (life, byte) in [(0, b'x'), (1, b'y'), (1, b'y')] {
        files.insert(FIRST.to_owned(), vec![byte; 600]);
        let disk = Lying::holding(&files);
        let now = Now::told(Instant::now(), MS + life);
        let reading = Reading::default();
        let opened = super::super::super::open_on(disk.clone(), &roomy(), now, &reading);
        assert!(opened.is_ok());
        files = disk.files();
    }
    let kept = |bytes: &[u8]| files.values().filter(|kept| *kept == bytes).count();
    assert_eq!((kept(&[b'x'; 600]), kept(&[b'y'; 600])), (1, 1));
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
    rig.now.later(16 * 60 * 1000);
    rig.core.compact(rig.now);
    idle(&mut rig, 200);
    assert!(disk.files().contains_key(FIRST), "it was not kept");
    let stats = rig.core.stats();
    assert_eq!((stats.quarantined, stats.untold), (1, 1));

    let (mut rig, _) = Rig::open(&disk, &config).expect("it opens");
    rig.now.later(16 * 60 * 1000);
    // A listing that fails ends nothing.
    fail(&disk, Op::List, (0, 20), EMFILE);
    idle(&mut rig, 200);
    disk.heal();
    idle(&mut rig, 200);
    assert!(!disk.files().contains_key(FIRST), "it was kept");
    assert_eq!(aside(&disk, ".bin").len(), 1);
    let stats = rig.core.stats();
    assert_eq!((stats.quarantined, stats.untold), (1, 0));
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
fn what_is_somebodys_stays_in_the_quarantine_whatever_it_is_called() {
    let (disk, ..) = spoiled(&roomy(), |files| files.get_mut(FIRST).unwrap()[700] ^= 1);
    let mut files = disk.files();
    let theirs = format!("{QUARANTINE}/notes.tmp");
    files.insert(theirs.clone(), b"look at byte 700".to_vec());
    let mut reports = files
        .keys()
        .filter(|name| name.strip_suffix(".json").is_some());
    let ours = format!("{}.tmp", reports.next().expect("a report"));
    files.insert(ours.clone(), b"{".to_vec());
    let disk = Lying::holding(&files);
    drop(Rig::reopened(&disk, &roomy()));
    assert!(disk.files().contains_key(&theirs));
    assert!(!disk.files().contains_key(&ours), "it was cut short");
}

#[test]
fn a_report_that_somebody_has_formatted_tells_the_same() {
    let (disk, ..) = spoiled(&roomy(), |files| files.get_mut(FIRST).unwrap()[700] ^= 1);
    let mut files = disk.files();
    for (name, bytes) in &mut files {
        if name.strip_suffix(".json").is_some() {
            *bytes = formatted(bytes);
        }
    }
    let disk = Lying::holding(&files);
    let (mut rig, _) = Rig::open(&disk, &roomy()).expect("it opens");
    assert_eq!(rig.core.stats().quarantined, 1);
    assert_eq!(aside(&disk, ".json").len(), 1, "nothing is kept twice");
}
