//! Another configuration for a chain that runs.

use super::super::super::sidecar::Scope;
use super::*;

fn nothing(_: &str) -> bool {
    false
}

fn only(name: &'static str) -> impl Fn(&str) -> bool {
    move |changed| changed == name
}

fn plans() -> Vec<Plan> {
    vec![
        plan("broker", &[]),
        plan("transport", &["broker"]),
        plan("falco", &["transport"]),
    ]
}

#[test]
fn the_same_again_changes_nothing() {
    let now = Instant::now();
    let mut chain = ready_chain(now);
    let done = chain.reload(plans(), nothing, now).unwrap();
    assert_eq!(done.kept, [BROKER, TRANSPORT, FALCO]);
    assert_eq!(drain(&mut chain), (Vec::new(), Vec::new()));
}

#[test]
fn what_is_new_starts_behind_what_it_comes_after() {
    let now = Instant::now();
    let mut chain = ready_chain(now);
    let mut new = plans();
    new.push(plan("db", &[]));
    new.push(plan("web", &["db", "falco"]));
    let done = chain.reload(new, nothing, now).unwrap();
    assert_eq!(done.started, [3, 4]);
    assert_eq!(actions(&mut chain), [Action::Start(3, 1)]);
    assert_eq!(chain.outlook(), Outlook::Degraded);
    chain.handle_ready(3, 1, now);
    assert_eq!(actions(&mut chain), [Action::Start(4, 1)]);
    chain.handle_ready(4, 1, now);
    assert_eq!(chain.outlook(), Outlook::Ready);
}

#[test]
fn what_is_gone_is_stopped_and_forgotten() {
    let now = Instant::now();
    let mut chain = ready_chain(now);
    let mut new = plans();
    new.pop();
    let done = chain.reload(new, nothing, now).unwrap();
    assert_eq!(done.stopped, [FALCO]);
    assert_eq!(actions(&mut chain), [Action::Terminate(FALCO, 1)]);
    chain.handle_end(FALCO, 1, Ending::Exited(0), now, 1.0);
    let (_, changes) = drain(&mut chain);
    assert_eq!(
        changes[1..],
        [Change::Removed { part: FALCO }, Change::ChainReady]
    );
    assert_eq!(chain.find("falco"), None);
}

#[test]
fn what_changed_is_restarted_and_the_others_stay() {
    let now = Instant::now();
    let mut chain = ready_chain(now);
    let done = chain.reload(plans(), only("transport"), now).unwrap();
    assert_eq!(
        (done.restarted, done.kept),
        (vec![TRANSPORT], vec![BROKER, FALCO])
    );
    assert_eq!(actions(&mut chain), [Action::Terminate(TRANSPORT, 1)]);
    chain.handle_end(TRANSPORT, 1, Ending::Exited(0), now, 1.0);
    assert_eq!(actions(&mut chain), [Action::Start(TRANSPORT, 2)]);
}

#[test]
fn what_changed_takes_with_it_whom_its_policy_says_and_no_more() {
    let now = Instant::now();
    let mut chain = ready_chain(now);
    let mut new = plans();
    new[BROKER].restart.scope = Scope::Dependents;
    let done = chain.reload(new, only("broker"), now).unwrap();
    assert_eq!(done.restarted, [BROKER, TRANSPORT, FALCO]);
    for part in [FALCO, TRANSPORT, BROKER] {
        assert_eq!(actions(&mut chain), [Action::Terminate(part, 1)]);
        chain.handle_end(part, 1, Ending::Exited(0), now, 1.0);
    }
    for part in [BROKER, TRANSPORT, FALCO] {
        assert_eq!(actions(&mut chain), [Action::Start(part, 2)]);
        chain.handle_ready(part, 2, now);
    }
}

#[test]
fn parts_that_change_together_start_in_order() {
    let now = Instant::now();
    let mut chain = ready_chain(now);
    let done = chain.reload(plans(), |name| name != "falco", now).unwrap();
    assert_eq!(done.kept, [FALCO]);
    chain.handle_end(TRANSPORT, 1, Ending::Exited(0), now, 1.0);
    chain.handle_end(BROKER, 1, Ending::Exited(0), now, 1.0);
    let acts = actions(&mut chain);
    assert_eq!(acts.last(), Some(&Action::Start(BROKER, 2)));
    assert!(!acts.contains(&Action::Start(TRANSPORT, 2)));
    chain.handle_ready(BROKER, 2, now);
    assert_eq!(actions(&mut chain), [Action::Start(TRANSPORT, 2)]);
}

#[test]
fn what_a_person_stopped_stays_stopped() {
    let now = Instant::now();
    let mut chain = ready_chain(now);
    chain.stop_part(FALCO, now).unwrap();
    chain.handle_end(FALCO, 1, Ending::Exited(0), now, 1.0);
    drain(&mut chain);
    let done = chain.reload(plans(), only("falco"), now).unwrap();
    assert!(done.restarted.is_empty());
    assert_eq!(actions(&mut chain), []);
}

#[test]
fn what_gave_up_is_tried_again_once_it_changed() {
    let now = Instant::now();
    let mut chain = ready_chain(now);
    chain.handle_end(FALCO, 1, Ending::Exited(78), now, 1.0);
    drain(&mut chain);
    chain.reload(plans(), only("falco"), now).unwrap();
    assert_eq!(actions(&mut chain), [Action::Start(FALCO, 2)]);
}

#[test]
fn what_comes_back_while_it_is_going_is_started_when_it_is_gone() {
    let now = Instant::now();
    let mut chain = ready_chain(now);
    let mut without = plans();
    without.pop();
    chain.reload(without, nothing, now).unwrap();
    drain(&mut chain);
    let done = chain.reload(plans(), nothing, now).unwrap();
    assert_eq!(done.restarted, [FALCO]);
    assert_eq!(actions(&mut chain), []);
    chain.handle_end(FALCO, 1, Ending::Exited(0), now, 1.0);
    assert_eq!(actions(&mut chain), [Action::Start(FALCO, 2)]);
}

#[test]
fn what_is_stopped_while_it_starts_is_not_where_it_is_to_be_and_what_is_gone_is() {
    let now = Instant::now();
    let mut chain = ready_chain(now);
    chain.restart(FALCO, now).unwrap();
    chain.handle_end(FALCO, 1, Ending::Exited(0), now, 1.0);
    assert_eq!(chain.prospect(FALCO), Prospect::UnderWay);
    chain.stop_part(FALCO, now).unwrap();
    assert_eq!(chain.prospect(FALCO), Prospect::UnderWay);
    chain.handle_end(FALCO, 2, Ending::Exited(0), now, 1.0);
    assert_eq!(chain.prospect(FALCO), Prospect::Stopped);
    let mut new = plans();
    new.pop();
    chain.reload(new, nothing, now).unwrap();
    assert_eq!(chain.prospect(FALCO), Prospect::There);
}
