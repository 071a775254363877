//! What goes wrong while syncs are under way, and who does it.

use super::super::super::storage::{Home, Storage as _, StoredFile as _};
use super::super::super::writer;
use super::super::super::{ends, open_on};
use super::*;

fn segment_of(hurried: &Hurried) -> String {
    let files = hurried.rig.disk.files();
    let newest = files.keys().rfind(|name| name.starts_with("seg-"));
    newest.expect("a segment").clone()
}

fn remove_segment(hurried: &Hurried) {
    let name = segment_of(hurried);
    hurried.rig.disk.remove(&name).expect("removed");
}

/// Whatever a power cut leaves has all that was answered.
fn check_cuts(hurried: &Hurried) {
    for dice in 0..16 {
        let disk = hurried.rig.disk.after_power_cut(&mut Dice(dice));
        let (told, _) = Rig::reopened(&disk, &hurried.rig.config);
        assert_eq!(told, Told::by(&hurried.recorded));
    }
}

/// The directory is moved while two of three are under way.
fn moved() -> Hurried {
    let mut hurried = under_way(3);
    hurried.land();
    hurried.rig.disk.set_away(true);
    hurried.land();
    assert_eq!((hurried.recorded.len(), hurried.refused), (1, 2));
    hurried.rig.disk.set_away(false);
    hurried
}

#[test]
fn what_is_under_way_in_a_directory_that_is_moved_is_refused_and_does_not_come_back() {
    let mut hurried = moved();
    hurried.tick();
    hurried.append(vec![Entry::Effect(effect(9))]);
    hurried.tick();
    let (told, recovered) = hurried.reopened();
    assert_eq!(told, Told::by(&hurried.recorded));
    assert!(!recovered.report.is_corrupt(), "{:?}", recovered.report);
}

#[test]
fn what_was_refused_for_a_moved_directory_does_not_come_back_to_the_next_life_either() {
    let hurried = moved();
    // The program ends before it finds that the directory is back.
    let (told, _) = hurried.reopened();
    assert_eq!(told, Told::by(&hurried.recorded));
}

#[test]
fn an_effect_that_is_known_costs_nothing_that_was_answered_before_it() {
    let mut hurried = Hurried::new(&one_segment());
    hurried.append(vec![Entry::Effect(effect(0))]);
    // Nothing is written for it.
    hurried.append(vec![Entry::Effect(effect(0))]);
    hurried.append(vec![Entry::Effect(effect(1))]);
    hurried.land();
    assert_eq!((hurried.recorded.len(), hurried.waiting.len()), (1, 2));
    hurried.rig.disk.set_away(true);
    hurried.land();
    assert_eq!((hurried.recorded.len(), hurried.refused), (1, 2));
    hurried.rig.disk.set_away(false);
    hurried.tick();
    let (told, recovered) = hurried.reopened();
    assert_eq!(told, Told::by(&hurried.recorded));
    assert!(!recovered.report.is_corrupt(), "{:?}", recovered.report);
}

#[test]
fn what_is_under_way_in_a_segment_that_is_removed_is_written_again() {
    let mut hurried = under_way(3);
    hurried.land();
    remove_segment(&hurried);
    hurried.land();
    assert_eq!((hurried.recorded.len(), hurried.refused), (3, 0));
    let (told, _) = hurried.reopened();
    assert_eq!(told, Told::by(&hurried.recorded));
}

#[test]
fn a_segment_that_is_cut_while_syncs_are_under_way_loses_nothing_that_is_answered() {
    let mut hurried = under_way(1);
    let mut file = hurried.rig.disk.open_to_change(&segment_of(&hurried));
    file.as_mut().expect("there").truncate(100).expect("cut");
    // The next write would make it as long as before.
    hurried.append(vec![Entry::Effect(effect(1))]);
    while !hurried.waiting.is_empty() {
        hurried.land();
    }
    let (told, recovered) = hurried.reopened();
    assert_eq!(told, Told::by(&hurried.recorded), "{:?}", recovered.report);
}

#[test]
fn no_answer_of_a_sync_is_taken_for_that_of_a_later_append() {
    let mut hurried = under_way(3);
    remove_segment(&hurried);
    hurried.land();
    assert_eq!(hurried.recorded.len(), 3);
    let before = hurried.rig.disk.calls(Op::Sync);
    hurried.append(vec![Entry::Effect(effect(9))]);
    hurried.land();
    assert_eq!(hurried.recorded.len(), 4);
    assert_eq!(hurried.rig.disk.calls(Op::Sync), before + 1);
    check_cuts(&hurried);
}

#[test]
fn a_file_is_not_synced_again_once_any_sync_of_what_is_under_way_has_failed() {
    let mut hurried = under_way(3);
    remove_segment(&hurried);
    fail(&hurried.rig.disk, Op::Sync, (1, 1), EIO);
    hurried.land();
    assert_eq!((hurried.recorded.len(), hurried.refused), (3, 0));
    assert_eq!(hurried.rig.core.stats().poisoned, 1);
    let (told, _) = hurried.reopened();
    assert_eq!(told, Told::by(&hurried.recorded));
}

#[test]
fn what_no_other_thread_can_sync_is_synced_in_place_with_all_that_is_under_way() {
    let mut hurried = under_way(2);
    fail(&hurried.rig.disk, Op::LaterSync, (0, 1), EMFILE);
    hurried.append(vec![Entry::Effect(effect(2))]);
    assert_eq!(hurried.recorded.len(), 3);
    check_cuts(&hurried);
    // What was asked of it before is no answer to this.
    hurried.append(vec![Entry::Effect(effect(3))]);
    hurried.land();
    assert_eq!(hurried.recorded.len(), 4);
    check_cuts(&hurried);
}

#[test]
fn a_sync_that_fails_in_its_thread_is_no_word_about_the_next_segment() {
    let mut hurried = Hurried::new(&one_segment());
    hurried.rig.core.hurry_beside_a_thread();
    fail(&hurried.rig.disk, Op::Sync, (0, 1), EIO);
    for i in 0..10 {
        hurried.append(vec![Entry::Effect(effect(i))]);
        hurried.land();
    }
    assert_eq!((hurried.recorded.len(), hurried.refused), (10, 0));
    assert_eq!(hurried.rig.core.stats().poisoned, 1);
    check_cuts(&hurried);
}

#[tokio::test]
async fn nobody_waits_for_a_thread_that_is_gone() {
    let opened = open_on(
        Lying::default(),
        &one_segment(),
        Now::read(),
        &Reading::default(),
    );
    let (mut core, _) = opened.expect("an empty disk");
    core.hurry_without(true);
    let (ends, journal) = ends(&mut core, Home::default(), None);
    // They are there before it looks, so that it is in a hurry.
    let send = |i| journal.try_append(vec![Entry::Effect(effect(i))]);
    let receipts: Vec<_> = (0..50).map(|i| send(i).expect("room")).collect();
    let (_, poisoned) = tokio::join!(
        tokio::task::spawn_blocking(|| writer::run(core, ends)),
        async {
            for receipt in receipts {
                let answer = tokio::time::timeout(Duration::from_secs(10), receipt).await;
                answer.expect("an answer").expect("recorded");
            }
            // What it counts is told a moment after the answers.
            journal.close().await.expect("closed");
            journal.stats().poisoned
        }
    );
    assert_eq!(poisoned, 1);
}

#[test]
fn a_thread_that_is_gone_costs_one_segment() {
    let mut hurried = Hurried::new(&one_segment());
    hurried.rig.core.hurry_without(true);
    for i in 0..30 {
        hurried.append(vec![Entry::Effect(effect(i))]);
        hurried.tick();
    }
    assert_eq!((hurried.recorded.len(), hurried.refused), (30, 0));
    assert!(hurried.rig.core.stats().poisoned <= 1);
}

#[test]
fn without_a_thread_appends_that_come_together_share_a_sync() {
    let mut rig = Rig::new(&one_segment());
    rig.core.hurry_without(false);
    let before = rig.disk.calls(Op::Sync);
    let appends = (0..20).map(|i| (None, vec![Entry::Effect(effect(i))]));
    rig.commit_together(appends.collect());
    assert_eq!(rig.disk.calls(Op::Sync) - before, 1);
}
