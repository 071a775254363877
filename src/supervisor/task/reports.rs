//! What the parts' lives report, and what it means for the chain.

use std::time::Instant;

use super::super::chain::PartId;
use super::super::incarnation::{News, Report};
use super::super::part::Run;
use super::Supervisor;
use crate::protocol::control::Event;

impl Supervisor {
    pub(super) fn handle_report(&mut self, report: Report, now: Instant) {
        let Report {
            part,
            incarnation,
            news,
        } = report;
        match news {
            News::Started { pid } => {
                if let Some(life) = self.life(part, incarnation) {
                    life.pid = Some(pid);
                }
            }
            News::Busy { what } => {
                self.chain.handle_busy(part, incarnation, now);
                let part = self.name(part).to_owned();
                self.watchers.tell(&Event::PartBusy { part, what });
            }
            News::Ready { fact } => {
                let Some(name) = self.members.get(&part).map(|m| &m.spec.plan.name) else {
                    return;
                };
                let changed = self.facts.note(name, &fact);
                self.chain.handle_ready(part, incarnation, now);
                self.note_made_socket(part, incarnation, now);
                if changed {
                    self.restart_those_after(part, now);
                }
            }
            News::Pulse { answer } => self.chain.handle_pulse(part, incarnation, answer, now),
            News::Unasked { why } => self.chain.handle_unasked(part, incarnation, why, now),
            News::Extends { by } => self.chain.handle_extension(part, incarnation, by, now),
            News::Distress => self.chain.handle_distress(part, incarnation, now),
            News::Ended { ending, left } => {
                if self.life(part, incarnation).is_some()
                    && let Some(member) = self.members.get_mut(&part)
                {
                    member.life = None;
                }
                self.tell_stuck(part, left);
                let was = self.chain.part(part).map(|part| part.state.clone());
                self.chain
                    .handle_end(part, incarnation, ending, now, rand::random());
                if let Some(was) = was {
                    self.note_end(part, incarnation, &was);
                }
            }
        }
    }

    fn tell_stuck(&mut self, part: PartId, pids: Vec<u32>) {
        if pids.is_empty() {
            return;
        }
        let part = self.name(part).to_owned();
        tracing::error!(part, ?pids, "Processes of a part would not die.");
        self.watchers.tell(&Event::PartStuck { part, pids });
    }

    /// A part said something new of itself (another port, another token):
    /// those that were started with the old word start again.
    fn restart_those_after(&mut self, part: PartId, now: Instant) {
        let followers: Vec<PartId> = self.chain.followers(part).collect();
        for other in followers {
            let has_life = self.members.get(&other).is_some_and(|m| m.life.is_some());
            if has_life && self.heeds_facts(other) {
                tracing::info!(
                    part = self.name(other),
                    after = self.name(part),
                    "A part it depends on has changed; restarting."
                );
                // One that is being stopped is started with the new word.
                _ = self.chain.restart(other, now);
                self.watchers.wait_also(part, other);
            }
        }
    }

    fn heeds_facts(&self, part: PartId) -> bool {
        let run = self.members.get(&part).map(|member| &member.spec.run);
        matches!(run, Some(Run::Process(process)) if process.heeds_facts)
    }
}
