//! A status as people read it, but that commands stand in backquotes still.
//!
//! ```text
//! ● falco ~/.unbound   running   since 09:14:02 (2h14m)   pid 8805   v0.1.0   mem 6.1 MB
//! NAME       STATE    READY  PID   UPTIME  RESTARTS    LAST EXIT              CPU   MEM      LISTENS
//! transport  running  yes    8812  2h14m   1 (2h ago)  signal SEGV, 09:13:58  0.3%  21.0 MB  …
//! ```

mod effects;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::paint::{Color, Paint};
use crate::cli::moment::Local;
use crate::cli::progress;
use crate::clock;
use crate::counted::counted;
use crate::paths::Paths;
use crate::protocol::control::{
    ChainState, LastExit, LogStatus, Login, LoginState, MetricsPlace, PartKind, PartState,
    PartStatus, SocketStatus, Status,
};
use crate::protocol::ipc::TransportStatus;
use crate::protocol::life::Cause;

const COLUMNS: usize = 10;

/// How statuses are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Render {
    pub(super) local: Local,
    pub(super) paint: Paint,
    /// The user we run as.
    pub(super) uid: u32,
}

impl Render {
    /// Everything there is to say.
    pub(super) fn whole(self, status: &Status) -> String {
        let mut text = self.headline(status);
        text.push_str(&self.parts(&status.parts));
        if let Some(transport) = &status.transport {
            text.push_str(&self.upstream(transport));
        }
        if let Some(ingest) = &status.ingest {
            text.push_str(&self.effects(ingest, &Paths::new(&status.base_dir)));
        }
        text.push_str(&login(status));
        if let Some(emulator) = &status.emulator {
            _ = writeln!(
                text,
                "emulator  http://{}  key in {}",
                emulator.address, emulator.key_file
            );
        }
        if let Some(metrics) = &status.metrics {
            text.push_str(&self.metrics(metrics));
        }
        text.push_str(&self.sockets(&status.sockets));
        text.push_str(&self.logs(&status.logs));
        text.truncate(text.trim_end().len());
        text
    }

    /// These parts, and what is wrong with them.
    pub(super) fn parts(self, parts: &[PartStatus]) -> String {
        let mut text = self.table(parts);
        for part in parts {
            if let Some(says) = &part.says {
                _ = writeln!(text, "says      {}: {says}", part.name);
            }
            let name = &part.name;
            if let Some(said) = &part.said_last {
                let line = format!("! {name} said last: {said}; `falco logs {name}`");
                _ = writeln!(text, "{}", self.paint.with(Color::Red, &line));
            }
            if let Some(trouble) = &part.trouble {
                let next = match part.kind {
                    PartKind::Process => format!("; `falco restart {name}`"),
                    PartKind::Server => String::new(),
                };
                let line = format!("! {name}: {trouble}{next}");
                _ = writeln!(text, "{}", self.paint.with(Color::Red, &line));
            }
        }
        text
    }

    /// How the chain is, at a glance.
    pub(super) fn dot(self, state: ChainState) -> String {
        let (dot, color) = match state {
            ChainState::Running => ("●", Color::Green),
            ChainState::Starting | ChainState::Stopping => ("◐", Color::Yellow),
            ChainState::Degraded => ("◐", Color::Red),
        };
        self.paint.with(color, dot)
    }

    fn headline(self, status: &Status) -> String {
        let word = status.state.as_str();
        let since = clock::utc(status.since_ms);
        format!(
            "{} falco {}   {word}   since {} ({})   pid {}   v{}   mem {}\n",
            self.dot(status.state),
            progress::tilde(status.base_dir.as_ref()),
            self.local.moment(&since, clock::now_ms()),
            span(status.up_ms),
            status.pid,
            status.version,
            bytes(status.rss_bytes),
        )
    }

    fn table(self, parts: &[PartStatus]) -> String {
        let head = [
            "NAME",
            "STATE",
            "READY",
            "PID",
            "UPTIME",
            "RESTARTS",
            "LAST EXIT",
            "CPU",
            "MEM",
            "LISTENS",
        ];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(parts.iter().map(|part| self.row(part)));
        let longest = |column: usize| rows.iter().map(|r| r[column].chars().count()).max();
        let widths: Vec<_> = (0..COLUMNS).map(|c| longest(c).unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &rows {
            let cells = row.iter().zip(&widths);
            let cells = cells.map(|(cell, &width)| format!("{cell:<width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }

    fn row(self, part: &PartStatus) -> [String; COLUMNS] {
        let dash = || "—".to_owned();
        let restarts = match &part.last_exit {
            Some(exit) if 0 < part.restarts => {
                format!("{} ({} ago)", part.restarts, span(exit.ago_ms))
            }
            _ => part.restarts.to_string(),
        };
        let again = part
            .next_retry_ms
            .map(|ms| format!("retry in {}", span(ms)));
        let exit = part.last_exit.as_ref().map(|exit| self.exit(exit));
        let ended = exit.into_iter().chain(failures(part)).chain(again);
        let ended: Vec<String> = ended.collect();
        [
            part.name.clone(),
            part.state.as_str().to_owned(),
            ready(part).to_owned(),
            part.pid.map_or_else(dash, |p| p.to_string()),
            part.up_ms.map_or_else(dash, span),
            restarts,
            if ended.is_empty() {
                dash()
            } else {
                ended.join(" · ")
            },
            part.cpu_pct.map_or_else(dash, |cpu| format!("{cpu:.1}%")),
            bytes(part.rss_bytes),
            part.place.clone(),
        ]
    }

    fn exit(self, exit: &LastExit) -> String {
        let at = self.local.moment(&clock::utc(exit.at_ms), clock::now_ms());
        let why = match exit.cause {
            None | Some(Cause::Crash) => String::new(),
            Some(cause) => format!(" ({})", cause.as_str()),
        };
        format!("{}{why}, {at}", exit.ending)
    }

    fn upstream(self, transport: &TransportStatus) -> String {
        let mut text = String::new();
        for up in &transport.connections {
            let (mark, color) = if up.is_broken() {
                ("! upstream", Color::Red)
            } else {
                ("upstream", Color::None)
            };
            let error = up.last_error.as_ref();
            let error = error.map(|e| format!(" · last error: {e}"));
            let line = format!(
                "{mark}  {} {} to {} · {} in flight, {} queued{}",
                up.audience,
                up.state,
                up.host,
                up.in_flight,
                up.queued,
                error.unwrap_or_default()
            );
            _ = writeln!(text, "{}", self.paint.with(color, &line));
        }
        text
    }

    fn metrics(self, metrics: &MetricsPlace) -> String {
        let Some(trouble) = &metrics.trouble else {
            return format!("metrics   http://{}/metrics\n", metrics.address);
        };
        let line = format!(
            "! metrics {trouble}; it is tried again every few seconds; free it, or name another and `falco reload`"
        );
        self.paint.with(Color::Red, &line) + "\n"
    }

    fn sockets(self, sockets: &[SocketStatus]) -> String {
        let one = |socket: &SocketStatus| {
            let path = Path::new(&socket.path);
            let name = path.file_name().unwrap_or_default().display();
            let mode = socket
                .mode
                .map_or_else(String::new, |m| format!("{m:04o}, "));
            match socket.uid {
                Some(uid) if socket.in_place && uid == self.uid => format!("{name} ({mode}ours)"),
                Some(uid) if uid != self.uid => format!("! {name} (of uid {uid})"),
                Some(_) => format!("! {name} (replaced)"),
                None => format!("! {name} (gone)"),
            }
        };
        let all: Vec<_> = sockets.iter().map(one).collect();
        format!("sockets   {}\n", all.join(" · "))
    }

    fn logs(self, logs: &LogStatus) -> String {
        let mut text = format!(
            "logs      {}.{}/{} MB, {} dropped\n",
            logs.bytes / 1_000_000,
            logs.bytes % 1_000_000 / 100_000,
            logs.cap / 1_000_000,
            counted(logs.dropped, "line")
        );
        if let Some(trouble) = &logs.trouble {
            let line = format!("! logs    {trouble}; the newest lines wait in memory");
            _ = writeln!(text, "{}", self.paint.with(Color::Red, &line));
        }
        text
    }
}

/// How often a part has failed lately, unless once.
fn failures(part: &PartStatus) -> Option<String> {
    let is_failing = matches!(part.state, PartState::Backoff | PartState::CrashLoop);
    let since = part
        .failing_ms
        .filter(|_| is_failing && 1 < part.failures)?;
    Some(format!("failed ×{} in {}", part.failures, span(since)))
}

fn ready(part: &PartStatus) -> &'static str {
    match part.state {
        _ if part.ready => "yes",
        PartState::Finished => "done",
        _ => "no",
    }
}

/// Who, how, kept where, until when.
fn login(status: &Status) -> String {
    let Login { state, how, kept } = &status.login;
    match state {
        LoginState::Emulator => String::new(),
        LoginState::LoggedIn => {
            let how = how.as_deref().unwrap_or("yes");
            let until = kept.as_ref().map_or_else(
                || "until that is changed".to_owned(),
                |file| {
                    format!(
                        "kept in {} until `falco logout`",
                        progress::tilde(file.as_ref())
                    )
                },
            );
            let user = &status.user_id;
            format!("login     {how} · as user {user} · {until}; its tokens are renewed\n")
        }
        LoginState::LoggedOut => {
            "login     none; nothing is published until `falco login`\n".to_owned()
        }
    }
}

fn span(ms: u64) -> String {
    clock::span(Duration::from_millis(ms))
}

fn bytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(
        || "—".to_owned(),
        |b| format!("{}.{} MB", b / 1_000_000, b % 1_000_000 / 100_000),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn render() -> Render {
        Render {
            local: Local::utc(),
            paint: Paint::plain(),
            uid: 1000,
        }
    }

    #[test]
    fn a_part_that_fails_says_how_often_when_and_what_comes() {
        let part = PartStatus {
            name: "transport".into(),
            state: PartState::CrashLoop,
            restarts: 7,
            failures: 5,
            failing_ms: Some(60_000),
            next_retry_ms: Some(22_000),
            said_last: Some("error: failed to listen".into()),
            last_exit: Some(LastExit {
                ending: "exit 1".into(),
                code: Some(1),
                ago_ms: 4_000,
                at_ms: clock::now_ms(),
                ..LastExit::default()
            }),
            ..PartStatus::default()
        };
        let text = render().parts(&[part]);
        let last = "! transport said last: error: failed to listen; `falco logs transport`\n";
        assert!(text.ends_with(last), "{text}");
        let row = text.lines().nth(1).unwrap();
        assert!(
            row.starts_with("transport  crash-loop  no     —    —       7 (4 s ago)  exit 1, ")
        );
        assert!(
            row.contains(" · failed ×5 in 1m00s · retry in 22 s"),
            "{row}"
        );
    }

    #[test]
    fn a_socket_says_whose_it_is() {
        let socket = |in_place, uid| SocketStatus {
            path: "/base/falco.sock".into(),
            in_place,
            mode: Some(0o600),
            uid,
        };
        let text = |socket| render().sockets(&[socket]);
        assert_eq!(
            text(socket(true, Some(1000))),
            "sockets   falco.sock (0600, ours)\n"
        );
        assert_eq!(
            text(socket(false, Some(1000))),
            "sockets   ! falco.sock (replaced)\n"
        );
        assert_eq!(
            text(socket(false, Some(7))),
            "sockets   ! falco.sock (of uid 7)\n"
        );
        assert_eq!(text(socket(false, None)), "sockets   ! falco.sock (gone)\n");
    }
}
