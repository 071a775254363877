//! What the service manager is told of the chain, and when.
//!
//! Decides only; the supervisor task shows it the chain after every completed
//! turn of its loop and sends what it asks for. So a supervisor that hangs says
//! nothing, and the manager's watchdog notices.
//!
//! | line | when |
//! |---|---|
//! | `READY=1` | once, when the chain is up: every required part is ready |
//! | `RELOADING=1`, `MONOTONIC_USEC=…` | when the configuration begins to be read anew; `READY=1` again when it has been taken over, or refused |
//! | `STOPPING=1` | once, when it begins to stop |
//! | `STATUS=…` | when it differs from what was told, at most every half second |
//! | `EXTEND_TIMEOUT_USEC=…` | while starting or stopping, whenever the chain waits for something else |
//! | `WATCHDOG=1` | twice per watchdog interval |
//!
//! Without a manager there is nothing to tell, and no timer.

use std::time::{Duration, Instant};

use super::chain::Outlook;

/// The least time between two status texts, unless something weightier is told.
const STATUS_PAUSE: Duration = Duration::from_millis(500);

/// How much longer than the chain's own deadline the manager is to wait: what
/// is left to do then is ours, and quick.
const EXTENSION: Duration = Duration::from_secs(10);

/// The chain as it stands after a turn.
#[derive(Debug, Clone)]
pub(super) struct Sight {
    pub(super) outlook: Outlook,
    /// How it is, in one line.
    pub(super) text: String,
    /// When it will wait no longer for what it waits for now.
    pub(super) deadline: Option<Instant>,
    /// Whether its configuration is being read anew.
    pub(super) reloading: bool,
    /// The clock by which the manager knows which reload is meant.
    pub(super) monotonic: Duration,
}

/// The last milestone that was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Milestone {
    #[default]
    None,
    Ready,
    Reloading,
    Stopping,
}

/// What was told, and what is due.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// Half the manager's watchdog interval.
    ping_every: Option<Duration>,
    ping_at: Option<Instant>,
    told: Milestone,
    told_text: String,
    told_text_at: Option<Instant>,
    /// When a text that was held back may be told.
    text_at: Option<Instant>,
    extended_for: Option<Instant>,
}

impl Notices {
    pub(super) fn new(watchdog: Option<Duration>) -> Self {
        Self {
            ping_every: watchdog.map(|interval| interval / 2),
            ..Self::default()
        }
    }

    /// A turn is completed: the message to send, if there is something to tell.
    pub(super) fn handle_turn(&mut self, sight: &Sight, now: Instant) -> Option<String> {
        let mut lines = Vec::new();
        self.milestone(sight, &mut lines);
        self.extension(sight, now, &mut lines);
        self.text(sight, now, &mut lines);
        if let Some(every) = self.ping_every
            && self.ping_at.is_none_or(|at| at <= now)
        {
            self.ping_at = Some(now + every);
            lines.push("WATCHDOG=1".to_owned());
        }
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// When the next turn has to come, whatever happens.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.ping_at, self.text_at].into_iter().flatten().min()
    }

    fn milestone(&mut self, sight: &Sight, lines: &mut Vec<String>) {
        let milestone = match (self.told, sight.outlook) {
            (_, Outlook::Stopping | Outlook::Stopped) => Milestone::Stopping,
            (Milestone::None, Outlook::Ready | Outlook::Degraded) => Milestone::Ready,
            (Milestone::Ready, _) if sight.reloading => Milestone::Reloading,
            (Milestone::Reloading, _) if !sight.reloading => Milestone::Ready,
            (told, _) => told,
        };
        if milestone == self.told {
            return;
        }
        self.told = milestone;
        match milestone {
            Milestone::None => {}
            Milestone::Ready => lines.push("READY=1".to_owned()),
            Milestone::Reloading => {
                let usec = sight.monotonic.as_micros();
                lines.push(format!("RELOADING=1\nMONOTONIC_USEC={usec}"));
            }
            Milestone::Stopping => lines.push("STOPPING=1".to_owned()),
        }
    }

    /// The manager counts from when it was told to start or stop us; the chain
    /// knows better how long that may take.
    fn extension(&mut self, sight: &Sight, now: Instant, lines: &mut Vec<String>) {
        let passing = matches!(sight.outlook, Outlook::Starting | Outlook::Stopping);
        let due = sight.deadline.filter(|_| passing);
        if due == self.extended_for {
            return;
        }
        self.extended_for = due;
        if let Some(due) = due {
            let usec = (due.saturating_duration_since(now) + EXTENSION).as_micros();
            lines.push(format!("EXTEND_TIMEOUT_USEC={usec}"));
        }
    }

    fn text(&mut self, sight: &Sight, now: Instant, lines: &mut Vec<String>) {
        self.text_at = None;
        if sight.text == self.told_text {
            return;
        }
        let may = self.told_text_at.map(|told| told + STATUS_PAUSE);
        self.text_at = may.filter(|may| now < *may && lines.is_empty());
        if self.text_at.is_none() {
            self.told_text.clone_from(&sight.text);
            self.told_text_at = Some(now);
            lines.push(format!("STATUS={}", sight.text));
        }
    }
}

#[cfg(test)]
mod tests;
