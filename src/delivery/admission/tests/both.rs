//! Messages with a number whose frames ask for order, and what of their lane has
//! only one of these.

use super::*;

/// A message with a number, whose frame asks for order.
fn both(n: u8) -> SideEffect {
    SideEffect {
        is_ordered: true,
        ..message(n, n.into())
    }
}

/// A message with a number, whose frame asks for nothing.
fn numbered(n: u8) -> SideEffect {
    message(n, n.into())
}

fn on(channel: &str, effect: SideEffect) -> SideEffect {
    let payload = effect.operation.body().clone();
    SideEffect {
        operation: Operation::Publish {
            channel: channel.into(),
            event: "e".into(),
            payload,
        },
        ..effect
    }
}

/// What is sent in this order over one connection.
type Sent = [SideEffect; 3];

impl Story {
    /// This one failed for now, and what is on its way behind it is refused.
    fn with_refused(first: SideEffect, behind: impl IntoIterator<Item = SideEffect>) -> Self {
        let mut story = Self::new();
        story.fail(first);
        for effect in behind {
            story.expect_refused(effect);
        }
        story
    }

    fn fail(&mut self, effect: SideEffect) {
        self.submit(effect, A, 'a');
        self.pass(Duration::from_secs(17));
        let answers = self.answers();
        assert!(answers[0].2.starts_with("throttled: "), "{answers:?}");
    }

    fn expect_refused(&mut self, effect: SideEffect) {
        let answer = self.fate(effect, A);
        assert!(answer.starts_with("gap: "), "{answer}");
    }

    fn expect_published(&mut self, effects: impl IntoIterator<Item = SideEffect>) {
        for effect in effects {
            let id = effect.id;
            assert_eq!(self.fate(effect, A), "ok", "{id}");
        }
    }

    /// All of them come again, before the first has left its lane.
    fn expect_published_together(&mut self, effects: impl IntoIterator<Item = SideEffect>) {
        let ids: Vec<_> = effects
            .into_iter()
            .map(|effect| {
                let id = effect.id.as_bytes()[0];
                self.submit(effect, A, 'a');
                id
            })
            .collect();
        self.publish();
        let answers = self.answers().into_iter();
        let told: Vec<_> = answers.map(|(_, id, text)| (id, text)).collect();
        let expected: Vec<_> = ids.into_iter().map(|id| (id, "ok".to_owned())).collect();
        assert_eq!(told, expected);
    }
}

/// The first fails, and holds the second up by its number or by its flag, the second
/// the third by another of these.
fn stories() -> Vec<Sent> {
    vec![
        [both(5), both(6), ordered(7)],
        [both(5), both(6), on("other", both(7))],
        [both(5), both(6), numbered(7)],
        [numbered(5), both(6), ordered(7)],
        [numbered(5), both(6), on("other", both(7))],
        [numbered(5), both(6), numbered(7)],
        [numbered(5), numbered(6), both(7)],
        [ordered(5), both(6), numbered(7)],
        [ordered(5), both(6), on("other", both(7))],
        [on("other", both(5)), both(6), numbered(7)],
    ]
}

#[test]
fn what_is_refused_is_not_overtaken_by_what_came_behind_it() {
    for sent in stories() {
        let [first, behind @ ..] = sent.clone();
        let mut story = Story::with_refused(first, behind.clone());
        for effect in behind {
            story.expect_refused(effect);
        }
        story.expect_published(sent);
    }
}

#[test]
fn what_came_again_is_not_overtaken_in_its_lane() {
    for sent in stories() {
        let [first, behind @ ..] = sent.clone();
        let mut story = Story::with_refused(first, behind);
        story.expect_published_together(sent);
    }
}

#[test]
fn what_was_turned_away_untried_is_not_overtaken_in_its_lane_once_it_came_again() {
    for sent in stories() {
        let [first, behind @ ..] = sent.clone();
        let mut story = Story::new();
        story.shut_out(first);
        for effect in behind {
            story.expect_refused(effect);
        }
        story.expect_published_together(sent);
    }
}

#[test]
fn what_fails_again_when_it_came_again_is_waited_for_again() {
    for sent in stories() {
        let [first, behind @ ..] = sent.clone();
        let mut story = Story::with_refused(first.clone(), behind.clone());
        story.fail(first);
        for effect in behind {
            story.expect_refused(effect);
        }
        story.expect_published(sent);
    }
}

#[test]
fn a_daemon_that_never_sends_it_again_is_held_up_for_thirty_seconds_whatever_it_sends() {
    for sent in stories() {
        let [first, behind @ ..] = sent.clone();
        let mut story = Story::with_refused(first, behind.clone());
        for _ in 0..29 {
            story.pass(Duration::from_secs(1));
            for effect in behind.clone() {
                story.expect_refused(effect);
            }
        }
        story.pass(Duration::from_secs(1));
        story.expect_published(behind);
    }
}

#[test]
fn another_connection_is_held_up_by_none_of_it() {
    for sent in stories() {
        let [first, behind @ ..] = sent;
        let mut story = Story::with_refused(first, behind.clone());
        for effect in behind {
            assert_eq!(story.fate(effect, B), "ok");
        }
    }
}

/// Each is turned away, because their lane waits for something else; then it goes on.
fn parked(sent: impl IntoIterator<Item = SideEffect>) -> Story {
    let mut story = Story::new();
    let other = plain("s", 1);
    let parked = Parked::new(other.id, (known_by(&other), 0), "no", story.boot_time);
    story.admission.parks.park(Path::of(&other), parked);
    for effect in sent {
        assert!(story.fate(effect, A).starts_with("parked: "));
    }
    story.admission.handle_resumed(None, &other.lane);
    story
}

#[test]
fn in_a_lane_that_was_parked_nothing_is_overtaken() {
    for sent in stories() {
        let mut story = parked(sent.clone());
        let [_, behind @ ..] = sent.clone();
        for effect in behind {
            story.expect_refused(effect);
        }
        story.expect_published_together(sent);
    }
}

#[test]
fn a_gate_that_outlives_its_fence_has_no_two_wait_for_each_other() {
    let mut story = parked([both(3), numbered(5), both(9)]);
    story.fail(numbered(1));
    story.pass(Duration::from_secs(14));
    story.expect_refused(both(9));
    story.expect_published([numbered(1)]);
    for effect in [both(3), numbered(5), both(9)] {
        story.expect_refused(effect);
    }
    story.expect_published([both(3), numbered(5), both(9)]);
}

#[test]
fn what_else_has_the_number_of_what_failed_does_not_take_its_place() {
    let mut story = Story::with_refused(numbered(5), [numbered(6)]);
    let other = SideEffect {
        key: IdempotencyKey::Uuid(Uuid::from_u128(60)),
        ..message(60, 6)
    };
    story.submit(numbered(5), A, 'a');
    story.submit(ordered(8), A, 'a');
    story.submit(other, A, 'a');
    story.publish();
    story.expect(&[('a', 5, "ok"), ('a', 8, "ok"), ('a', 60, "ok")]);
}

#[test]
fn behind_what_goes_out_last_for_another_connection_nothing_has_its_place() {
    let mut story = Story::new();
    story.shut_out(numbered(5));
    story.expect_refused(numbered(6));
    story.submit(numbered(5), B, 'b');
    story.submit(numbered(5), A, 'a');
    story.submit(numbered(6), A, 'a');
    assert_eq!(story.publish(), [5, 6]);
}

#[test]
fn what_waited_for_one_that_goes_out_behind_its_place_goes_out_behind_that() {
    for behind in [numbered(6), both(6)] {
        let mut story = Story::with_refused(numbered(5), [behind.clone()]);
        let fresh = SideEffect {
            id: id(15),
            key: IdempotencyKey::Uuid(id(15).as_uuid()),
            ..numbered(5)
        };
        story.expect_published_together([fresh, behind]);
    }
}

#[test]
fn what_waited_for_one_that_failed_elsewhere_goes_out_behind_that() {
    for sent in [[ordered(5), ordered(6)], [numbered(5), numbered(6)]] {
        let [first, second] = sent.clone();
        let mut story = Story::new();
        story.shut_out(first.clone());
        story.expect_refused(second);
        story.submit(first, B, 'b');
        story.pass(Duration::from_secs(17));
        story.answers();
        story.expect_published_together(sent);
    }
}

#[test]
fn what_waited_for_one_that_is_on_its_way_elsewhere_goes_out_behind_that() {
    let waiting: [&[SideEffect]; 2] = [&[both(6)], &[numbered(6), both(7)]];
    for behind in waiting {
        let mut story = Story::new();
        story.shut_out(numbered(5));
        for effect in behind {
            story.expect_refused(effect.clone());
        }
        story.submit(numbered(5), B, 'b');
        story.submit(numbered(5), A, 'a');
        for effect in behind {
            story.submit(effect.clone(), A, 'a');
        }
        let expected: Vec<i64> = std::iter::once(5)
            .chain(behind.iter().map(|effect| effect.id.as_bytes()[0].into()))
            .collect();
        assert_eq!(story.publish(), expected);
    }
}

/// Four messages, their numbers in any order, whichever of them ask for theirs.
fn mixed() -> impl Iterator<Item = [SideEffect; 4]> {
    let orders = (0..=255_u8).map(|n| [n & 3, n >> 2 & 3, n >> 4 & 3, n >> 6]);
    let orders = orders.filter(|order| (0..4).all(|n| order.contains(&n)));
    orders.flat_map(|order| {
        (0..16_u8).map(move |flags| {
            order.map(|n| {
                let asks = flags >> n & 1 == 1;
                if asks { both(5 + n) } else { numbered(5 + n) }
            })
        })
    })
}

#[test]
fn whatever_numbers_ask_for_order_not_all_wait_for_each_other() {
    for sent in mixed() {
        let mut story = parked(sent.clone());
        let (mut open, mut published) = (sent.to_vec(), Vec::new());
        while !open.is_empty() {
            let before = open.len();
            open.retain(|effect| {
                let is_refused = story.fate(effect.clone(), A) != "ok";
                published.extend((!is_refused).then(|| effect.clone()));
                is_refused
            });
            assert!(open.len() < before, "{sent:?}");
        }
        let ordered = |all: &[SideEffect]| {
            let asked = all.iter().filter(|effect| effect.is_ordered);
            asked.map(|effect| effect.id).collect::<Vec<_>>()
        };
        assert_eq!(ordered(&published), ordered(&sent));
    }
}

#[test]
fn of_those_that_would_wait_for_each_other_the_first_that_came_goes_first() {
    for sent in [
        [both(9), both(3), numbered(5)],
        [numbered(5), both(9), both(3)],
    ] {
        let mut story = parked(sent.clone());
        story.expect_published_together(sent);
    }
}
