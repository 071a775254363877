//! Asking a part that is ready whether it is still alive.

use std::time::{Duration, Instant};

/// How often a part is asked, and how patient we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// From one answer to the next question.
    pub every: Duration,
    /// So many questions in a row without an answer are too many.
    pub failures: u32,
    /// How long it is left alone after this machine slept.
    pub resume_grace: Duration,
}

/// The questions one incarnation was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulse {
    /// When it is asked next; nothing while it is being asked.
    next: Option<Instant>,
    /// Questions in a row that it did not answer.
    missed: u32,
    /// Until then a missing answer does not count.
    spared_until: Option<Instant>,
    /// What was wrong the last time.
    trouble: Option<String>,
}

impl Pulse {
    pub(super) fn new(pace: Pace, now: Instant) -> Self {
        Self {
            next: Some(now + pace.every),
            missed: 0,
            spared_until: None,
            trouble: None,
        }
    }

    /// When it is asked next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next
    }

    /// What was wrong the last time it was asked.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Whether it is to be asked now; if so, it counts as asked.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        let due = self.next.is_some_and(|next| next <= now);
        if due {
            self.next = None;
        }
        due
    }

    /// Notes an answer; whether there were too many without one.
    pub(super) fn answered(
        &mut self,
        pace: Pace,
        answer: Result<(), String>,
        now: Instant,
    ) -> bool {
        let spared = self.spared_until.is_some_and(|until| now < until);
        self.next = Some(now + pace.every);
        self.trouble = answer.err();
        match &self.trouble {
            None => self.missed = 0,
            Some(_) if !spared => self.missed += 1,
            Some(_) => {}
        }
        pace.failures <= self.missed
    }

    /// Notes that it could not be asked: neither an answer nor a missing one.
    pub(super) fn unasked(&mut self, pace: Pace, now: Instant) {
        self.next = Some(now + pace.every);
    }

    /// Time has passed in which nobody could answer.
    pub(super) fn resumed(&mut self, pace: Pace, now: Instant) {
        let spared_until = now + pace.resume_grace;
        self.missed = 0;
        self.spared_until = Some(spared_until);
        self.next = self.next.map(|_| spared_until);
    }
}
