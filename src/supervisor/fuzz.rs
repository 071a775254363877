//! What fuzzers may call; compiled for them only.

use super::said::{Said, Word};

/// What a child says of itself is short and can be shown on a terminal.
pub fn notice(text: &str) {
    let mut word = Word::default();
    for notice in text.split('\u{1e}') {
        word.heed(&Said::of(notice));
        let shown = word.to_string();
        assert!(shown.chars().count() < 250);
        assert!(!shown.chars().any(char::is_control));
    }
}
