//! What a child says of itself, in the manner of systemd's `sd_notify`.
//!
//! | line | what comes of it |
//! |---|---|
//! | `READY=1` | it is ready, if that is how it is to say so; a reload is over |
//! | `STATUS=…` | shown by `falco status`, shortened to one line |
//! | `RELOADING=1`, `STOPPING=1` | shown too; one that stops is not ready |
//! | `EXTEND_TIMEOUT_USEC=…` | it is waited for so long from now, within a bound |
//! | `WATCHDOG=1` | it is alive |
//! | `WATCHDOG=trigger` | it is not, and wants to be restarted |
//!
//! Everything else is passed over. Pure; who said it is not known here.

use std::fmt;
use std::time::Duration;

/// As much of a status as is kept, in characters.
const STATUS_CHARS_MAX: usize = 200;

/// One notice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Said {
    pub(super) ready: bool,
    pub(super) alive: bool,
    pub(super) in_distress: bool,
    pub(super) extends: Option<Duration>,
    phase: Option<Phase>,
    status: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Reloading,
    Stopping,
}

impl Said {
    pub(super) fn of(notice: &str) -> Self {
        let mut said = Self::default();
        for line in notice.lines() {
            match line.split_once('=') {
                Some(("READY", "1")) => said.ready = true,
                Some(("RELOADING", "1")) => said.phase = Some(Phase::Reloading),
                Some(("STOPPING", "1")) => said.phase = Some(Phase::Stopping),
                Some(("WATCHDOG", "1")) => said.alive = true,
                Some(("WATCHDOG", "trigger")) => said.in_distress = true,
                Some(("STATUS", text)) => said.status = Some(printable(text)),
                Some(("EXTEND_TIMEOUT_USEC", micros)) => {
                    said.extends = micros.parse().ok().map(Duration::from_micros);
                }
                _ => {}
            }
        }
        said
    }
}

/// It goes to terminals.
fn printable(text: &str) -> String {
    let shown = text.trim().chars().take(STATUS_CHARS_MAX);
    let shown = shown.map(|c| if c.is_control() { ' ' } else { c });
    shown.collect()
}

/// What one life has said so far, as far as it still holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Word {
    phase: Option<Phase>,
    status: String,
}

impl Word {
    /// Takes in one more notice; whether it says something new.
    pub(super) fn heed(&mut self, said: &Said) -> bool {
        let before = self.clone();
        if said.ready {
            self.phase = None;
        }
        self.phase = said.phase.or(self.phase);
        if let Some(status) = &said.status {
            self.status.clone_from(status);
        }
        *self != before
    }

    /// Whether it said that it is about to end.
    pub(super) fn is_stopping(&self) -> bool {
        self.phase == Some(Phase::Stopping)
    }

    /// For people; nothing if there is nothing to say.
    pub(super) fn text(&self) -> Option<String> {
        let text = self.to_string();
        (!text.is_empty()).then_some(text)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.phase {
            None => "",
            Some(Phase::Reloading) => "reloading",
            Some(Phase::Stopping) => "stopping",
        };
        let between = match (phase, self.status.as_str()) {
            ("", _) | (_, "") => "",
            _ => ": ",
        };
        write!(f, "{phase}{between}{}", self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_says_many_things_and_what_is_unknown_is_passed_over() {
        let said =
            Said::of("FDSTORE=1\nREADY=1\nWATCHDOG=1\nSTATUS= so far \nEXTEND_TIMEOUT_USEC=5");
        let expected = Said {
            ready: true,
            alive: true,
            extends: Some(Duration::from_micros(5)),
            status: Some("so far".to_owned()),
            ..Said::default()
        };
        assert_eq!(said, expected);
        let other = Said::of("WATCHDOG=trigger\nREADY=0\nEXTEND_TIMEOUT_USEC=soon\nnonsense");
        assert!(other.in_distress && !other.ready && other.extends.is_none());
    }

    #[test]
    fn what_was_said_holds_until_something_else_is() {
        let mut word = Word::default();
        let mut heed = |notice: &str| {
            let is_new = word.heed(&Said::of(notice));
            (is_new, word.text(), word.is_stopping())
        };
        assert_eq!(heed("WATCHDOG=1"), (false, None, false));
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(heed("STATUS=40 %"), (true, text("40 %"), false));
        assert_eq!(heed("RELOADING=1"), (true, text("reloading: 40 %"), false));
        assert_eq!(heed("READY=1\nSTATUS="), (true, None, false));
        assert_eq!(heed("STOPPING=1"), (true, text("stopping"), true));
    }

    #[test]
    fn a_status_is_short_and_moves_no_cursor() {
        let mut word = Word::default();
        word.heed(&Said::of(&format!("STATUS=a\u{1b}[2Jb{}", "x".repeat(500))));
        let text = word.text().unwrap();
        assert!(text.starts_with("a [2Jb") && text.chars().count() == STATUS_CHARS_MAX);
    }
}
