//! What the chain looks like from outside.
//!
//! Taken at the moment somebody asks: a part is `running` only if the chain
//! holds it for ready and the kernel still knows its process.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::chain::{Chain, LastEnd, Outlook, Part, State};
use crate::clock;
use crate::process::capture::LogUsage;
use crate::process::usage::{Usage, is_alive};
use crate::protocol::control::{
    ChainState, LastExit, LogStatus, PartKind, PartState, PartStatus, SocketStatus,
};

/// Milliseconds of a span.
pub(super) fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn chain_state(chain: &Chain) -> ChainState {
    match chain.outlook() {
        Outlook::Starting => ChainState::Starting,
        Outlook::Ready => ChainState::Running,
        Outlook::Degraded => ChainState::Degraded,
        Outlook::Stopping | Outlook::Stopped => ChainState::Stopping,
    }
}

/// The whole chain in one line: how many parts answer, and what the others do.
pub(super) fn line(chain: &Chain) -> String {
    let states = chain
        .parts()
        .map(|(_, part)| (&part.plan.name, part_state(part)));
    let others: Vec<_> = states
        .filter(|(_, state)| !matches!(state, PartState::Running | PartState::Finished))
        .map(|(name, state)| format!("{name} {}", state.as_str()))
        .collect();
    let all = chain.parts().count();
    let ready = all - others.len();
    let word = match chain_state(chain) {
        ChainState::Running => return format!("ready, all {all} parts answer"),
        ChainState::Starting => "starting",
        ChainState::Degraded => "degraded",
        ChainState::Stopping => "stopping",
    };
    format!(
        "{word}, {ready} of {all} parts answer: {}",
        others.join(", ")
    )
}

/// How one part is; `pid` is its process, if it has one of its own.
pub(super) fn part_status(
    part: &Part,
    kind: PartKind,
    pid: Option<u32>,
    place: String,
    now: Instant,
) -> PartStatus {
    let usage = pid.and_then(Usage::of);
    let has_ended = pid.is_some_and(|pid| !is_alive(pid));
    let state = match part_state(part) {
        // The kernel knows before we do.
        PartState::Running | PartState::Starting if has_ended => PartState::Stopping,
        state => state,
    };
    let cpu_pct = part.started.zip(usage).map(|(since, usage)| {
        let percent = usage.cpu.as_secs_f64() / now.duration_since(since).as_secs_f64() * 100.0;
        (percent * 10.0).round() / 10.0
    });
    PartStatus {
        name: part.plan.name.to_string(),
        kind,
        state,
        ready: state == PartState::Running,
        optional: !part.plan.required,
        trouble: None,
        pid,
        incarnation: part.incarnation,
        up_ms: part.started.map(|since| ms(now.duration_since(since))),
        restarts: part.restarts(),
        next_retry_ms: match part.state {
            State::BackingOff { start_at } => Some(ms(start_at.saturating_duration_since(now))),
            _ => None,
        },
        last_exit: part.last_end.as_ref().map(|end| last_exit(end, now)),
        rss_bytes: usage.map(|u| u.rss_bytes),
        cpu_ms: usage.map(|u| ms(u.cpu)),
        cpu_pct: cpu_pct.filter(|percent| percent.is_finite()),
        place,
        says: None,
        said_last: None,
        failures: part.history.failures(),
        failing_ms: part
            .history
            .since()
            .map(|since| ms(now.duration_since(since))),
        log: None,
    }
}

fn last_exit(end: &LastEnd, now: Instant) -> LastExit {
    let ago_ms = ms(now.duration_since(end.at));
    let (signal, core_dumped) = end.ending.signal();
    LastExit {
        ending: end.ending.to_string(),
        code: end.ending.code(),
        signal,
        core_dumped,
        ago_ms,
        at_ms: clock::now_ms().saturating_sub(ago_ms),
        cause: None,
        uptime_ms: ms(end.uptime),
    }
}

/// What is at `path`, where a socket of the chain should be.
pub(super) fn socket_status(path: &Path, in_place: bool) -> SocketStatus {
    let meta = std::fs::symlink_metadata(path).ok();
    SocketStatus {
        path: path.display().to_string(),
        in_place,
        mode: meta.as_ref().map(|meta| meta.mode() & 0o7777),
        uid: meta.as_ref().map(MetadataExt::uid),
    }
}

pub(super) fn log_status(usage: LogUsage) -> LogStatus {
    LogStatus {
        bytes: usage.bytes,
        cap: usage.cap,
        dropped: usage.dropped,
        trouble: usage.trouble,
    }
}

pub(super) fn part_state(part: &Part) -> PartState {
    let failing = part.history.is_crash_loop();
    match part.state {
        State::Waiting => PartState::Waiting,
        State::Starting { .. } | State::BackingOff { .. } if failing => PartState::CrashLoop,
        State::Starting { .. } => PartState::Starting,
        State::Ready { .. } => PartState::Running,
        State::Stopping { .. } => PartState::Stopping,
        State::BackingOff { .. } => PartState::Backoff,
        State::GaveUp | State::Stuck { .. } => PartState::Failed,
        State::Finished => PartState::Finished,
        State::Stopped => PartState::Stopped,
    }
}
