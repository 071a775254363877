//! What may be wrong with a story on purpose, so that its checks are seen to fail:
//! each flaw is in what is played, or between that and Falco.

use super::server::Request;
use super::*;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Who used an id for something else is not answered once all else is over.
    Owes,
    /// Answers come twice.
    AnswersTwice,
    /// Answers go to another connection.
    TellsAnother,
    /// Of every session the second message is accepted, and not published.
    Loses,
    /// What comes together is published the wrong way round.
    Reverses,
    /// The server publishes copies, however soon they come.
    ForgetsIds,
    /// What comes together is read the wrong way round.
    Overtakes,
    /// An object goes back to what an earlier life has set it to.
    SetsBack,
    /// Falco is told that a lane may hold more than it is held to.
    HasLongLanes,
    /// The same of all lanes together.
    HoldsAll,
    /// Its journal is held to an eighth of what Falco is told.
    HasLargeJournal,
}

impl World {
    fn has(&self, flaw: Flaw) -> bool {
        self.options.flaw == Some(flaw)
    }

    /// What is told of what Falco answers.
    pub(super) fn told(
        &self,
        mut answers: Vec<(Submission, Outcome)>,
    ) -> Vec<(Submission, Outcome)> {
        if self.has(Flaw::Owes) && self.daemon.is_done() {
            answers.retain(|(submission, _)| !submission.is_imposter);
        }
        if self.has(Flaw::AnswersTwice) {
            answers.extend(answers.clone());
        }
        answers
    }

    /// A frame came.
    pub(super) fn turn_frames(&mut self) {
        if self.has(Flaw::Overtakes) {
            self.falco.program.turn_frames();
        }
    }

    /// What the server takes of what it accepts.
    pub(super) fn taken(&self, request: &Request) -> Vec<Message> {
        let mut taken = request.messages.clone();
        if self.has(Flaw::Loses) {
            taken.retain(|(_, number)| *number != 2);
        }
        if self.has(Flaw::Reverses) {
            taken.reverse();
        }
        taken
    }

    /// An object was set.
    pub(super) fn set_back(&mut self, request: &Request) {
        if !self.has(Flaw::SetsBack) {
            return;
        }
        let (session, _) = request.messages[0];
        let first = self.server.first_sets.entry(session);
        let first = first.or_insert_with(|| request.clone());
        if !first.was_late && first.life < request.life {
            self.record.was_set(first);
        }
    }
}

/// How stories with this flaw end badly, by seed.
fn endings(flaw: Flaw, has_outbox: bool, seeds: Range<u64>) -> Vec<(u64, String)> {
    let ending = |seed| {
        let mut world = World::new(seed, has_outbox, Some(flaw));
        let played = catch_unwind(AssertUnwindSafe(|| world.run()));
        let wrong = played.err()?;
        let text = wrong.downcast_ref::<String>().cloned();
        Some((seed, text.unwrap_or_default()))
    };
    seeds.filter_map(ending).collect()
}

/// Stories with this flaw end badly, for one of these reasons.
fn is_seen(flaw: Flaw, has_outbox: bool, reasons: &[&str]) {
    let seeds = if has_outbox { 0..80 } else { 0..100 };
    let endings = endings(flaw, has_outbox, seeds);
    for reason in reasons {
        let is_told = endings.iter().any(|(_, text)| text.contains(reason));
        assert!(is_told, "{flaw:?} is never {reason:?}: {endings:?}");
    }
    let mut others = endings.iter();
    let other = others.find(|(_, text)| !reasons.iter().any(|reason| text.contains(reason)));
    assert_eq!(other, None, "of {flaw:?}");
}

#[test]
fn an_answer_that_is_owed_in_the_end_is_missed() {
    is_seen(Flaw::Owes, false, &["never answered", "waits for"]);
}

#[test]
fn an_answer_that_comes_twice_is_seen() {
    is_seen(
        Flaw::AnswersTwice,
        false,
        &["was not asked, or was answered"],
    );
}

#[test]
fn an_answer_on_another_connection_is_seen() {
    for has_outbox in [false, true] {
        is_seen(Flaw::TellsAnother, has_outbox, &["was not asked for there"]);
    }
}

#[test]
fn what_is_lost_or_turned_round_is_missed() {
    is_seen(Flaw::Loses, false, &["is not published"]);
    is_seen(Flaw::Loses, true, &["session", "was acked and is lost"]);
    is_seen(Flaw::Reverses, true, &["session"]);
}

#[test]
fn what_overtakes_another_is_seen_also_where_a_daemon_is_careless() {
    is_seen(
        Flaw::Overtakes,
        false,
        &["overtakes", "session", "sets back"],
    );
}

#[test]
fn what_a_subscriber_sees_twice_is_seen() {
    let reasons = ["visible twice, alone", "visible twice in batches"];
    for has_outbox in [false, true] {
        is_seen(Flaw::ForgetsIds, has_outbox, &reasons);
    }
}

#[test]
fn an_object_without_its_last_value_is_seen() {
    for has_outbox in [false, true] {
        is_seen(Flaw::SetsBack, has_outbox, &["object"]);
    }
}

#[test]
fn what_holds_more_than_it_may_is_seen() {
    is_seen(Flaw::HasLongLanes, false, &["a lane holds"]);
    is_seen(Flaw::HoldsAll, false, &["all lanes hold"]);
    is_seen(Flaw::HasLargeJournal, true, &["the journal has"]);
}
