//! Who is waited for: told to those who watch while a part takes its time to end.

use std::time::{Duration, Instant};

use super::super::chain::{PartId, Wait};
use super::super::incarnation;
use super::super::part::Run;
use super::super::view::ms;
use super::Supervisor;
use super::ending::FINISH_PATIENCE;
use crate::process::group;
use crate::protocol::control::{Event, PartWaiting};

/// How long a part may take to end before that is told, and how often it is told
/// after that.
const PATIENCE: Duration = Duration::from_secs(1);

impl Supervisor {
    /// When to tell next; `None` while nobody has to be waited for, or nobody
    /// wants to know.
    pub(super) fn waiting_due(&self) -> Option<Instant> {
        if self.watchers.is_empty() {
            return None;
        }
        let since = self.waits().map(|(_, wait)| wait.asked).min()?;
        let told = self.told_waiting.unwrap_or(since);
        Some(since.max(told) + PATIENCE)
    }

    /// Tells who is waited for, if it is time.
    pub(super) fn tell_waiting(&mut self, now: Instant) {
        if self.waiting_due().is_none_or(|due| now < due) {
            return;
        }
        self.told_waiting = Some(now);
        let parts = self.waits().map(|(id, wait)| self.waiting(id, wait, now));
        let parts = parts.collect();
        let gone_by = self.chain.gone_by();
        let within = gone_by.map(|by| by.saturating_duration_since(now) + FINISH_PATIENCE);
        self.watchers.tell(&Event::Waiting {
            parts,
            within_ms: within.map(ms),
        });
    }

    fn waits(&self) -> impl Iterator<Item = (PartId, Wait)> {
        let parts = self.chain.parts();
        parts.filter_map(|(id, part)| Some((id, part.wait()?)))
    }

    fn waiting(&self, id: PartId, wait: Wait, now: Instant) -> PartWaiting {
        let signal = match self.members.get(&id).map(|member| &member.spec.run) {
            Some(Run::Process(_)) if wait.killed.is_some() => Some("SIGKILL"),
            Some(Run::Process(process)) => Some(incarnation::signal(process.stop_signal).as_str()),
            _ => None,
        };
        let until = wait.until.saturating_duration_since(now);
        PartWaiting {
            part: self.name(id).to_owned(),
            pids: self.pid(id).map(group::members).unwrap_or_default(),
            signal: signal.map(str::to_owned),
            since_ms: ms(now.duration_since(wait.killed.unwrap_or(wait.asked))),
            kill_in_ms: wait.killed.is_none().then(|| ms(until)),
        }
    }
}
