//! Failures by their cause: what the system has too little of, and what is in the
//! way of a file of ours, is told alike wherever it is met, with what to do about it.

use std::error::Error;
use std::io;

use super::{Exit, Failure};
use crate::plain_file;
use crate::process::features;
use crate::report::Report;
use crate::shortage::Shortage;

impl Failure {
    /// A failure with its whole chain of causes.
    pub(in crate::cli) fn of(exit: Exit, error: &(dyn Error + 'static)) -> Self {
        // The same error tells whoever connects or locks that somebody is busy.
        let short = Shortage::behind(error).filter(|short| *short != Shortage::Processes);
        Self::new(exit, Report(error))
            .short_of(short)
            .in_the_way(error)
    }

    /// A failure to do what needs nobody but the system.
    pub(in crate::cli) fn to(exit: Exit, doing: &str, error: &io::Error) -> Self {
        Self::new(exit, format!("failed to {doing}: {error}"))
            .short_of(Shortage::of(error))
            .in_the_way(error)
    }

    /// The same, if something else stands in the place of a file of ours.
    fn in_the_way(self, error: &(dyn Error + 'static)) -> Self {
        if plain_file::is_no_file(error) {
            return self.hint("move it away");
        }
        self
    }

    /// The same, if it is for want of something: no bug, and nothing is in the way.
    pub(in crate::cli) fn short_of(self, short: Option<Shortage>) -> Self {
        let Some(short) = short else { return self };
        let exit = match self.exit {
            Exit::Internal | Exit::CannotCreate => Exit::TimedOut,
            other => other,
        };
        let files = features::open_files().filter(|_| short == Shortage::OpenFiles);
        let failure = match files {
            Some(files) => self.adding(&format!("{files} are all it may have")),
            None => self,
        };
        failure.with_exit(exit).hint(short)
    }
}

#[cfg(test)]
mod tests {
    use nix::libc::{EAGAIN, EMFILE, ENOENT};

    use super::*;

    fn to(errno: i32) -> Failure {
        let error = io::Error::from_raw_os_error(errno);
        Failure::to(Exit::CannotCreate, "open it", &error)
    }

    fn of(errno: i32, exit: Exit) -> Failure {
        Failure::of(exit, &io::Error::from_raw_os_error(errno))
    }

    #[test]
    fn a_shortage_is_no_bug_and_nothing_in_the_way_and_says_what_to_do() {
        for failure in [to(EMFILE), to(EAGAIN), of(EMFILE, Exit::Internal)] {
            assert_eq!(failure.exit(), Exit::TimedOut, "{failure}");
            assert!(failure.hint.is_some(), "{failure}");
        }
        assert!(to(EMFILE).to_string().ends_with(" are all it may have"));
        assert_eq!(to(ENOENT).exit(), Exit::CannotCreate);
    }

    #[test]
    fn what_could_not_be_found_out_for_want_of_something_is_unknown_all_the_same() {
        assert_eq!(of(EMFILE, Exit::Unknown).exit(), Exit::Unknown);
    }

    #[test]
    fn somebody_who_is_busy_is_no_shortage() {
        let failure = of(EAGAIN, Exit::CannotCreate);
        assert_eq!(failure.exit(), Exit::CannotCreate);
        assert!(failure.hint.is_none());
    }
}
