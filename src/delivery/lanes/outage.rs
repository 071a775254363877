//! The transport comes and goes, and who is to blame for it.

use std::time::Instant;

use super::{Lanes, Peer};
use crate::delivery::failure::{Class, Failure};
use crate::delivery::health::Shared;
use crate::delivery::lane::Lane;

/// Who may have cost us a connection.
#[derive(Debug, Clone, Copy)]
struct Trial {
    /// Suspects were in flight, so nobody else is accused.
    narrows: bool,
    accused: usize,
}

impl<T> Lanes<T> {
    /// The transport is connected, or a connected one said what it can do.
    ///
    /// One that takes no batches gets their effects one by one. What of those may
    /// have been published stays one batch for whoever takes it next: a transport
    /// may be slow to say that it does.
    pub(crate) fn handle_connected(&mut self, peer: Peer) {
        self.peer = Some(peer);
        if peer.batches {
            return;
        }
        self.update_all(|lanes, lane| {
            if lane.is_batch() && lane.in_flight() == 0 {
                lanes.remember_unanswered(lane, lane.unheard);
                lane.take_apart(lanes.name_batch());
            }
        });
    }

    /// The connection to the transport is gone; what was on its way goes out
    /// again, first in its lane, as soon as there is another.
    ///
    /// What had just gone out may be why it is gone. These suspects are tried
    /// again a few at a time, and whoever is in flight when the next connection
    /// dies is suspected alone; the others are free. Nobody waits for a suspect
    /// but suspects. The last one pays for the next connections with its
    /// attempts.
    pub(crate) fn handle_disconnected(&mut self, now: Instant) {
        self.peer = None;
        self.shared = Shared::Transport;
        self.take_outage(now);
        self.pace.handle_outage();
        self.given_up.forget();
        let trial = self.trial(now);
        self.suspects_at_once = trial.accused.isqrt().max(1);
        self.update_all(|lanes, lane| lanes.lose_connection(lane, trial, now));
    }

    /// Who may have cost us the connection that is gone now.
    fn trial(&self, now: Instant) -> Trial {
        let lanes = self.slots.iter().flatten();
        let fresh = lanes.filter(|lane| lane.is_fresh(now, &self.config));
        let (suspects, others): (Vec<_>, Vec<_>) = fresh.partition(|lane| lane.is_suspect);
        let narrows = !suspects.is_empty();
        let accused = if narrows { suspects } else { others };
        Trial {
            narrows,
            accused: accused.len(),
        }
    }

    fn lose_connection(&mut self, lane: &mut Lane<T>, trial: Trial, now: Instant) {
        let was_suspect = lane.is_suspect;
        let is_accused = lane.is_fresh(now, &self.config) && (was_suspect || !trial.narrows);
        if trial.accused > 0 {
            lane.is_suspect = is_accused;
        }
        let lost = Failure::new(Class::Ambiguous, "connection to the transport lost");
        lane.lose_connection(&lost);
        if is_accused && was_suspect && trial.accused == 1 {
            self.attempt_failed(lane, lost, true, now);
        }
    }
}
