//! How much that is.

use std::ops::{AddAssign, SubAssign};

/// So many effects, and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Amount {
    pub effects: usize,
    pub bytes: usize,
}

impl Amount {
    /// One effect.
    pub(crate) fn one(bytes: usize) -> Self {
        Self { effects: 1, bytes }
    }

    /// Whether it is less than `max` of both.
    pub(crate) fn is_below(self, max: Self) -> bool {
        self.effects < max.effects && self.bytes < max.bytes
    }

    /// Whether it is no more than `max` of either.
    pub(in crate::delivery) fn fits(self, max: Self) -> bool {
        self.effects <= max.effects && self.bytes <= max.bytes
    }

    /// What of it is more than `max`.
    pub(super) fn beyond(self, max: Self) -> Self {
        Self {
            effects: self.effects.saturating_sub(max.effects),
            bytes: self.bytes.saturating_sub(max.bytes),
        }
    }

    /// What is in both, of either.
    pub(super) fn least(self, other: Self) -> Self {
        Self {
            effects: self.effects.min(other.effects),
            bytes: self.bytes.min(other.bytes),
        }
    }

    /// Whether it is more than `max`. A single effect never is.
    pub(super) fn is_over(self, max: Self) -> bool {
        self.effects > 1 && (self.effects > max.effects || self.bytes > max.bytes)
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.effects += other.effects;
        self.bytes += other.bytes;
    }
}

impl SubAssign for Amount {
    fn sub_assign(&mut self, other: Self) {
        self.effects -= other.effects;
        self.bytes -= other.bytes;
    }
}
