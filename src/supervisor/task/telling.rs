//! What the supervisor tells of the chain: to the log and to whoever watches.

use std::time::Instant;

use super::super::chain::{Change, PartId, State};
use super::super::probe::EmulatorFact;
use super::super::view::ms;
use super::Supervisor;
use crate::protocol::control::{EmulatorPlace, Event, StartFailure, Summary};
use crate::protocol::life::Life;

/// The exit code when a part never became ready.
const EXIT_UNAVAILABLE: u8 = 69;

impl Supervisor {
    pub(super) fn announce(&mut self, change: Change) {
        let event = match change {
            Change::Ready { part, after } => {
                let pid = self.lives[part].as_ref().and_then(|l| l.pid);
                tracing::info!(
                    part = self.name(part),
                    pid,
                    after_ms = ms(after),
                    "Part is ready."
                );
                Event::PartReady {
                    part: self.name(part).to_owned(),
                    pid,
                    after_ms: ms(after),
                    place: self.place(part),
                }
            }
            Change::Ended {
                part,
                ending,
                retry_in,
            } => {
                let delay_ms = retry_in.map(ms);
                tracing::warn!(part = self.name(part), %ending, delay_ms, "Part ended.");
                Event::PartEnded {
                    part: self.name(part).to_owned(),
                    ending: ending.to_string(),
                    retry_in_ms: delay_ms,
                }
            }
            Change::Stopped {
                part,
                after,
                killed,
            } => {
                tracing::info!(
                    part = self.name(part),
                    after_ms = ms(after),
                    killed,
                    "Part stopped."
                );
                Event::PartStopped {
                    part: self.name(part).to_owned(),
                    after_ms: ms(after),
                    killed,
                }
            }
            Change::Stuck { part } => {
                tracing::error!(part = self.name(part), "Part outlived SIGKILL.");
                let pids = self.lives[part].as_ref().and_then(|l| l.pid);
                Event::PartStuck {
                    part: self.name(part).to_owned(),
                    pids: pids.into_iter().collect(),
                }
            }
            Change::ChainReady => {
                tracing::info!("The whole chain is ready.");
                self.journal.note(Life::Ready);
                self.took.get_or_insert_with(|| self.config.began.elapsed());
                Event::Ready(self.summary(Instant::now()))
            }
            Change::StartFailed { part } => {
                self.stopping_since.get_or_insert(Instant::now());
                self.failure = Some(self.failure(part));
                return;
            }
        };
        self.watchers.tell(&event);
    }

    pub(super) fn failure(&self, id: PartId) -> StartFailure {
        let part = &self.chain.parts()[id];
        let name = part.plan.name;
        let how = part.last_end.as_ref().map(|e| e.ending.to_string());
        let error = format!(
            "{name} never became ready: {} (attempt {})",
            how.unwrap_or_default(),
            part.incarnation
        );
        let hint = format!("falco logs {name} says more; every part was ended");
        StartFailure {
            exit: EXIT_UNAVAILABLE,
            error,
            hint: Some(hint),
            part: Some(name.to_owned()),
        }
    }

    pub(super) fn summary(&self, now: Instant) -> Summary {
        let up = now.duration_since(self.config.began);
        let ready = |id: &PartId| {
            let is_ready = matches!(self.chain.parts()[*id].state, State::Ready { .. });
            is_ready && self.unreachable(*id).is_none()
        };
        Summary {
            pid: self.config.holder.identity.pid,
            instance: self.config.holder.instance.clone(),
            took_ms: ms(self.took.unwrap_or(up)),
            up_ms: ms(up),
            parts: self.lives.len(),
            parts_ready: (0..self.lives.len()).filter(ready).count(),
            falco_socket: self.config.falco_socket.display().to_string(),
            ably_socket: self.config.ably_socket.display().to_string(),
            device_id: self.config.device_id.clone(),
            user_id: self.config.user_id.clone(),
            emulator: self.emulator(),
        }
    }

    pub(super) fn emulator(&self) -> Option<EmulatorPlace> {
        let key_file = self.config.emulator_key_file.as_ref()?;
        let fact = EmulatorFact::parse(self.facts.of("emulator")?).ok()?;
        Some(EmulatorPlace {
            address: fact.address,
            key_file: key_file.display().to_string(),
        })
    }

    /// Where a part listens: what it said of itself, else what is planned.
    pub(super) fn place(&self, part: PartId) -> String {
        let fact = self.facts.of(self.name(part)).unwrap_or_default();
        match EmulatorFact::parse(fact) {
            Ok(EmulatorFact { address }) => format!("http://{address}"),
            Err(_) => self.config.parts[part].place.clone(),
        }
    }
}
