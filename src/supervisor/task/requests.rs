//! Requests on the control socket, and how the chain is.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::mpsc;

use super::super::chain::{Outlook, Part, PartId, State};
use super::super::part::{ReadyBy, Run};
use super::super::view::{self, ms};
use super::super::watchers::Until;
use super::Supervisor;
use super::commands::Deed;
use crate::control::server::Command;
use crate::net::ask::ask;
use crate::net::unix::Socket;
use crate::process::usage::Usage;
use crate::protocol::control::{
    ChainState, Event, LastExit, PartKind, PartStatus, Refusal, Request, STATUS_SCHEMA, Status,
};
use crate::protocol::ipc::TransportStatus;
use crate::protocol::lane::LaneRequest;
use crate::protocol::life::Asker;
use crate::protocol::outbox::OutboxRequest;

/// How long a part may take to say how it is, when somebody asks.
const STATUS_PATIENCE: Duration = Duration::from_millis(300);

/// How long a change of the outbox may take to be on disk.
const OUTBOX_PATIENCE: Duration = Duration::from_secs(30);

impl Supervisor {
    pub(super) fn handle_command(&mut self, command: Command, now: Instant) {
        let Command {
            request,
            events,
            peer,
        } = command;
        match request {
            Request::Status => self.answer_status(events, now),
            Request::Attach => match self.chain.outlook() {
                Outlook::Starting => self.watchers.add(Until::Ready, events),
                Outlook::Ready | Outlook::Degraded => {
                    _ = events.try_send(Event::Ready(self.summary(now)));
                }
                Outlook::Stopping | Outlook::Stopped => {
                    refuse(&events, Refusal::impossible("the chain is being stopped"));
                }
            },
            Request::Stop {
                now: at_once,
                parts,
                verb,
            } => {
                tracing::info!(?peer, ?verb, at_once, ?parts, "Asked to stop.");
                let by = Asker {
                    verb,
                    ..asker(peer)
                };
                self.note_asked("stop", parts.clone(), by);
                if parts.is_empty() {
                    self.command_all(Deed::Stop, at_once, events, now);
                } else {
                    self.command_parts(Deed::Stop, &parts, events, now);
                }
            }
            Request::Reload => {
                tracing::info!(?peer, "Asked to reload.");
                self.note_asked("reload", Vec::new(), asker(peer));
                self.begin_reload(Some(events));
            }
            Request::Outbox(request) => self.answer_outbox(request, events),
            Request::Lanes(request) => self.answer_lanes(request, events),
            Request::Restart { parts } => {
                tracing::info!(?peer, ?parts, "Asked to restart.");
                self.note_asked("restart", parts.clone(), asker(peer));
                if parts.is_empty() {
                    self.command_all(Deed::Restart, false, events, now);
                } else {
                    self.command_parts(Deed::Restart, &parts, events, now);
                }
            }
        }
    }

    /// Answers in a task of its own: Falco and the transport are asked too.
    fn answer_status(&self, events: mpsc::Sender<Event>, now: Instant) {
        let status = self.status(now);
        let ask_ingest = Arc::clone(&self.config.ask_ingest);
        let ask_hung = Arc::clone(&self.config.ask_hung);
        let ably_socket = self.config.ably_socket.clone();
        let probes = join_all(self.probes());
        let asked = async move {
            let ingest = tokio::time::timeout(STATUS_PATIENCE, ask_ingest());
            let transport = ask_transport(&ably_socket);
            let (ingest, transport, answers) = tokio::join!(ingest, transport, probes);
            let mut status = Status {
                ingest: ingest.ok().flatten(),
                transport,
                ..status
            };
            for (at, answer) in answers {
                // Silence so short says nothing; what was known stays.
                let Some(answer) = answer else { continue };
                status.parts[at].ready &= answer.is_ok();
                status.parts[at].trouble = answer.err();
            }
            if let Some((name, why)) = ask_hung() {
                let mut parts = status.parts.iter_mut();
                if let Some(part) = parts.find(|part| part.name == name) {
                    (part.ready, part.trouble) = (false, Some(why));
                }
            }
            if status.state == ChainState::Running && !status.troubles().is_empty() {
                status.state = ChainState::Degraded;
            }
            Event::Status(Box::new(status))
        };
        self.shutdown.spawn(say(asked, events));
    }

    /// Answers in a task of its own: the disk may have to be waited for.
    fn answer_outbox(&self, request: OutboxRequest, events: mpsc::Sender<Event>) {
        let asked = (self.config.ask_outbox)(request);
        let told = |answer| Event::Outbox(Box::new(answer));
        self.shutdown.spawn(answer(asked, events, told));
    }

    /// Answers in a task of its own, as for the outbox.
    fn answer_lanes(&self, request: LaneRequest, events: mpsc::Sender<Event>) {
        let asked = (self.config.ask_lanes)(request);
        let told = |answer| Event::Lanes(Box::new(answer));
        self.shutdown.spawn(answer(asked, events, told));
    }

    /// Asks every process that should answer whether it does, each by its place
    /// in the order: one that is suspended or hangs is still there for the
    /// kernel.
    fn probes(&self) -> Vec<impl Future<Output = (usize, Option<Result<(), String>>)> + use<>> {
        let parts = self.chain.parts().enumerate();
        let ready = parts.filter(|(_, (_, part))| matches!(part.state, State::Ready { .. }));
        let probe = |(at, (id, _))| match &self.members.get(&id)?.spec.run {
            Run::Process(process) => {
                let ReadyBy::Probe(probe) = &process.ready else {
                    return None;
                };
                // What is known to be somebody else's is not asked.
                if !probe.is_cheap() || self.unreachable(id).is_some() {
                    return None;
                }
                let fact = self.facts.of(self.name(id)).unwrap_or_default().to_owned();
                let probe = probe.clone();
                Some(async move { (at, probe.ask_in_passing(&fact, STATUS_PATIENCE).await) })
            }
            Run::Server(_) => None,
        };
        ready.filter_map(probe).collect()
    }

    fn status(&self, now: Instant) -> Status {
        let usage = Usage::of(self.config.holder.identity.pid);
        let socket = |s: &Arc<Socket>| view::socket_status(s.path(), s.is_in_place());
        let sockets = std::iter::once(&self.config.control).chain(&self.config.sockets);
        let mut sockets: Vec<_> = sockets.map(socket).collect();
        sockets.extend(self.made_socket());
        Status {
            schema: STATUS_SCHEMA,
            state: view::chain_state(&self.chain),
            instance: self.config.holder.instance.clone(),
            version: self.config.holder.version.clone(),
            pid: self.config.holder.identity.pid,
            boot_id: self.config.holder.identity.boot_id.clone(),
            since_ms: self.config.holder.since_ms,
            up_ms: ms(now.duration_since(self.config.began)),
            rss_bytes: usage.map(|u| u.rss_bytes),
            cpu_ms: usage.map(|u| ms(u.cpu)),
            base_dir: self.config.base_dir.display().to_string(),
            device_id: self.config.device_id.clone(),
            user_id: self.config.user_id.clone(),
            parts: self
                .chain
                .parts()
                .map(|(id, part)| self.part_status(id, part, now))
                .collect(),
            sockets,
            ingest: None,
            transport: None,
            emulator: self.emulator(),
            login: self.login.clone(),
            logs: view::log_status(self.config.logs.usage()),
            metrics: self.metrics.place(),
        }
    }

    fn part_status(&self, id: PartId, part: &Part, now: Instant) -> PartStatus {
        let kind = match self.members.get(&id).map(|member| &member.spec.run) {
            Some(Run::Server(_)) => PartKind::Server,
            _ => PartKind::Process,
        };
        let status = view::part_status(part, kind, self.pid(id), self.place(id), now);
        let missed = match &part.state {
            State::Ready { pulse, .. } => pulse.as_ref().and_then(|pulse| pulse.trouble()),
            _ => None,
        };
        let trouble = self.unreachable(id).or(missed.map(str::to_owned));
        let trouble = trouble.filter(|_| status.ready);
        let life = self.members.get(&id).and_then(|m| m.life.as_ref());
        let word = life.map(|life| life.word.borrow().clone());
        let word = word.unwrap_or_default();
        PartStatus {
            optional: !self.chain.is_required(id),
            ready: status.ready && trouble.is_none() && !word.is_stopping(),
            trouble,
            says: word.text(),
            last_exit: status.last_exit.map(|exit| LastExit {
                cause: self.noted.cause(&status.name),
                ..exit
            }),
            log: match kind {
                PartKind::Process => self.config.logs.usage_of(self.name(id)),
                PartKind::Server => None,
            }
            .map(view::log_status),
            ..status
        }
    }

    /// Why nobody can reach a part, however well it is.
    pub(super) fn unreachable(&self, id: PartId) -> Option<String> {
        let spec = &self.members.get(&id)?.spec;
        match &spec.run {
            Run::Server(server) if !server.socket.is_in_place() => {
                let (path, name) = (server.socket.path().display(), &spec.plan.name);
                Some(format!(
                    "{path} was removed or replaced; `falco restart {name}`"
                ))
            }
            Run::Process(_)
                if self.transport() == Some(id)
                    && self.made_socket_is_in_place() == Some(false) =>
            {
                let path = self.config.ably_socket.display();
                Some(format!("{path} was removed or replaced"))
            }
            _ => None,
        }
    }
}

/// Says what Falco says, and when it takes too long; it drops what is let go and
/// it has not begun.
async fn answer<T>(
    asked: impl Future<Output = Result<T, Refusal>>,
    events: mpsc::Sender<Event>,
    told: impl FnOnce(T) -> Event,
) {
    let late = || {
        let seconds = OUTBOX_PATIENCE.as_secs();
        Refusal::late(format!("Falco did not answer within {seconds} s"))
    };
    let asked = async {
        let answer = tokio::time::timeout(OUTBOX_PATIENCE, asked).await;
        let answer = answer.unwrap_or_else(|_| Err(late()));
        answer.map_or_else(Event::Refused, told)
    };
    say(asked, events).await;
}

/// Says what comes of `asked`. What nobody waits for any more is let go: who is
/// gone has a place no longer, and must not leave work without bound.
async fn say(asked: impl Future<Output = Event>, events: mpsc::Sender<Event>) {
    let event = tokio::select! {
        biased;
        () = events.closed() => return,
        event = asked => event,
    };
    _ = events.send(event).await;
}

fn asker(peer: Option<(i32, u32)>) -> Asker {
    Asker {
        pid: peer.map(|(pid, _)| pid),
        uid: peer.map(|(_, uid)| uid),
        ..Asker::default()
    }
}

pub(super) fn refuse(events: &mpsc::Sender<Event>, refusal: Refusal) {
    _ = events.try_send(Event::Refused(refusal));
}

#[derive(serde::Deserialize)]
struct StatusAnswer {
    ok: bool,
    #[serde(flatten)]
    status: TransportStatus,
}

async fn ask_transport(socket: &Path) -> Option<TransportStatus> {
    let request = r#"{"op":"status.v1","request_id":"status"}"#;
    let answer = ask(socket, request, STATUS_PATIENCE).await.ok()?;
    let answer: StatusAnswer = serde_json::from_str(&answer).ok()?;
    answer.ok.then_some(answer.status)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::sync::oneshot;

    use super::*;
    use crate::protocol::control::Why;

    #[tokio::test(start_paused = true)]
    async fn what_falco_is_slow_to_answer_is_not_called_impossible() {
        let (events, mut told) = mpsc::channel(1);
        let never = pending::<Result<Event, Refusal>>();
        answer(never, events, |event| event).await;
        let late = told.recv().await.expect("an answer");
        assert!(matches!(late, Event::Refused(refusal) if refusal.why == Why::Late));
    }

    #[tokio::test(start_paused = true)]
    async fn falco_is_asked_no_more_for_somebody_who_is_gone() {
        let (events, told) = mpsc::channel(1);
        let (waits, asked) = oneshot::channel::<()>();
        let asked = async move {
            _ = asked.await;
            Err(Refusal::impossible("it was asked to the end"))
        };
        let answering = tokio::spawn(answer(asked, events, |event| event));
        tokio::task::yield_now().await;
        drop(told);
        answering.await.expect("ends");
        assert!(waits.is_closed());
    }
}
