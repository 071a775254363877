//! The disk of a fuzzer: nothing goes wrong with it.

use std::io;

use super::Op;

/// None.
#[derive(Debug, Default)]
pub(super) struct Faults;

#[expect(
    clippy::unused_self,
    clippy::unnecessary_wraps,
    reason = "as those of tests are"
)]
impl Faults {
    pub(super) fn call(&mut self, _: Op) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn change(&mut self) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn is_dark(&self) -> bool {
        false
    }

    pub(super) fn tears(&self) -> bool {
        false
    }

    pub(super) fn write_max(&self) -> Option<usize> {
        None
    }

    pub(super) fn capacity(&self) -> Option<u64> {
        None
    }

    pub(super) fn file_max(&self) -> Option<u64> {
        None
    }
}
