//! Words as a shell takes them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// One word of a shell, whatever is in it: nothing counts between single
/// quotes but another one.
pub(super) fn quoted(text: &OsStr) -> Vec<u8> {
    let mut word = vec![b'\''];
    for byte in text.as_bytes() {
        match byte {
            b'\'' => word.extend(br"'\''"),
            byte => word.push(*byte),
        }
    }
    word.push(b'\'');
    word
}

/// The same in a command that a person is told, as it is where a shell takes it
/// so.
pub(super) fn word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-=:@+,%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    String::from_utf8_lossy(&quoted(text.as_ref())).into_owned()
}

/// A path as [`word`].
pub(super) fn path(path: &Path) -> String {
    word(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_takes_as_it_is_stays_so_and_all_else_is_one_word_too() {
        assert_eq!(word("/srv/on_e-2.d/Ä"), "/srv/on_e-2.d/Ä");
        assert_eq!(word("~/a b"), "'~/a b'");
        assert_eq!(word("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(word(""), "''");
    }
}
