//! Connections that resend what is on its way.

use uuid::Uuid;

use super::super::played::{Plan, Played, Time};
use super::story::effect;
use crate::delivery::Peer;
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::{EffectId, IdempotencyKey, LaneKey};

/// What one lane holds.
const LANE: u128 = 4096;

/// What a session reads at once.
const READ: usize = 512;

fn numbered(number: u128) -> SideEffect {
    let id = Uuid::from_u128(number);
    SideEffect {
        id: EffectId::from(id),
        key: IdempotencyKey::Uuid(id),
        ..effect(0)
    }
}

/// Publishes all there is; returns how much that was.
fn publish(falco: &mut Played, time: &Time) -> usize {
    let mut published = 0;
    while let Some(request) = falco.request(time, 0) {
        published += request.effects.len();
        let id = request.id;
        falco.answer(time, (0, id), None);
    }
    published
}

#[test]
fn those_that_resend_a_lane_too_often_wait_for_it_and_nobody_else_does() {
    let time = Time::new();
    let mut falco = Played::direct(&time, &Plan::default());
    let resenders = 2..=18;
    for connection in resenders.clone().chain([1, 99]) {
        falco.open(connection);
    }
    falco.submit(&time, 1, (0..LANE).map(numbered).collect());
    falco.advance(&time);
    let mut sent = 0;
    for connection in resenders.clone() {
        let all: Vec<_> = (0..LANE).map(numbered).collect();
        for read in all.chunks(READ) {
            if falco.crowds(connection) {
                break;
            }
            falco.submit(&time, connection, read.to_vec());
            falco.advance(&time);
            sent += read.len();
        }
    }
    assert!(resenders.clone().all(|who| falco.crowds(who)));
    assert!(falco.has_room() && !falco.crowds(1));

    falco.submit(
        &time,
        99,
        vec![SideEffect {
            lane: LaneKey::new("other"),
            ..numbered(LANE)
        }],
    );
    falco.advance(&time);
    assert!(!falco.crowds(99));
    let (batches, window) = (false, 8);
    falco.link(0, Peer { batches, window });
    assert_eq!(publish(&mut falco, &time), 4096 + 1);
    assert_eq!(falco.acks().len(), 4096 + 1 + sent, "each has its own");
    assert!(!resenders.clone().any(|who| falco.crowds(who)));
}

#[test]
fn no_session_is_read_while_so_many_wait_that_came_before_they_were_told_to() {
    const MOST: usize = 4 * 65_536;
    let time = Time::new();
    let mut falco = Played::direct(&time, &Plan::default());
    let all: Vec<_> = (0..LANE).map(numbered).collect();
    falco.open(1);
    falco.submit(&time, 1, all.clone());
    let mut sent = 0;
    for connection in 2.. {
        assert_eq!(falco.has_room(), sent < MOST);
        if !falco.has_room() {
            break;
        }
        falco.open(connection);
        falco.submit(&time, connection, all.clone());
        sent += all.len();
    }
    assert_eq!(sent, MOST);
    let (batches, window) = (false, 8);
    falco.link(0, Peer { batches, window });
    publish(&mut falco, &time);
    assert!(falco.has_room());
}
