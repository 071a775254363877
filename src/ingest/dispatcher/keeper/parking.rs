//! Lanes that wait for a dead letter.
//!
//! What parks a lane says so on disk, in the class of its record: `rejected,parks`.
//! So a lane is parked over restarts, compactions, and a configuration that would
//! not park it any more: only somebody who says what becomes of the letter opens
//! the lane. Requeued, the letter goes first; dropped, it goes nowhere; if the
//! lane is resumed the letter is recorded once more, as one that parks nothing,
//! and stays.
//!
//! What was kept behind it stays kept, on disk, and goes out when the lane is
//! open. New effects of daemons are refused with `parked`: SUCCESS would say that
//! they will be published, and one lane that nobody looks at could fill the disk
//! for all others. Lines of the inbox are taken, since no one hears an answer
//! there, and a file must not wait for one lane.

use tokio::sync::oneshot;

use super::super::ways::Ways;
use super::Keeper;
use crate::delivery::{Admitted, Class, Done, Failure, ParkedLane, Wish};
use crate::ingest::session::SessionId;
use crate::journal::{DeadLetter, Entry};
use crate::protocol::id::{EffectId, LaneKey};
use crate::protocol::lane::LaneAnswer;
use crate::protocol::outbox::{OutboxAnswer, OutboxRequest};

/// Ends the class of a letter that parks its lane.
const PARKS: &str = ",parks";

/// A lane of a route was parked, or is open again.
#[derive(Debug)]
pub(in super::super) struct Change {
    pub(in super::super) route: usize,
    pub(in super::super) lane: LaneKey,
    pub(in super::super) what: What,
}

/// Which of them.
#[derive(Debug)]
pub(in super::super) enum What {
    /// It waits for this effect, which failed so.
    Parked(EffectId, Failure),
    /// It does not wait any more: its letter was so.
    Open(&'static str),
}

/// The class a letter is recorded with.
pub(super) fn class_of(class: Class, parks: bool) -> Box<str> {
    let token = class.token();
    if parks {
        format!("{token}{PARKS}").into()
    } else {
        token.into()
    }
}

/// Whether the lane of a letter waits for it.
pub(in crate::ingest) fn parks(letter: &DeadLetter) -> bool {
    letter.class.ends_with(PARKS)
}

/// Why the effect of a letter was given up, in a word.
pub(in crate::ingest) fn class(letter: &DeadLetter) -> &str {
    letter.class.strip_suffix(PARKS).unwrap_or(&letter.class)
}

/// The same letter, for which no lane waits.
pub(in crate::ingest) fn without_parking(letter: &DeadLetter) -> DeadLetter {
    DeadLetter {
        class: class(letter).into(),
        ..letter.clone()
    }
}

/// The answer about so many lanes, of which `changed` says whether they go on.
fn with_letters(given: LaneAnswer, changed: OutboxAnswer, kept: u64) -> LaneAnswer {
    let goes_on = changed.error.is_none() && changed.refused.is_empty();
    let stays = if goes_on { 0 } else { kept };
    LaneAnswer {
        changed: given.changed.saturating_sub(stays),
        refused: [given.refused, changed.refused].concat(),
        error: changed.error,
        ..given
    }
}

impl Keeper {
    /// The lane of a dead letter waits for it.
    pub(super) fn park(&mut self, by: EffectId, failure: &Failure) {
        if !self.outbox.handle_parked(by) {
            return;
        }
        if let Some((route, lane)) = self.outbox.place(by) {
            let what = What::Parked(by, failure.clone());
            self.changes.push_back(Change { route, lane, what });
        }
    }

    /// The letter for which an effect that arrives would have to wait, if it may
    /// not.
    pub(super) fn waits_for(&self, admitted: &Admitted, route: usize) -> Option<EffectId> {
        if admitted.place.producer == SessionId::INBOX.producer() {
            return None;
        }
        let parked_by = self.outbox.parked_by(route, &admitted.effect.lane);
        parked_by.first().copied()
    }

    /// What an operator wants is on disk, and happens.
    pub(super) fn grant(&mut self, id: EffectId) -> Option<Done> {
        let parked = self.parked_place(id);
        let dropped = self.outbox.handle_granted(id);
        self.unwritten.remove(&id);
        let how = match self.outbox.kept(id).map(|kept| kept.is_dead) {
            Some(true) => {
                if let Some(letter) = self.letters.get_mut(&id) {
                    *letter = without_parking(letter);
                }
                "left aside"
            }
            Some(false) => {
                self.letters.remove(&id);
                "requeued"
            }
            None => {
                self.letters.remove(&id);
                "dropped"
            }
        };
        self.tell_open(parked, how);
        dropped
    }

    /// The lane of an effect, if it is parked, and the number of its route.
    pub(super) fn parked_place(&self, id: EffectId) -> Option<(usize, LaneKey)> {
        let place = self.outbox.place(id);
        place.filter(|_| self.outbox.is_parked(id))
    }

    /// This lane was parked; if it is no more, that is because its letter was so.
    pub(super) fn tell_open(&mut self, parked: Option<(usize, LaneKey)>, how: &'static str) {
        if let Some((route, lane)) = parked
            && self.outbox.parked_by(route, &lane).is_empty()
        {
            let what = What::Open(how);
            self.changes.push_back(Change { route, lane, what });
        }
    }

    /// What is recorded when a lane is to go on without a letter.
    pub(super) fn resumed(&self, id: EffectId) -> Entry {
        let letter = self.letters.get(&id).map(without_parking);
        // Every dead effect has a letter; one without says nothing and is tried again.
        letter.map_or(Entry::Requeue(id), |letter| Entry::Failed(id, letter))
    }

    /// Lets lanes go on, with `wish` for the letters they wait for; answered
    /// once that is on disk.
    pub(in super::super) fn open_lanes(
        &mut self,
        lanes: &[(usize, LaneKey)],
        wish: Wish,
        (given, answer): (LaneAnswer, oneshot::Sender<LaneAnswer>),
        ways: &mut Ways,
    ) {
        let letters = lanes
            .iter()
            .flat_map(|(route, lane)| self.outbox.parked_by(*route, lane));
        let request = OutboxRequest {
            ids: letters.map(ToString::to_string).collect(),
            ..OutboxRequest::default()
        };
        let (tell, told) = oneshot::channel();
        self.change(&request, wish, tell, ways);
        let kept = lanes.len() as u64;
        self.shutdown.spawn(async move {
            // Falco ended first, and nobody knows what the disk has taken.
            let Ok(changed) = told.await else { return };
            _ = answer.send(with_letters(given, changed, kept));
        });
    }

    /// How many effects of a lane are kept to be published.
    pub(in super::super) fn unpublished(&self, route: usize, lane: &LaneKey) -> usize {
        self.outbox.unpublished(route, lane)
    }

    /// Whether a lane waits for a letter.
    pub(in super::super) fn is_parked(&self, route: usize, lane: &LaneKey) -> bool {
        !self.outbox.parked_by(route, lane).is_empty()
    }

    /// The lanes that wait, and the letter each waits for.
    pub(in super::super) fn parked(
        &self,
    ) -> impl Iterator<Item = (ParkedLane<'_>, Option<&DeadLetter>)> {
        let parked = self.outbox.parked();
        parked.map(|lane| (lane, self.letters.get(&lane.by)))
    }

    /// How many lanes wait.
    pub(in super::super) fn parked_len(&self) -> usize {
        self.outbox.backlog().parked
    }

    /// The next lane that was parked, or is open again.
    pub(in super::super) fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_says_on_disk_that_it_parks_its_lane_until_it_does_so_no_more() {
        let letter = |parks| DeadLetter {
            class: class_of(Class::Rejected, parks),
            code: None,
            error: "no".into(),
            attempts: 1,
            at_ms: 1,
        };
        assert_eq!(&*letter(true).class, "rejected,parks");
        assert!(parks(&letter(true)) && !parks(&letter(false)));
        assert_eq!(class(&letter(true)), "rejected");
        assert_eq!(without_parking(&letter(true)), letter(false));
    }

    #[test]
    fn an_answer_counts_only_lanes_that_go_on() {
        let given = LaneAnswer {
            changed: 3,
            ..LaneAnswer::default()
        };
        let changed = OutboxAnswer::default();
        assert_eq!(with_letters(given.clone(), changed, 2).changed, 3);
        let denied = OutboxAnswer {
            error: Some("the disk".to_owned()),
            ..OutboxAnswer::default()
        };
        let told = with_letters(given, denied, 2);
        assert_eq!((told.changed, told.error.as_deref()), (1, Some("the disk")));
    }
}
