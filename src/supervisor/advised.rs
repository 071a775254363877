//! Errors as they are told to whoever runs the chain.

use std::error::Error;
use std::fmt;

use crate::report::Report;
use crate::shortage::Shortage;

/// An error with its causes, and with what to do if it is a shortage.
pub(super) struct Advised<'a>(pub(super) &'a (dyn Error + 'static));

impl fmt::Display for Advised<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Report(self.0))?;
        match Shortage::behind(self.0) {
            Some(shortage) => write!(f, "; {shortage}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::part::Unprepared;
    use super::*;
    use nix::libc::{EMFILE, ENOENT};

    #[test]
    fn a_shortage_is_told_with_what_to_do() {
        let told = |errno| {
            let error = Unprepared::Descriptors(std::io::Error::from_raw_os_error(errno));
            Advised(&error).to_string()
        };
        let short = told(EMFILE);
        assert!(short.contains("Too many open files"), "{short}");
        assert!(short.contains("; raise the limit of open files (ulimit -n"));
        assert!(!told(ENOENT).contains(';'));
    }
}
