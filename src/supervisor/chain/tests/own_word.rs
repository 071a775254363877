//! Parts that ask for time, or for another life.

use super::*;

fn due(chain: &Chain, after: Instant) -> Duration {
    chain.poll_timeout().unwrap().duration_since(after)
}

#[test]
fn a_start_is_as_long_as_the_part_asks_within_a_bound() {
    let now = Instant::now();
    let mut chain = chain(now);
    assert_eq!(due(&chain, now), secs(10));
    chain.handle_extension(BROKER, 1, secs(3), now);
    assert_eq!(due(&chain, now), secs(10), "never shorter");
    chain.handle_extension(BROKER, 1, secs(20), now + secs(9));
    assert_eq!(due(&chain, now), secs(29));
    for second in 10..1000 {
        chain.handle_extension(BROKER, 1, Duration::MAX, now + secs(second));
    }
    assert_eq!(due(&chain, now), secs(310));
}

#[test]
fn a_stop_by_name_is_extended_within_a_bound_and_not_once_it_kills() {
    let now = Instant::now();
    let mut chain = ready_chain(now);
    chain.stop_part(FALCO, now).unwrap();
    chain.handle_extension(FALCO, 1, secs(20), now + secs(4));
    assert_eq!(due(&chain, now), secs(24));
    chain.handle_extension(FALCO, 1, secs(300), now + secs(20));
    assert_eq!(due(&chain, now), secs(65));
    chain.handle_timeout(now + secs(65));
    let kill_by = chain.poll_timeout();
    chain.handle_extension(FALCO, 1, secs(300), now + secs(66));
    assert_eq!(chain.poll_timeout(), kill_by);
}

#[test]
fn when_the_whole_chain_goes_down_a_part_gets_only_what_others_left() {
    let now = Instant::now();
    let mut chain = ready_chain(now);
    chain.stop(now);
    let gone_by = chain.gone_by().unwrap();
    chain.handle_extension(FALCO, 1, secs(60), now);
    assert_eq!(due(&chain, now), secs(5), "two others have their graces");
    chain.handle_end(FALCO, 1, Ending::Exited(0), now, 1.0);
    chain.handle_extension(TRANSPORT, 1, secs(60), now);
    assert_eq!(due(&chain, now), secs(10), "as much as falco left");
    assert_eq!(chain.gone_by(), Some(gone_by));
}

#[test]
fn a_part_in_distress_is_restarted_as_one_that_does_not_answer() {
    let now = Instant::now();
    let mut chain = ready_chain(now);
    chain.handle_distress(FALCO, 7, now);
    assert_eq!(actions(&mut chain), [], "another life said so");
    chain.handle_distress(FALCO, 1, now);
    assert_eq!(actions(&mut chain), [Action::Terminate(FALCO, 1)]);
    chain.handle_end(FALCO, 1, crash(), now, 1.0);
    let (_, changes) = drain(&mut chain);
    let why = "it said so itself".to_owned();
    let ending = Ending::NotAlive { why };
    let retry_in = Some(Duration::from_millis(200));
    let part = FALCO;
    assert_eq!(
        changes,
        [Change::Ended {
            part,
            ending,
            retry_in
        }]
    );
}
