//! What parts that are at work said last: they say it again and again, so that
//! nobody gives them up, and who watches reads it once.

use std::cell::RefCell;
use std::collections::BTreeMap;

/// The last word of each part.
#[derive(Debug, Default)]
pub(super) struct Busy(RefCell<BTreeMap<String, String>>);

impl Busy {
    /// Whether `part` was at something else before, or further back.
    pub(super) fn is_news(&self, part: &str, what: &str) -> bool {
        let before = self.0.borrow_mut().insert(part.into(), what.into());
        before.as_deref() != Some(what)
    }

    /// It ended: its next life begins anew.
    pub(super) fn forget(&self, part: &str) {
        self.0.borrow_mut().remove(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_gets_no_further_is_told_once_in_each_of_its_lives() {
        let busy = Busy::default();
        assert!(busy.is_news("falco", "0 records read"));
        assert!(!busy.is_news("falco", "0 records read"));
        assert!(busy.is_news("other", "0 records read"));
        assert!(busy.is_news("falco", "7 records read"));
        assert!(!busy.is_news("falco", "7 records read"));
        busy.forget("falco");
        assert!(busy.is_news("falco", "7 records read"));
    }
}
