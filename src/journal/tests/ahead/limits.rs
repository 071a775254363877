//! How far it goes ahead, and what ends that.

use super::*;
use crate::journal::played::Played;

/// A journal whose thread is played, and when.
fn played() -> (Played, Journal, (Instant, u64)) {
    let at = (Instant::now(), MS);
    let opened = Played::open(&Lying::default(), &one_segment(), at);
    let (mut played, journal, _) = opened.expect("an empty disk");
    played.hurry();
    (played, journal, at)
}

#[test]
fn an_append_is_told_the_number_of_its_own_last_record() {
    let mut rig = Rig::new(&one_segment());
    rig.core.hurry();
    let send = |rig: &mut Rig, i| {
        let append = (None, vec![Entry::Effect(effect(i))]);
        rig.send(vec![append]).remove(0)
    };
    let mut first = send(&mut rig, 0);
    let _second = send(&mut rig, 1);
    rig.core.land_first(rig.now);
    let appended = first.try_recv().expect("answered").expect("recorded");
    let progress = rig.core.progress();
    assert_eq!(appended.last_seq, progress.durable);
    assert_eq!(appended.last_seq + 1, progress.written);
}

#[test]
fn all_is_waited_for_when_something_else_is_due() {
    let mut hurried = under_way(2);
    hurried.rig.pass(Duration::from_millis(20));
    hurried.append(vec![Entry::Effect(effect(2))]);
    assert!(2 <= hurried.recorded.len());
}

#[test]
fn sixteen_appends_are_under_way_at_most() {
    let mut hurried = Hurried::new(&one_segment());
    let at = hurried.rig.now;
    for i in 0..17 {
        hurried.rig.now = at;
        hurried.append(vec![Entry::Effect(effect(i))]);
    }
    assert_eq!((hurried.recorded.len(), hurried.waiting.len()), (1, 16));
}

/// An effect of half a mebibyte.
fn large(i: u64) -> Entry {
    let payload = format!("\"{}\"", "x".repeat(500 << 10));
    let operation = Operation::Publish {
        channel: "session:s1".into(),
        event: "e".into(),
        payload: Bytes::from(payload).into(),
    };
    Entry::Effect(Effect {
        operation,
        ..effect(i)
    })
}

#[test]
fn two_mebibytes_are_under_way_at_most_when_more_is_written() {
    let config = Config {
        segment_bytes_max: 16 << 20,
        bytes_max: 1 << 30,
        ..small(Sync::Always)
    };
    // The same again and again: nothing is written for it, and it is kept.
    let others: [fn(u64) -> u64; 2] = [|i| i, |_| 0];
    for other in others {
        let mut hurried = Hurried::new(&config);
        let at = hurried.rig.now;
        for i in 0..6 {
            hurried.rig.now = at;
            hurried.append(vec![large(other(i))]);
        }
        assert_eq!((hurried.recorded.len(), hurried.waiting.len()), (1, 5));
    }
}

#[test]
fn a_segment_that_is_full_is_not_written_on() {
    let mut hurried = Hurried::new(&small(Sync::Always));
    (0..60).for_each(|i| hurried.append(vec![Entry::Effect(effect(i))]));
    for (name, bytes) in hurried.rig.disk.files() {
        assert!(!name.starts_with("seg-") || bytes.len() < 2500 + 600);
    }
}

#[test]
fn a_decision_in_an_append_of_effects_waits_for_what_is_under_way() {
    let mut hurried = under_way(2);
    hurried.append(vec![Entry::Effect(effect(2)), Entry::Discard(id(0))]);
    assert_eq!(hurried.recorded.len(), 4);
}

#[test]
fn a_refusal_that_is_told_late_takes_back_no_later_one() {
    let mut rig = Rig::new(&one_segment());
    rig.core.hurry();
    let one = |rig: &mut Rig, round: u64, entries| {
        rig.pass(Duration::from_millis(1));
        rig.send(vec![(Some(Round(round)), entries)]).remove(0)
    };
    let done = |from: u64, count: u64| {
        let ids = (from..from + count).map(|at| id(at).into());
        Entry::Done(ids.collect())
    };
    let mut i = 0;
    while rig.core.health() != Health::Full {
        _ = one(&mut rig, 1, vec![Entry::Effect(effect(i))]);
        rig.core.land_first(rig.now);
        i += 1;
    }
    rig.tick();
    // There is room for some more, and these are under way.
    let known = Entry::Effect(effect(i - 1));
    let mut under_way = vec![one(&mut rig, 1, vec![known.clone(), done(0, 20)])];
    while rig.core.health() != Health::Full {
        under_way.push(one(&mut rig, 1, vec![Entry::Effect(effect(i))]));
        i += 1;
    }
    let mut earlier = one(&mut rig, 6, vec![Entry::Effect(effect(1000))]);
    let _later = one(&mut rig, 7, vec![Entry::Effect(effect(1001))]);
    let _room_again = one(&mut rig, 5, vec![known, done(20, 60)]);
    let mut heard = None;
    while heard.is_none() {
        rig.core.land_first(rig.now);
        heard = earlier.try_recv().ok();
    }
    assert!(heard.expect("answered").is_err());
    let mut behind = one(&mut rig, 7, vec![Entry::Effect(effect(1002))]);
    rig.tick();
    let answer = behind.try_recv().expect("answered");
    assert!(
        answer.is_err(),
        "it overtakes what was refused in its round"
    );
}

#[tokio::test]
async fn a_journal_that_is_closed_answers_all_that_is_under_way() {
    let (mut played, journal, at) = played();
    let send = |i| journal.try_append(vec![Entry::Effect(effect(i))]);
    let mut receipts: Vec<_> = (0..3).map(|i| send(i).expect("room")).collect();
    assert!(played.turn(at));
    receipts.push(send(3).expect("room"));
    assert!(played.turn(at));
    assert!(receipts[0].now().is_none());
    let (closed, ended) = tokio::join!(journal.close(), async { played.close(at) });
    closed.expect("closed");
    assert_eq!(ended, Some(Ok(())));
    for receipt in &mut receipts {
        assert!(receipt.now().expect("answered").is_ok());
    }
}

#[tokio::test]
async fn what_is_under_way_is_durable_before_it_is_read() {
    let (mut played, journal, at) = played();
    let mut receipt = journal
        .try_append(vec![Entry::Effect(effect(0))])
        .expect("room");
    assert!(played.turn(at));
    assert!(receipt.now().is_none());
    let (read, _) = tokio::join!(journal.read(vec![id(0)]), async { played.turn(at) });
    assert!(receipt.now().expect("answered").is_ok());
    let read = read.expect("open").remove(0);
    assert!(read.is_ok_and(|effect| effect.is_some()));
}
