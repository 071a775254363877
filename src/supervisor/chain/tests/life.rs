//! Liveness, policies, and who goes with whom.

use super::super::super::sidecar::{RestartWhen, Scope};
use super::*;

const PACE: Pace = Pace {
    every: Duration::from_secs(10),
    failures: 3,
    resume_grace: Duration::from_secs(15),
};

/// One part that is ready and asked every ten seconds.
fn asked(now: Instant) -> Chain {
    let mut chain = Chain::new(
        vec![Plan {
            pace: Some(PACE),
            ..plan("web", &[])
        }],
        now,
    );
    chain.handle_ready(0, 1, now);
    drain(&mut chain);
    chain
}

fn silent() -> Result<(), String> {
    Err("no answer".to_owned())
}

/// Asks when it is time, and answers; yields when that was.
fn ask(chain: &mut Chain, answer: Result<(), String>) -> Instant {
    let now = chain.poll_timeout().unwrap();
    chain.handle_timeout(now);
    assert_eq!(actions(chain), [Action::Ask(0, 1)]);
    chain.handle_pulse(0, 1, answer, now);
    now
}

#[test]
fn a_part_that_misses_too_many_questions_in_a_row_is_restarted_for_that() {
    let now = Instant::now();
    let mut chain = asked(now);
    assert_eq!(chain.poll_timeout(), Some(now + secs(10)));
    ask(&mut chain, silent());
    ask(&mut chain, silent());
    ask(&mut chain, Ok(()));
    ask(&mut chain, silent());
    ask(&mut chain, silent());
    assert_eq!(actions(&mut chain), []);
    let now = ask(&mut chain, silent());
    assert_eq!(actions(&mut chain), [Action::Terminate(0, 1)]);
    chain.handle_end(0, 1, Ending::by_signal(15), now, 1.0);
    let (_, changes) = drain(&mut chain);
    let Change::Ended {
        ending, retry_in, ..
    } = &changes[0]
    else {
        panic!("{changes:?}");
    };
    assert_eq!(ending.to_string(), "not alive: no answer");
    assert_eq!(*retry_in, Some(Duration::from_millis(200)));
}

/// When it is time to ask, we cannot.
fn cannot_ask(chain: &mut Chain) -> Vec<Change> {
    let now = chain.poll_timeout().unwrap();
    chain.handle_timeout(now);
    assert_eq!(actions(chain), [Action::Ask(0, 1)], "it is asked again");
    chain.handle_unasked(0, 1, "too many open files".to_owned(), now);
    let (acts, changes) = drain(chain);
    assert_eq!(acts, [], "nothing is held against it");
    changes
}

fn told() -> [Change; 1] {
    let why = "too many open files".to_owned();
    [Change::Unasked { part: 0, why }]
}

#[test]
fn a_part_that_we_could_not_ask_lives_on_however_long_that_lasts() {
    let mut chain = asked(Instant::now());
    ask(&mut chain, silent());
    ask(&mut chain, silent());
    for _ in 0..100 {
        cannot_ask(&mut chain);
    }
    assert!(matches!(chain.part(0).unwrap().state, State::Ready { .. }));
    ask(&mut chain, silent());
    let missed = actions(&mut chain);
    assert_eq!(missed, [Action::Terminate(0, 1)], "nor was it an answer");
}

#[test]
fn that_a_part_cannot_be_asked_is_told_once_until_it_can_be_again() {
    let mut chain = asked(Instant::now());
    assert_eq!(cannot_ask(&mut chain), told());
    assert_eq!(cannot_ask(&mut chain), []);
    ask(&mut chain, silent());
    assert_eq!(cannot_ask(&mut chain), told());
}

#[test]
fn a_part_that_we_could_not_ask_while_it_started_has_its_time_again() {
    let now = Instant::now();
    let mut chain = Chain::new(vec![plan("web", &[])], now);
    drain(&mut chain);
    let mut changes = Vec::new();
    for at in [9, 18, 27] {
        chain.handle_unasked(0, 1, "too many open files".to_owned(), now + secs(at));
        chain.handle_timeout(now + secs(at));
        let (acts, changed) = drain(&mut chain);
        assert_eq!(acts, []);
        changes.extend(changed);
    }
    assert_eq!(chain.poll_timeout(), Some(now + secs(37)));
    assert_eq!(changes, told());
}

#[test]
fn a_part_is_asked_one_question_at_a_time() {
    let now = Instant::now();
    let mut chain = asked(now);
    chain.handle_timeout(now + secs(10));
    chain.handle_timeout(now + secs(60));
    assert_eq!(actions(&mut chain), [Action::Ask(0, 1)]);
    assert_eq!(chain.poll_timeout(), None);
}

#[test]
fn after_a_sleep_missed_answers_do_not_count_for_a_while() {
    let now = Instant::now();
    let mut chain = asked(now);
    ask(&mut chain, silent());
    let asleep = ask(&mut chain, silent());
    chain.handle_timeout(asleep + secs(10));
    assert_eq!(actions(&mut chain), [Action::Ask(0, 1)]);

    let awake = asleep + secs(3600);
    chain.handle_resume(awake);
    chain.handle_pulse(0, 1, silent(), awake + secs(1));
    assert_eq!(actions(&mut chain), [], "asked before the sleep");
    assert!(awake + secs(11) <= chain.poll_timeout().unwrap());
    for _ in 0..2 {
        ask(&mut chain, silent());
    }
    assert_eq!(actions(&mut chain), [], "counting starts over");
}

#[test]
fn after_a_sleep_a_start_has_its_time_again() {
    let now = Instant::now();
    let mut chain = chain(now);
    drain(&mut chain);
    let awake = now + secs(3600);
    chain.handle_resume(awake);
    chain.handle_timeout(awake);
    assert_eq!(actions(&mut chain), []);
    assert_eq!(chain.poll_timeout(), Some(awake + secs(10)));
}

#[test]
fn a_part_that_is_at_work_has_as_long_again_to_get_ready() {
    let now = Instant::now();
    let mut chain = chain(now);
    drain(&mut chain);
    for at in [9, 18, 27] {
        chain.handle_busy(0, 1, now + secs(at));
        chain.handle_timeout(now + secs(at));
        assert_eq!(actions(&mut chain), []);
    }
    chain.handle_busy(0, 7, now + secs(36));
    assert_eq!(chain.poll_timeout(), Some(now + secs(37)), "another life");
}

/// db ◀─after─ app ◀─after─ web, and db takes the others with it.
fn together(now: Instant) -> Chain {
    let mut db = plan("db", &[]);
    db.restart.scope = Scope::Dependents;
    let mut chain = Chain::new(vec![db, plan("app", &["db"]), plan("web", &["app"])], now);
    for part in 0..3 {
        chain.handle_ready(part, 1, now);
    }
    drain(&mut chain);
    chain
}

#[test]
fn a_part_that_takes_others_with_it_comes_back_when_they_are_gone_and_they_behind_it() {
    let mut now = Instant::now();
    let mut chain = together(now);
    chain.handle_end(0, 1, crash(), now, 1.0);
    assert_eq!(actions(&mut chain), [Action::Terminate(2, 1)]);
    chain.handle_end(2, 1, Ending::Exited(0), now, 1.0);
    assert_eq!(actions(&mut chain), [Action::Terminate(1, 1)]);
    now = chain.poll_timeout().unwrap();
    chain.handle_timeout(now);
    assert_eq!(actions(&mut chain), [], "app still runs");
    chain.handle_end(1, 1, Ending::Exited(0), now, 1.0);
    for part in 0..3 {
        assert_eq!(actions(&mut chain), [Action::Start(part, 2)]);
        chain.handle_ready(part, 2, now);
    }
    assert_eq!(chain.outlook(), Outlook::Ready);
}

#[test]
fn a_restart_asked_for_takes_dependents_with_it_only_by_policy() {
    let now = Instant::now();
    let mut chain = together(now);
    assert_eq!(chain.restart(1, now), Ok(vec![]));
    assert_eq!(actions(&mut chain), [Action::Terminate(1, 1)]);
    let mut chain = together(now);
    assert_eq!(chain.restart(0, now), Ok(vec![1, 2]));
    assert_eq!(actions(&mut chain), [Action::Terminate(2, 1)]);
}

#[test]
fn what_is_stopped_by_name_stays_so_until_it_is_restarted_by_name() {
    let now = Instant::now();
    let mut chain = together(now);
    assert_eq!(chain.stop_part(2, now), Ok(vec![]));
    assert_eq!(actions(&mut chain), [Action::Terminate(2, 1)]);
    chain.handle_end(2, 1, Ending::Exited(0), now, 1.0);
    assert_eq!(actions(&mut chain), []);
    assert_eq!(chain.outlook(), Outlook::Degraded);
    let name = "web".to_owned();
    assert_eq!(chain.stop_part(2, now), Err(Refused::NotRunning { name }));
    chain.restart(2, now).unwrap();
    assert_eq!(actions(&mut chain), [Action::Start(2, 2)]);
}

#[test]
fn a_part_that_has_finished_is_well_and_lets_those_after_it_start() {
    let now = Instant::now();
    let mut once = plan("migrate", &[]);
    once.restart.when = RestartWhen::Never;
    let mut chain = Chain::new(vec![once, plan("app", &["migrate"])], now);
    assert_eq!(actions(&mut chain), [Action::Start(0, 1)]);
    chain.handle_end(0, 1, Ending::Exited(0), now, 1.0);
    assert_eq!(actions(&mut chain), [Action::Start(1, 1)]);
    chain.handle_ready(1, 1, now);
    assert_eq!(chain.outlook(), Outlook::Ready);
    chain.stop(now);
    chain.handle_end(1, 1, Ending::Exited(0), now, 1.0);
    assert_eq!(chain.outlook(), Outlook::Stopped);
}

#[test]
fn what_does_not_depend_on_each_other_starts_and_stops_side_by_side() {
    let now = Instant::now();
    let mut chain = Chain::new(vec![plan("a", &[]), plan("b", &[]), plan("c", &["a"])], now);
    assert_eq!(
        actions(&mut chain),
        [Action::Start(0, 1), Action::Start(1, 1)]
    );
    for part in 0..3 {
        chain.handle_ready(part, 1, now);
    }
    drain(&mut chain);
    chain.stop(now);
    assert_eq!(
        actions(&mut chain),
        [Action::Terminate(2, 1), Action::Terminate(1, 1)]
    );
}

#[test]
fn beside_a_process_that_outlived_sigkill_no_second_one_is_started() {
    let now = Instant::now();
    let mut chain = together(now);
    chain.restart(2, now).unwrap();
    chain.handle_timeout(now + secs(5));
    chain.handle_timeout(now + secs(10));
    drain(&mut chain);
    assert!(matches!(chain.restart(2, now), Err(Refused::Stuck { .. })));
    assert_eq!(actions(&mut chain), []);
    chain.handle_end(2, 1, crash(), now + secs(60), 1.0);
    assert_eq!(actions(&mut chain), [Action::Start(2, 2)], "as was asked");
}

#[test]
fn a_stop_has_a_bound_however_many_hang() {
    let now = Instant::now();
    let mut chain = ready_chain(now);
    assert_eq!(chain.gone_by(), None);
    chain.stop(now);
    let gone_by = chain.gone_by().unwrap();
    assert_eq!(gone_by, now + 3 * secs(5) + LAST_PATIENCE);
    let mut at = now;
    while let Some(due) = chain.poll_timeout() {
        at = due;
        chain.handle_timeout(at);
        drain(&mut chain);
    }
    assert_eq!(chain.outlook(), Outlook::Stopped);
    assert!(at <= gone_by + 3 * KILL_PATIENCE_MIN);
    assert!(now + 3 * secs(5) <= at, "each had its grace");
}

#[test]
fn who_is_killed_at_once_is_not_waited_for_as_long_as_a_grace() {
    let now = Instant::now();
    let mut chain = ready_chain(now);
    chain.stop(now);
    chain.kill(now + secs(1));
    assert_eq!(chain.gone_by(), Some(now + secs(1) + LAST_PATIENCE));
    let waits: Vec<Wait> = chain.parts().filter_map(|(_, part)| part.wait()).collect();
    assert_eq!(waits.len(), 3);
    assert!(waits.iter().all(|wait| wait.killed == Some(now + secs(1))));
}
