//! What is told of damage, and for how long.

use nix::libc::EPERM;

use super::super::super::storage::Storage as _;
use super::super::super::storage::lying::Op;
use super::many::{riddled, vast};
use super::*;

/// Opens it so many milliseconds later than the others.
fn open_later(disk: &Lying, config: &Config, ms: u64) -> (Core<Lying>, Recovered) {
    let now = Now::told(Instant::now(), MS + ms);
    let opened = super::super::super::open_on(disk.clone(), config, now, &Reading::default());
    opened.expect("it opens")
}

fn why(health: Health) -> Box<str> {
    match health {
        Health::Degraded { why } => why,
        other => panic!("{other:?}"),
    }
}

/// Removes everything that tells of a loss.
fn clear_away(disk: &Lying) {
    let files = disk.files().into_keys();
    let mut told = files.filter(|name| name.starts_with("quarantine/"));
    told.try_for_each(|name| disk.remove(&name)).expect("there");
}

fn many_segments(config: &Config) -> Files {
    let entries: Vec<Entry> = (0..20).map(|i| Entry::Effect(effect(i))).collect();
    let files = closed(&entries, config);
    assert!(2 < files.len());
    files
}

#[test]
fn what_was_kept_aside_when_nothing_was_lost_is_told_of_once_something_is() {
    let config = small(Sync::Always);
    let mut files = many_segments(&config);
    files.get_mut(FIRST).unwrap().extend_from_slice(b"stray");
    let second = files.keys().nth(1).expect("there").clone();
    let disk = Lying::holding(&files);
    let (mut core, recovered) = open_later(&disk, &config, 0);
    assert_eq!(classes(&recovered), [Class::Stray]);
    assert_eq!(core.stats().quarantined, 0);
    disk.remove(&second).expect("there");
    for life in 1..3 {
        let (mut core, recovered) = open_later(&disk, &config, life);
        assert_eq!(classes(&recovered), [Class::Corrupt]);
        assert_eq!(core.stats().quarantined, 1);
        assert!(why(core.health()).contains("damaged"));
        assert_eq!(aside(&disk, ".json").len(), 2, "nothing is told twice");
    }
}

#[test]
fn damage_of_which_nothing_is_counted_is_told_all_the_same() {
    let ranges = 17;
    let disk = Lying::holding(&riddled(ranges));
    drop(Rig::open(&disk, &vast()).expect("it opens"));
    let mut files = disk.files();
    let report = files.iter_mut().find(|(name, _)| name.contains(".json"));
    let report = report.expect("one").1;
    let text = String::from_utf8(report.clone()).expect("text");
    let counted = format!("\"losses\":{ranges}");
    assert!(text.contains(&counted));
    *report = text.replace(&counted, "\"losses\":0").into_bytes();
    let (mut rig, _) = Rig::open(&Lying::holding(&files), &vast()).expect("it opens");
    assert_eq!(rig.core.stats().quarantined, 0);
    rig.pass(Duration::from_secs(2));
    rig.tick();
    assert!(why(rig.core.health()).contains("damaged"));
}

#[test]
fn that_a_file_is_not_read_is_told_also_when_what_tells_of_losses_was_removed() {
    let mut files = closed(&few(), &roomy());
    files.get_mut(FIRST).unwrap()[700] ^= 1;
    files.insert("seg-4.jsonl".to_owned(), Vec::new());
    let disk = Lying::holding(&files);
    let (mut rig, _) = Rig::open(&disk, &roomy()).expect("it opens");
    let told = why(rig.core.health());
    assert!(told.contains("damaged") && told.contains("seg-4.jsonl is not read"));
    clear_away(&disk);
    rig.pass(Duration::from_secs(2));
    rig.tick();
    let told = why(rig.core.health());
    assert!(!told.contains("damaged") && told.contains("seg-4.jsonl is not read"));
}

#[test]
fn a_disk_that_refuses_repairs_is_told_of_where_records_are_lost_too() {
    let config = small(Sync::Always);
    let mut files = many_segments(&config);
    files.get_mut(FIRST).unwrap()[700] ^= 1;
    let mut last = files.last_entry().expect("there");
    last.get_mut().extend_from_slice(b"torn");
    let disk = Lying::holding(&files);
    fail(&disk, Op::Truncate, (0, 1), EPERM);
    let (mut rig, recovered) = Rig::open(&disk, &config).expect("it opens");
    assert!(recovered.report.is_corrupt());
    let told = why(rig.core.health());
    assert!(told.contains("damaged") && told.contains("refuses repairs"));
    assert!(rig.core.stats().last_error.is_some());
    clear_away(&disk);
    rig.pass(Duration::from_secs(2));
    rig.tick();
    let told = why(rig.core.health());
    assert!(!told.contains("damaged") && told.contains("refuses repairs"));
}
