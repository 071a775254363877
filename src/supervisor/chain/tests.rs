mod life;
mod model;
mod optional;
mod own_word;
mod reload;

use super::super::sidecar::RestartPolicy;
use super::*;

const BROKER: PartId = 0;
const TRANSPORT: PartId = 1;
const FALCO: PartId = 2;

fn plan(name: &str, after: &[&str]) -> Plan {
    Plan {
        name: name.into(),
        after: after.iter().map(|&name| name.into()).collect(),
        ready_within: Duration::from_secs(10),
        stop_grace: Duration::from_secs(5),
        restart: RestartPolicy::default(),
        pace: None,
        required: true,
    }
}

/// broker ◀─after─ transport ◀─after─ falco
fn chain(now: Instant) -> Chain {
    let plans = vec![
        plan("broker", &[]),
        plan("transport", &["broker"]),
        plan("falco", &["transport"]),
    ];
    Chain::new(plans, now)
}

fn ready_chain(now: Instant) -> Chain {
    let mut chain = chain(now);
    for part in [BROKER, TRANSPORT, FALCO] {
        chain.handle_ready(part, 1, now);
    }
    drain(&mut chain);
    chain
}

fn drain(chain: &mut Chain) -> (Vec<Action>, Vec<Change>) {
    let actions = std::iter::from_fn(|| chain.poll_action()).collect();
    let changes = std::iter::from_fn(|| chain.poll_change()).collect();
    (actions, changes)
}

fn actions(chain: &mut Chain) -> Vec<Action> {
    drain(chain).0
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn crash() -> Ending {
    Ending::by_signal(9)
}

#[test]
fn a_part_starts_when_the_parts_before_it_are_ready() {
    let now = Instant::now();
    let mut chain = chain(now);
    assert_eq!(actions(&mut chain), [Action::Start(BROKER, 1)]);
    chain.handle_ready(BROKER, 1, now);
    assert_eq!(actions(&mut chain), [Action::Start(TRANSPORT, 1)]);
    chain.handle_ready(TRANSPORT, 1, now);
    assert_eq!(actions(&mut chain), [Action::Start(FALCO, 1)]);
    assert_eq!(chain.outlook(), Outlook::Starting);
    chain.handle_ready(FALCO, 1, now + secs(1));
    assert_eq!(chain.outlook(), Outlook::Ready);
    let (_, changes) = drain(&mut chain);
    assert_eq!(changes.last(), Some(&Change::ChainReady));
    assert_eq!(chain.poll_timeout(), None);
}

#[test]
fn a_part_that_dies_is_started_again_after_its_delay_and_the_others_stay() {
    let now = Instant::now();
    let mut chain = ready_chain(now);
    chain.handle_end(TRANSPORT, 1, crash(), now, 1.0);
    let (acts, changes) = drain(&mut chain);
    assert_eq!(acts, []);
    let retry_in = Some(Duration::from_millis(200));
    assert_eq!(
        changes,
        [Change::Ended {
            part: TRANSPORT,
            ending: crash(),
            retry_in
        }]
    );
    assert_eq!(chain.outlook(), Outlook::Degraded);

    let due = chain.poll_timeout().unwrap();
    assert_eq!(due, now + Duration::from_millis(200));
    chain.handle_timeout(due);
    assert_eq!(actions(&mut chain), [Action::Start(TRANSPORT, 2)]);
    chain.handle_ready(TRANSPORT, 2, due);
    assert_eq!(chain.outlook(), Outlook::Ready);
    assert_eq!(chain.part(TRANSPORT).unwrap().restarts(), 1);
}

#[test]
fn stopping_goes_from_last_to_first_one_at_a_time() {
    let now = Instant::now();
    let mut chain = ready_chain(now);
    chain.stop(now);
    for part in [FALCO, TRANSPORT, BROKER] {
        assert_eq!(actions(&mut chain), [Action::Terminate(part, 1)]);
        assert_eq!(chain.outlook(), Outlook::Stopping);
        chain.handle_end(part, 1, Ending::Exited(0), now, 1.0);
    }
    assert_eq!(chain.outlook(), Outlook::Stopped);
    assert_eq!(chain.poll_timeout(), None);
}

#[test]
fn a_part_that_does_not_stop_is_killed_after_its_grace_and_then_written_off() {
    let now = Instant::now();
    let mut chain = ready_chain(now);
    chain.stop(now);
    drain(&mut chain);
    chain.handle_timeout(now + secs(5));
    assert_eq!(actions(&mut chain), [Action::Kill(FALCO, 1)]);
    chain.handle_timeout(now + secs(10));
    let (acts, changes) = drain(&mut chain);
    assert_eq!(changes, [Change::Stuck { part: FALCO }]);
    assert_eq!(acts, [Action::Terminate(TRANSPORT, 1)]);
}

#[test]
fn killing_spares_nobody_and_waits_for_nobody() {
    let now = Instant::now();
    let mut chain = ready_chain(now);
    chain.kill(now);
    let acts = actions(&mut chain);
    for part in [BROKER, TRANSPORT, FALCO] {
        assert!(acts.contains(&Action::Kill(part, 1)));
        chain.handle_end(part, 1, crash(), now, 1.0);
    }
    assert_eq!(chain.outlook(), Outlook::Stopped);
}

#[test]
fn a_part_that_is_not_ready_in_time_is_stopped_and_tried_again() {
    let now = Instant::now();
    let mut chain = chain(now);
    drain(&mut chain);
    let late = now + secs(10);
    assert_eq!(chain.poll_timeout(), Some(late));
    chain.handle_timeout(late);
    assert_eq!(actions(&mut chain), [Action::Terminate(BROKER, 1)]);
    chain.handle_end(BROKER, 1, Ending::Exited(0), late, 1.0);
    let (_, changes) = drain(&mut chain);
    assert!(matches!(
        changes[..],
        [Change::Ended {
            ending: Ending::NotReady,
            ..
        }]
    ));
    chain.handle_timeout(late + secs(1));
    assert_eq!(actions(&mut chain), [Action::Start(BROKER, 2)]);
}

#[test]
fn the_first_start_fails_after_three_attempts_and_nothing_stays() {
    let mut now = Instant::now();
    let mut chain = chain(now);
    chain.handle_ready(BROKER, 1, now);
    for incarnation in 1..=3 {
        drain(&mut chain);
        chain.handle_end(TRANSPORT, incarnation, Ending::Exited(1), now, 1.0);
        if incarnation < 3 {
            now = chain.poll_timeout().unwrap();
            chain.handle_timeout(now);
        }
    }
    let (acts, changes) = drain(&mut chain);
    assert_eq!(
        changes.last(),
        Some(&Change::StartFailed { part: TRANSPORT })
    );
    assert_eq!(acts, [Action::Terminate(BROKER, 1)]);
    chain.handle_end(BROKER, 1, Ending::Exited(0), now, 1.0);
    assert_eq!(chain.outlook(), Outlook::Stopped);
}

#[test]
fn the_first_start_fails_at_once_if_trying_again_cannot_help() {
    let now = Instant::now();
    let mut chain = chain(now);
    chain.handle_end(BROKER, 1, Ending::Exited(78), now, 1.0);
    let (_, changes) = drain(&mut chain);
    assert_eq!(changes.last(), Some(&Change::StartFailed { part: BROKER }));
    assert_eq!(chain.outlook(), Outlook::Stopped);
}

#[test]
fn once_ready_a_chain_never_stops_itself() {
    let mut now = Instant::now();
    let mut chain = ready_chain(now);
    for incarnation in 1..20 {
        chain.handle_end(TRANSPORT, incarnation, crash(), now, 1.0);
        now = chain.poll_timeout().unwrap();
        chain.handle_timeout(now);
    }
    assert_eq!(chain.outlook(), Outlook::Degraded);
    assert!(chain.part(TRANSPORT).unwrap().history.is_crash_loop());
}

#[test]
fn what_an_earlier_incarnation_reports_changes_nothing() {
    let now = Instant::now();
    let mut chain = ready_chain(now);
    chain.handle_end(TRANSPORT, 1, crash(), now, 1.0);
    chain.handle_timeout(now + secs(1));
    drain(&mut chain);
    chain.handle_ready(TRANSPORT, 1, now + secs(1));
    chain.handle_end(TRANSPORT, 1, crash(), now + secs(1), 1.0);
    assert_eq!(drain(&mut chain), (Vec::new(), Vec::new()));
    assert!(matches!(
        chain.part(TRANSPORT).unwrap().state,
        State::Starting { .. }
    ));
}

#[test]
fn a_restart_asked_for_has_no_delay_and_forgives() {
    let now = Instant::now();
    let mut chain = ready_chain(now);
    chain.handle_end(FALCO, 1, Ending::Exited(78), now, 1.0);
    assert_eq!(chain.part(FALCO).unwrap().state, State::GaveUp);
    drain(&mut chain);
    chain.restart(FALCO, now).unwrap();
    assert_eq!(actions(&mut chain), [Action::Start(FALCO, 2)]);
    chain.restart(TRANSPORT, now).unwrap();
    assert_eq!(actions(&mut chain), [Action::Terminate(TRANSPORT, 1)]);
    chain.handle_end(TRANSPORT, 1, Ending::Exited(0), now, 1.0);
    assert_eq!(actions(&mut chain), [Action::Start(TRANSPORT, 2)]);
}

#[test]
fn a_stop_during_the_start_leaves_nothing() {
    let now = Instant::now();
    let mut chain = chain(now);
    chain.handle_ready(BROKER, 1, now);
    drain(&mut chain);
    chain.stop(now);
    assert_eq!(actions(&mut chain), [Action::Terminate(TRANSPORT, 1)]);
    chain.handle_ready(TRANSPORT, 1, now);
    assert_eq!(actions(&mut chain), [], "it is too late to be ready");
    chain.handle_end(TRANSPORT, 1, Ending::Exited(0), now, 1.0);
    assert_eq!(actions(&mut chain), [Action::Terminate(BROKER, 1)]);
}

#[test]
fn restarting_all_goes_down_from_last_to_first_and_up_from_first_to_last() {
    let now = Instant::now();
    let mut chain = ready_chain(now);
    chain.restart_all(now).unwrap();
    for part in [FALCO, TRANSPORT, BROKER] {
        assert_eq!(actions(&mut chain), [Action::Terminate(part, 1)]);
        assert_eq!(chain.outlook(), Outlook::Degraded);
        chain.handle_end(part, 1, Ending::Exited(0), now, 1.0);
    }
    for part in [BROKER, TRANSPORT, FALCO] {
        assert_eq!(actions(&mut chain), [Action::Start(part, 2)]);
        chain.handle_ready(part, 2, now);
    }
    assert_eq!(chain.outlook(), Outlook::Ready);
}

#[test]
fn a_stop_goes_before_a_restart() {
    let now = Instant::now();
    let mut chain = ready_chain(now);
    chain.restart_all(now).unwrap();
    chain.stop(now);
    for part in [FALCO, TRANSPORT, BROKER] {
        chain.handle_end(part, 1, Ending::Exited(0), now, 1.0);
    }
    assert_eq!(chain.outlook(), Outlook::Stopped);
}
