//! What was published, so that it does not go out again.

use super::*;

#[test]
fn what_was_published_is_known_to_the_next_life_by_its_id_and_by_its_key() {
    let mut story = Story::new();
    story.publish(1, 7);
    story.publish(2, 2);
    assert_eq!(story.knows(1, 7, 1), Known::Done);
    assert_eq!(story.knows(3, 7, 3), Known::Done, "under another id");
    assert_eq!(story.knows(1, 7, 9), Known::Conflict, "other bytes");
    assert_eq!(story.knows(2, 2, 2), Known::Done);
    assert_eq!(story.knows(4, 2, 2), Known::Not, "that key was its id");
    assert_eq!(story.knows(5, 5, 5), Known::Not);
}

#[test]
fn what_is_published_of_the_outbox_is_known_by_its_id_and_when_it_arrived() {
    let mut story = Story::new();
    let published = |n, arrived_ms| Published {
        id: EffectId::from_bytes([n; 16]),
        arrived_ms,
    };
    story.memo.handle_published(published(1, 7), at());
    story.memo.handle_published(published(2, 8), at());
    story.memo.flush();
    let known = [published(1, 7), published(2, 8)].into();
    assert_eq!(open(&story.dir).1.published, known);
    story.memo.turn();
    assert_eq!(open(&story.dir).1.published, known, "and the life after it");
}

#[test]
fn the_latest_that_was_published_outlives_every_turn_of_the_files() {
    let mut story = Story::new();
    for n in 0..u8::MAX {
        story.publish(n, n);
        // They fill a thirtieth of a file.
        for _ in 0..ROOM / 30 / 75 {
            story.publish(n, 255);
        }
        assert_eq!(story.knows(n, n, n), Known::Done);
        for file in story.files() {
            assert!(file.metadata().expect("a file").len() <= ROOM as u64);
        }
    }
    // One file holds 30 of them in any case, and the two do not hold 120.
    assert_eq!(story.knows(240, 240, 240), Known::Done);
    assert_eq!(story.knows(130, 130, 130), Known::Not);
}
