//! What comes of what the journal was given.

use tokio::time::Instant;

use super::batch::{Fresh, What};
use super::write::LETTERS_PAUSE;
use super::{Keeper, Offer};
use crate::clock::BootTime;
use crate::delivery::{Admission, Admitted};
use crate::journal::{Round, Unrecorded};

impl Keeper {
    /// What happened to the oldest append. Returns what may go the direct way.
    pub(in super::super) fn handle_recorded<T>(
        &mut self,
        result: &Result<(), Unrecorded>,
        admission: &mut Admission<T>,
    ) -> Vec<(usize, Admitted)> {
        self.has_hung = false;
        match (self.pending.pop_front().map(|p| p.what), result) {
            (None, _) => Vec::new(),
            (Some(What::Rest { asked, buried }), _) => {
                for asked in asked {
                    for dropped in self.decide(asked, result) {
                        admission.handle_done_elsewhere(&dropped, BootTime::now());
                    }
                }
                if result.is_err() && !buried.is_empty() {
                    self.unwritten.extend(buried);
                    self.letters_again_at = Some(Instant::now() + LETTERS_PAUSE);
                }
                Vec::new()
            }
            (
                Some(What::Effects {
                    fresh,
                    unsure,
                    noted,
                    ..
                }),
                Ok(()),
            ) => {
                self.recorded(fresh, admission);
                self.recorded_late(unsure);
                for noted in noted {
                    _ = noted.send(());
                }
                Vec::new()
            }
            // What is not recorded, the inbox learns from the silence.
            (
                Some(What::Effects {
                    round,
                    fresh,
                    unsure,
                    ..
                }),
                Err(why),
            ) => {
                for effect in unsure {
                    self.outbox.handle_unrecorded(effect.id);
                }
                let fresh = match why {
                    Unrecorded::TooLarge { .. } => fresh,
                    _ => self.all_of(round, fresh),
                };
                self.refuse(fresh, why, admission)
            }
        }
    }

    fn recorded<T>(&mut self, fresh: Vec<Fresh>, admission: &mut Admission<T>) {
        for Fresh { admitted, .. } in fresh {
            admission.handle_kept(admitted.ticket);
            let effect = admitted.effect;
            self.outbox.handle_recorded(effect.id, effect);
        }
    }

    /// With `fresh`, which were refused, everything that was taken after them and
    /// before anybody could hear of it: the journal refuses that too.
    fn all_of(&mut self, round: Round, mut fresh: Vec<Fresh>) -> Vec<Fresh> {
        if round < self.round {
            return fresh;
        }
        self.round.0 += 1;
        for pending in &mut self.pending {
            if let What::Effects {
                fresh: more, noted, ..
            } = &mut pending.what
            {
                fresh.append(more);
                noted.clear();
            }
        }
        self.batch.effects.clear();
        self.batch.noted.clear();
        fresh.append(&mut self.batch.fresh);
        fresh
    }

    fn refuse<T>(
        &mut self,
        fresh: Vec<Fresh>,
        why: &Unrecorded,
        admission: &mut Admission<T>,
    ) -> Vec<(usize, Admitted)> {
        let now = BootTime::now();
        for fresh in &fresh {
            self.outbox.handle_unrecorded(fresh.admitted.effect.id);
        }
        let mut around = Vec::new();
        for Fresh {
            route, admitted, ..
        } in fresh
        {
            match self.not_recorded(admitted, route, why) {
                Offer::Direct(admitted) => around.push((route, admitted)),
                Offer::Refused(admitted, failure) => {
                    admission.handle_refused(admitted, failure, now);
                }
                Offer::Taken | Offer::Kept(_) | Offer::Conflict(_) => {}
            }
        }
        around
    }
}
