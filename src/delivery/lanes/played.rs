//! Looked at from outside: for simulations.

use super::Lanes;
use crate::delivery::lane::Lane;
use crate::delivery::owed::Amount;

impl<T> Lanes<T> {
    /// What each of them holds, and what all are said to.
    pub(crate) fn held(&self) -> (impl Iterator<Item = Amount>, Amount) {
        let amount = |lane: &Lane<T>| Amount {
            effects: lane.len(),
            bytes: lane.bytes(),
        };
        let all = Amount {
            effects: self.effects,
            bytes: self.bytes,
        };
        (self.slots.iter().flatten().map(amount), all)
    }
}
