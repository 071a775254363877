//! What is told of damage, and for how long.

use super::super::super::storage::Storage as _;
use super::*;

/// Opens it so many milliseconds later than the others.
fn open_later(disk: &Lying, config: &Config, ms: u64) -> (Core<Lying>, Recovered) {
    let now = Now {
        at: Instant::now(),
        ms: MS + ms,
    };
    let opened = super::super::super::open_on(disk.clone(), config, now, &Reading::default());
    opened.expect("it opens")
}

fn why(health: Health) -> Box<str> {
    match health {
        Health::Degraded { why } => why,
        other => panic!("{other:?}"),
    }
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
