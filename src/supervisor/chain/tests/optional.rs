//! A first start with parts that are not required.

use super::*;

fn optional(name: &str, after: &[&str]) -> Plan {
    Plan {
        required: false,
        ..plan(name, after)
    }
}

/// falco, and what is after it: `db` ◀─after─ `web`.
fn with_sidecars(db: Plan, web: Plan, now: Instant) -> Chain {
    let mut chain = Chain::new(vec![plan("falco", &[]), db, web], now);
    chain.handle_ready(0, 1, now);
    drain(&mut chain);
    chain
}

fn fail_for_good(chain: &mut Chain, id: PartId, now: Instant) -> Vec<Change> {
    chain.handle_end(id, 1, Ending::Exited(78), now, 1.0);
    drain(chain).1
}

#[test]
fn one_that_fails_ends_the_start_and_not_the_chain() {
    let now = Instant::now();
    let mut chain = with_sidecars(optional("db", &[]), optional("web", &[]), now);
    let changes = fail_for_good(&mut chain, 1, now);
    assert!(!changes.contains(&Change::Settled), "web may still come");
    assert_eq!(chain.outlook(), Outlook::Starting);
    chain.handle_ready(2, 1, now);
    assert_eq!(drain(&mut chain).1.last(), Some(&Change::Settled));
    assert_eq!(chain.outlook(), Outlook::Degraded);

    chain.restart(1, now).unwrap();
    chain.handle_ready(1, 2, now);
    assert_eq!(drain(&mut chain).1.last(), Some(&Change::ChainReady));
}

#[test]
fn the_start_is_not_over_before_what_is_required_is_ready() {
    let now = Instant::now();
    let plans = vec![plan("falco", &[]), optional("web", &[])];
    let mut chain = Chain::new(plans, now);
    let changes = fail_for_good(&mut chain, 1, now);
    assert!(!changes.contains(&Change::Settled));
    chain.handle_ready(0, 1, now);
    assert_eq!(drain(&mut chain).1.last(), Some(&Change::Settled));
}

#[test]
fn what_waits_for_one_that_failed_is_given_up_with_it() {
    let now = Instant::now();
    let mut chain = with_sidecars(optional("db", &[]), optional("web", &["db"]), now);
    let changes = fail_for_good(&mut chain, 1, now);
    assert_eq!(changes.last(), Some(&Change::Settled));
}

#[test]
fn one_that_is_late_is_given_up_and_goes_on_being_tried() {
    let now = Instant::now();
    let mut chain = with_sidecars(optional("db", &[]), optional("web", &["db"]), now);
    chain.handle_timeout(now + secs(10));
    let (actions, changes) = drain(&mut chain);
    assert_eq!(actions, [Action::Terminate(1, 1)]);
    assert_eq!(changes, [Change::Settled]);
    chain.handle_end(1, 1, Ending::by_signal(15), now + secs(10), 0.0);
    chain.handle_timeout(now + secs(11));
    assert_eq!(drain(&mut chain).0, [Action::Start(1, 2)]);
}

#[test]
fn what_a_required_part_comes_after_fails_the_start() {
    let now = Instant::now();
    let mut chain = with_sidecars(optional("db", &[]), plan("web", &["db"]), now);
    assert!(chain.is_required(1));
    let changes = fail_for_good(&mut chain, 1, now);
    assert_eq!(changes.last(), Some(&Change::StartFailed { part: 1 }));
}
