//! The dispatcher with an outbox, on a disk that lies.

mod crash;
mod failing;
mod loading;
mod story;

use std::time::Duration;

use story::{Story, bypassing, effect, number};

use crate::delivery::Class;

#[test]
fn nothing_is_kept_behind_what_fails_because_falco_stops() {
    let mut story = Story::new(bypassing());
    story.disk.set_capacity(Some(story.disk.used()));
    story.submit(vec![effect(1)]);
    story.pass_until(|story| !story.falco.records());
    story.disk.set_capacity(None);
    story.pass_until(|story| story.falco.records());
    assert!(story.falco.acks().is_empty(), "it waits on the direct way");

    story
        .falco
        .stop(&story.time, story::DAEMON, vec![effect(2)]);

    let mut acks = Vec::new();
    story.pass_until(|story| {
        acks.append(&mut story.falco.acks());
        acks.len() == 2
    });
    for (_, id, outcome) in acks {
        let class = outcome.expect_err("the first is not published").class;
        assert_eq!(class, Class::ShuttingDown, "{}", number(id));
    }
}

#[test]
fn what_was_kept_for_long_is_known_for_a_quarter_of_an_hour_after_it_is_published() {
    let mut story = Story::new(bypassing());
    story.keep(vec![effect(1), effect(2)]);
    story.wait(Duration::from_secs(20 * 60));
    story.link();
    story.deliver();
    story.wait(Duration::from_secs(14 * 60));
    story.keep(vec![effect(1), effect(2)]);
    story.deliver();
    assert_eq!(story.published, [1, 2], "each once");
}
