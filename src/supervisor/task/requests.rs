//! Requests on the control socket, and how the chain is.

use std::future::Future;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::mpsc;

use super::super::chain::{Outlook, PartId, State};
use super::super::part::Run;
use super::super::view::{self, ms};
use super::super::watchers::Until;
use super::Supervisor;
use crate::control::server::Command;
use crate::net::ask::ask;
use crate::net::unix::Socket;
use crate::process::usage::Usage;
use crate::protocol::control::{
    ChainState, Event, LastExit, PartKind, PartStatus, Request, STATUS_SCHEMA, SocketStatus, Status,
};
use crate::protocol::ipc::{TransportStatus, UpstreamStatus};
use crate::protocol::life::Asker;

/// How long a part may take to say how it is, when somebody asks.
const STATUS_PATIENCE: Duration = Duration::from_millis(300);

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
                    refuse(&events, "the chain is being stopped");
                }
            },
            Request::Stop { now: at_once } => {
                tracing::info!(?peer, at_once, "Asked to stop.");
                self.note_asked("stop", Vec::new(), asker(peer));
                self.watchers.add(Until::Stopped, events);
                self.stop(at_once, now);
            }
            Request::Restart { parts } => {
                tracing::info!(?peer, ?parts, "Asked to restart.");
                self.note_asked("restart", parts.clone(), asker(peer));
                match self.select(&parts) {
                    Ok(ids) => {
                        self.watchers.add(Until::Ready, events);
                        if ids.is_empty() {
                            self.chain.restart_all(now);
                        }
                        for id in ids {
                            self.chain.restart(id, now);
                        }
                    }
                    Err(error) => refuse(&events, &error),
                }
            }
        }
    }

    fn select(&self, names: &[String]) -> Result<Vec<PartId>, String> {
        if matches!(self.chain.outlook(), Outlook::Stopping | Outlook::Stopped) {
            return Err("the chain is being stopped".to_owned());
        }
        let known = || self.chain.parts().iter().map(|p| p.plan.name);
        let find = |name: &String| {
            let all = known().collect::<Vec<_>>().join(", ");
            let error = || format!("there is no part {name:?}; there are {all}");
            known().position(|n| n == name).ok_or_else(error)
        };
        names.iter().map(find).collect()
    }

    /// Answers in a task of its own: Falco and the transport are asked too.
    fn answer_status(&self, events: mpsc::Sender<Event>, now: Instant) {
        let status = self.status(now);
        let ask_ingest = Arc::clone(&self.config.ask_ingest);
        let ably_socket = self.config.ably_socket.clone();
        let probes = join_all(self.probes());
        self.shutdown.spawn(async move {
            let ingest = tokio::time::timeout(STATUS_PATIENCE, ask_ingest());
            let transport = ask_transport(&ably_socket);
            let (ingest, transport, answers) = tokio::join!(ingest, transport, probes);
            let mut status = Status {
                ingest: ingest.ok().flatten(),
                transport,
                ..status
            };
            for (id, answer) in answers {
                status.parts[id].ready &= answer.is_ok();
                status.parts[id].trouble = answer.err();
            }
            if status.state == ChainState::Running && !is_well(&status) {
                status.state = ChainState::Degraded;
            }
            _ = events.send(Event::Status(Box::new(status))).await;
        });
    }

    /// Asks every process that should answer whether it does: one that is
    /// suspended or hangs is still there for the kernel.
    fn probes(&self) -> Vec<impl Future<Output = (PartId, Result<(), String>)> + use<>> {
        let ready = |id: &PartId| matches!(self.chain.parts()[*id].state, State::Ready { .. });
        let probe = |id: PartId| match &self.config.parts[id].run {
            Run::Process(process) => {
                let fact = self.facts.of(self.name(id)).unwrap_or_default().to_owned();
                let probe = process.probe.clone();
                Some(async move { (id, probe.ask_once(&fact, STATUS_PATIENCE).await) })
            }
            Run::Server(_) => None,
        };
        (0..self.lives.len())
            .filter(ready)
            .filter_map(probe)
            .collect()
    }

    fn status(&self, now: Instant) -> Status {
        let usage = Usage::of(self.config.holder.identity.pid);
        let socket = |s: &Arc<Socket>| view::socket_status(s.path(), s.is_in_place());
        let sockets = std::iter::once(&self.config.control).chain(&self.config.sockets);
        let mut sockets: Vec<_> = sockets.map(socket).collect();
        sockets.extend(self.transport_socket());
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
            parts: (0..self.lives.len())
                .map(|id| self.part_status(id, now))
                .collect(),
            sockets,
            ingest: None,
            transport: None,
            emulator: self.emulator(),
            logs: view::log_status(self.config.logs.usage()),
        }
    }

    /// The transport binds its socket itself; while it answers, one is there.
    fn transport_socket(&self) -> Option<SocketStatus> {
        let path = &self.config.ably_socket;
        let place = path.display().to_string();
        let parts = self.config.parts.iter().zip(self.chain.parts());
        let mut ready = parts.filter(|(_, part)| matches!(part.state, State::Ready { .. }));
        ready.find(|(spec, _)| spec.place == place)?;
        let meta = std::fs::symlink_metadata(path);
        let is_socket = meta.is_ok_and(|meta| meta.file_type().is_socket());
        Some(view::socket_status(path, is_socket))
    }

    fn part_status(&self, id: PartId, now: Instant) -> PartStatus {
        let kind = match self.config.parts[id].run {
            Run::Process(_) => PartKind::Process,
            Run::Server(_) => PartKind::Server,
        };
        let pid = self.lives[id].as_ref().and_then(|l| l.pid);
        let status = view::part_status(&self.chain.parts()[id], kind, pid, self.place(id), now);
        let trouble = self.unreachable(id).filter(|_| status.ready);
        PartStatus {
            ready: status.ready && trouble.is_none(),
            trouble,
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

    /// Why nobody can reach a server of ours, however well it is.
    pub(super) fn unreachable(&self, id: PartId) -> Option<String> {
        match &self.config.parts[id].run {
            Run::Server(server) if !server.socket.is_in_place() => {
                let path = server.socket.path().display();
                Some(format!("{path} was removed or replaced"))
            }
            _ => None,
        }
    }
}

fn asker(peer: Option<(i32, u32)>) -> Asker {
    Asker {
        pid: peer.map(|(pid, _)| pid),
        uid: peer.map(|(_, uid)| uid),
        signal: None,
    }
}

/// Whether everything is as it should be.
fn is_well(status: &Status) -> bool {
    let refused = status.transport.iter().flat_map(|t| &t.connections);
    status.parts.iter().all(|part| part.ready)
        && status.sockets.iter().all(|socket| socket.in_place)
        && !refused.into_iter().any(UpstreamStatus::is_broken)
}

fn refuse(events: &mpsc::Sender<Event>, error: &str) {
    let error = error.to_owned();
    _ = events.try_send(Event::Refused { error });
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
