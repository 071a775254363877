//! Handing lines to the dispatcher, and what becomes of them.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::super::dispatcher::{Ack, Piece, Refused, Submission};
use super::Stop;
use super::cut::{Cut, Line, Reject};
use crate::delivery::{Failure, Outcome};
use crate::failpoint::{self, Point};
use crate::journal::Note;
use crate::protocol::id::EffectId;

/// How long what the disk does not take waits.
const LATER: Duration = Duration::from_secs(1);

/// How soon what was taken by others too is offered again.
const AT_ONCE: Duration = Duration::from_millis(20);

/// The way to the dispatcher and back.
#[derive(Debug)]
pub(super) struct Offers {
    submit: mpsc::Sender<Submission>,
    acks: mpsc::Receiver<Vec<Ack>>,
}

/// What became of a piece.
#[derive(Debug)]
pub(super) struct Offered {
    outcomes: HashMap<EffectId, Outcome>,
    /// All of it is on disk, and the note with it.
    pub is_noted: bool,
}

impl Offers {
    pub(super) fn new(submit: mpsc::Sender<Submission>, acks: mpsc::Receiver<Vec<Ack>>) -> Self {
        Self { submit, acks }
    }

    /// Offers lines, and what is to be remembered with them.
    pub(super) async fn offer(&mut self, lines: &[Line], note: Note) -> Result<Offered, Stop> {
        let (noted, is_noted) = oneshot::channel();
        let piece = Piece {
            effects: lines.iter().map(|line| line.effect.clone()).collect(),
            note,
            noted,
        };
        let submitted = self.submit.send(Submission::Piece(piece)).await;
        submitted.map_err(|_| Stop::Ended)?;
        failpoint::reach(Point::InboxOffered);
        let mut outcomes = HashMap::new();
        while outcomes.len() < lines.len() {
            let acks = self.acks.recv().await.ok_or(Stop::Ended)?;
            outcomes.extend(acks.into_iter().map(|ack| (ack.id, ack.outcome)));
        }
        let is_noted = is_noted.await.is_ok();
        failpoint::reach(Point::InboxNoted);
        Ok(Offered { outcomes, is_noted })
    }

    /// Says what became of lines at last: each once.
    pub(super) async fn count(&self, decided: Submission) -> Result<(), Stop> {
        self.submit.send(decided).await.map_err(|_| Stop::Ended)
    }
}

impl Offered {
    /// Lines that will never be taken, for the sums.
    pub(super) fn refused(&self) -> Option<Refused> {
        let failures = self.outcomes.values().filter_map(|o| o.as_ref().err());
        let refused: Vec<_> = failures.filter(|f| f.class.is_final()).collect();
        let last = (*refused.last()?).clone();
        let count = refused.len() as u64;
        Some(Refused { count, last })
    }

    /// Why some of it may be taken later, if there is a reason.
    pub(super) fn trouble(&self) -> Option<&Failure> {
        let failures = self.outcomes.values().filter_map(|o| o.as_ref().err());
        let mut passing = failures.filter(|failure| !failure.class.is_final());
        passing.next()
    }

    /// The piece was not recorded as a whole. Lines that never will be are
    /// rejects now. Returns when to offer the rest.
    pub(super) fn sort_out(&self, cut: &mut Cut) -> Duration {
        let lines = std::mem::take(&mut cut.lines);
        let count = lines.len();
        for line in lines {
            match self.outcomes.get(&line.effect.id) {
                Some(Err(failure)) if failure.class.is_final() => {
                    let reject = Reject::new(line.at, failure.to_string(), &line.text);
                    cut.rejects.push(reject);
                }
                _ => cut.lines.push(line),
            }
        }
        // Without lines it is the note alone that was not taken.
        if count == 0 || self.trouble().is_some() {
            LATER
        } else {
            AT_ONCE
        }
    }
}
