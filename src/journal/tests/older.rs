//! A format before ours. There is none yet, so one is made up: it calls itself
//! version 0, and writes the number's name large.

use super::super::record::{self, Salt};
use super::super::scan::{self, OlderFormat};
use super::super::{open_older, recovery};
use super::*;

const OLDER: &[OlderFormat] = &[OlderFormat { upgrade }];

fn upgrade(line: &[u8], salt: Option<Salt>) -> Option<Vec<u8>> {
    line.starts_with(b"{\"v\":0,\"Q\":").then_some(())?;
    let mut line = line.to_vec();
    (line[5], line[8]) = (b'1', b'q');
    let salt = salt.or_else(|| record::header_salt(&line))?;
    record::frame(&line, salt).is_some().then_some(line)
}

/// These files, as they would have been written then.
fn in_version_0(mut files: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    for (name, bytes) in &mut files {
        let all = bytes.clone();
        for start in memchr::memmem::find_iter(&all, b"{\"v\":1,\"q\":\"0") {
            (bytes[start + 5], bytes[start + 8]) = (b'0', b'Q');
        }
        assert!(!name.starts_with("seg-") || *bytes != all);
    }
    files
}

/// An outbox that keeps the last four of these, and what it tells.
fn written(config: &Config, effects: Vec<Effect>) -> (BTreeMap<String, Vec<u8>>, Told) {
    let mut rig = Rig::new(config);
    let ids: Vec<EffectId> = effects.iter().map(|effect| effect.id).collect();
    for effect in effects {
        rig.commit(vec![Entry::Effect(effect)]).expect("recorded");
    }
    for id in &ids[..ids.len() - 4] {
        rig.commit(vec![Entry::Done(vec![(*id).into()])])
            .expect("recorded");
    }
    let now = rig.now;
    rig.core.close(now).expect("closed");
    (rig.disk.files(), Told::by(&rig.entries))
}

/// In several segments.
fn written_small(config: &Config) -> (BTreeMap<String, Vec<u8>>, Told) {
    let (files, told) = written(config, (0..24).map(effect).collect());
    let segments = files.keys().filter(|name| name.starts_with("seg-"));
    assert!(2 < segments.count());
    (files, told)
}

#[test]
fn a_format_before_ours_is_read_as_ours() {
    let (files, told) = written_small(&small(Sync::Always));
    let disk = Lying::holding(&in_version_0(files));
    let read = recovery::read(&disk, <_>::default(), OLDER).expect("it is read");
    assert_eq!(read.fold.live.len(), told.live.len());
    assert_eq!(read.report.damage, []);
    // Who does not know it takes it for damage.
    let unknown = recovery::read(&disk, <_>::default(), scan::OLDER).expect("it is read");
    assert_eq!(unknown.report.records, 0);
}

#[test]
fn what_is_in_a_format_before_ours_is_read_back() {
    let config = small(Sync::Always);
    let (files, told) = written_small(&config);
    let disk = Lying::holding(&in_version_0(files));
    let now = Now::told(Instant::now(), MS);
    let opened = open_older(disk.clone(), &config, now, &Reading::default(), OLDER);
    let (core, recovered) = opened.expect("it opens");
    assert_eq!(recovered.report.damage, []);
    let ids: Vec<EffectId> = told.live.iter().map(|(effect, _)| effect.id).collect();
    assert_eq!(ids.len(), 4);
    for (id, read) in ids.iter().zip(core.read(&ids)) {
        let stored = read.expect("it is there").expect("it is kept");
        assert_eq!(stored.effect.id, *id);
    }
}

/// An effect that takes some room.
fn large(i: u64) -> Effect {
    let payload = format!("{{\"i\":{i},\"x\":\"{}\"}}", "x".repeat(2000));
    let operation = Operation::Publish {
        channel: "c".into(),
        event: "e".into(),
        payload: Bytes::from(payload).into(),
    };
    Effect {
        operation,
        ..effect(i)
    }
}

#[test]
fn a_compaction_leaves_nothing_in_a_format_before_ours_and_what_is_told_stays() {
    let config = Config {
        segment_bytes_max: 1 << 20,
        bytes_max: 8 << 20,
        ..small(Sync::Always)
    };
    let (files, told) = written(&config, (0..100).map(large).collect());
    let disk = Lying::holding(&in_version_0(files));
    let mut now = Now::told(Instant::now(), MS);
    let opened = open_older(disk.clone(), &config, now, &Reading::default(), OLDER);
    let (mut core, _) = opened.expect("it opens");
    core.compact(now);
    for _ in 0..100 {
        now.at += Duration::from_millis(20);
        core.tick(now);
    }
    assert_eq!(core.stats().compactions, 1);
    core.close(now).expect("closed");
    for (name, bytes) in disk.files() {
        let older = memchr::memmem::find(&bytes, b"{\"v\":0,");
        assert_eq!(older, None, "{name}");
    }
    // So whoever does not know it can read it, too.
    let (again, recovered) = Rig::reopened(&disk, &config);
    assert_eq!(again, told);
    assert_eq!(recovered.report.damage, []);
}
