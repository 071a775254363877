//! What the supervisor tells of the chain: to the log and to whoever watches.

use std::time::Instant;

use super::super::chain::{Change, Ending, Part, PartId, State};
use super::super::part::Run;
use super::super::probe::EmulatorFact;
use super::super::view::ms;
use super::Supervisor;
use crate::protocol::control::{EmulatorPlace, Event, Missing, StartFailure, Summary};
use crate::protocol::life::Life;

/// The exit code when a part never became ready.
const EXIT_UNAVAILABLE: u8 = 69;

impl Supervisor {
    pub(super) fn announce(&mut self, change: Change) {
        let event = match change {
            Change::Ready { part, after } => {
                let pid = self.pid(part);
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
            Change::Unasked { part, why } => {
                tracing::warn!(part = self.name(part), error = %why, "Part cannot be asked how it is now; will try again.");
                return;
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
                Event::PartStuck {
                    part: self.name(part).to_owned(),
                    pids: self.pid(part).into_iter().collect(),
                }
            }
            Change::Finished { part } => {
                tracing::info!(part = self.name(part), "Part has finished.");
                Event::PartFinished {
                    part: self.name(part).to_owned(),
                }
            }
            Change::Removed { part } => return self.forget(part),
            Change::ChainReady => {
                tracing::info!("The whole chain is ready.");
                self.journal.note(Life::Ready);
                Event::Ready(self.settled())
            }
            Change::Settled => {
                let summary = self.settled();
                tracing::warn!(missing = ?summary.missing, "The chain is up without some of its sidecars.");
                Event::Ready(summary)
            }
            Change::StartFailed { part } => {
                self.stopping_since.get_or_insert(Instant::now());
                self.failure = Some(self.failure(part));
                return;
            }
        };
        self.watchers.tell(&event);
    }

    /// It is no part any more.
    fn forget(&mut self, part: PartId) {
        if let Some(member) = self.members.remove(&part) {
            member.rest();
            self.facts.forget(&member.spec.plan.name);
        }
    }

    /// What is up, now that the first start is over.
    fn settled(&mut self) -> Summary {
        self.took.get_or_insert_with(|| self.config.began.elapsed());
        self.summary(Instant::now())
    }

    /// Why a part is not ready: how it ended last, or what it waits for.
    fn last_end(&self, id: PartId) -> String {
        let Some(part) = self.chain.part(id) else {
            return "it is no part any more".to_owned();
        };
        match (&part.last_end, &part.state) {
            _ if part.is_late() => Ending::NotReady.to_string(),
            (Some(end), _) => end.ending.to_string(),
            (None, State::Waiting) => format!("waits for {}", self.chain.waits_for(part)),
            (None, _) => "it never ran".to_owned(),
        }
    }

    pub(super) fn failure(&self, id: PartId) -> StartFailure {
        let name = self.name(id);
        let part = self.chain.part(id);
        let how = self.last_end(id);
        let attempt = part.map_or(0, |part| part.incarnation);
        let end = part.and_then(|part| part.last_end.as_ref());
        let exit = match end.map(|end| &end.ending) {
            Some(Ending::Failed(fall)) => fall.exit,
            _ => None,
        };
        StartFailure {
            exit: exit.unwrap_or(EXIT_UNAVAILABLE),
            error: format!("{name} never became ready: {how} (attempt {attempt})"),
            hint: Some(format!("{}; every part was ended", self.who_says_more(id))),
            part: Some(name.to_owned()),
        }
    }

    /// Which command says more about a part that is not ready.
    pub(super) fn who_says_more(&self, id: PartId) -> String {
        let name = self.name(id);
        let has_run = self.chain.part(id).is_some_and(|part| 0 < part.incarnation);
        match self.members.get(&id).map(|member| &member.spec.run) {
            _ if !has_run => "`falco status` says what it waits for".to_owned(),
            // It writes where we do.
            Some(Run::Server(_)) => "`falco logs falco` says more".to_owned(),
            _ => format!("`falco logs {name}` says more"),
        }
    }

    pub(super) fn summary(&self, now: Instant) -> Summary {
        let up = now.duration_since(self.config.began);
        let well = |(id, part): &(PartId, &Part)| part.is_well() && self.unreachable(*id).is_none();
        Summary {
            pid: self.config.holder.identity.pid,
            instance: self.config.holder.instance.clone(),
            took_ms: ms(self.took.unwrap_or(up)),
            up_ms: ms(up),
            parts: self.chain.parts().count(),
            parts_ready: self.chain.parts().filter(well).count(),
            missing: self.missing(),
            falco_socket: self.config.falco_socket.display().to_string(),
            ably_socket: self.config.ably_socket.display().to_string(),
            device_id: self.config.device_id.clone(),
            user_id: self.config.user_id.clone(),
            login: Some(self.login.state),
            emulator: self.emulator(),
        }
    }

    /// The parts that are not as they should be, and why.
    fn missing(&self) -> Vec<Missing> {
        let parts = self.chain.parts();
        let missing = |(id, part): (PartId, &Part)| {
            let why = match self.unreachable(id) {
                None if part.is_well() => return None,
                None => self.last_end(id),
                Some(trouble) => trouble,
            };
            let part = self.name(id).to_owned();
            Some(Missing { part, why })
        };
        parts.filter_map(missing).collect()
    }

    pub(super) fn emulator(&self) -> Option<EmulatorPlace> {
        let key_file = self.emulator_key_file.as_ref()?;
        let fact = EmulatorFact::parse(self.facts.of("emulator")?).ok()?;
        Some(EmulatorPlace {
            address: fact.address,
            key_file: key_file.display().to_string(),
        })
    }

    /// Where a part listens: what it said of itself, else what is planned.
    pub(super) fn place(&self, part: PartId) -> String {
        let fact = self.facts.of(self.name(part)).unwrap_or_default();
        if let Ok(EmulatorFact { address }) = EmulatorFact::parse(fact) {
            return format!("http://{address}");
        }
        let member = self.members.get(&part);
        member.map_or(String::new(), |member| member.spec.place.clone())
    }
}
