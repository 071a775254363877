//! Life events as sentences.

use std::time::Duration;

use crate::cli::output;
use crate::clock;
use crate::counted::counted;
use crate::protocol::control::PartState;
use crate::protocol::life::{Asker, Life};

/// What happened, without when and to whom.
pub(super) fn tell(life: &Life) -> String {
    match life {
        Life::SupervisorStarted { pid, version, .. } => {
            format!("supervisor started, pid {pid}, v{version}")
        }
        Life::SupervisorStopped { after_ms, .. } => {
            format!(
                "everything is stopped, {} after it was asked",
                span(*after_ms)
            )
        }
        Life::StaleCleared { path } => format!("removed stale socket {path}"),
        Life::OutlivedEnded { pids, .. } => {
            format!("ended what had outlived its supervisor: pid {}", list(pids))
        }
        Life::State { .. } | Life::Ended { .. } | Life::Signaled { .. } => of_part(life),
        Life::CrashLoop { incarnation, .. } => {
            format!("crash loop: it fails again and again, life {incarnation}")
        }
        Life::CrashLoopOver { incarnation, .. } => {
            format!("crash loop is over, life {incarnation}")
        }
        Life::Asked { request, parts, by } => {
            let what = [std::slice::from_ref(request), parts].concat().join(" ");
            format!("asked to {what} {}", self::by(by))
        }
        Life::Ready => "every part is ready".to_owned(),
        Life::SocketLost { path } => format!("{path} was removed or replaced"),
        Life::SocketBack { path } => format!("{path} is in its place again"),
        Life::LogsDropped { lines, .. } => {
            format!("dropped {} of its log", counted(*lines, "line"))
        }
        Life::LogsFailing { error, .. } => format!("its log cannot be written: {error}"),
        Life::ReloadRefused { error } => format!("the configuration was not reloaded: {error}"),
        Life::LogsBack { .. } => "its log is written again".to_owned(),
        Life::Upstream {
            audience,
            state,
            error,
        } => {
            let error = error.as_ref().map(|error| format!(": {error}"));
            format!("{audience} is {state}{}", error.unwrap_or_default())
        }
        Life::LaneParked {
            lane,
            route,
            effect_id,
            error,
        } => {
            let lane = on(lane, route.as_deref());
            let error = output::visible(error);
            format!("lane {lane} is parked: it waits for {effect_id}: {error}")
        }
        Life::LaneOpen { lane, route, why } => {
            format!("lane {} goes on: {why}", on(lane, route.as_deref()))
        }
        Life::RouteGone { route, effects } => {
            let (route, letters) = (output::visible(route), counted(*effects, "dead letter"));
            format!("route {route} is gone, and left {letters}")
        }
        Life::OutboxMissed { why } => output::visible(why).into(),
        Life::Unknown => "something that only a later version knows".to_owned(),
    }
}

fn of_part(life: &Life) -> String {
    match life {
        Life::State {
            incarnation,
            state,
            pid,
            retry_in_ms,
            ..
        } => {
            let pid = pid.map(|pid| format!(", pid {pid}"));
            let again = retry_in_ms.map(|ms| format!(", again in {}", span(ms)));
            let life = (*state != PartState::Waiting).then(|| format!(", life {incarnation}"));
            [Some(state.as_str().to_owned()), life, pid, again]
                .into_iter()
                .flatten()
                .collect()
        }
        Life::Ended {
            incarnation,
            ending,
            uptime_ms,
            cause,
            ..
        } => format!(
            "ended: {ending} after {} ({}), life {incarnation}",
            span(*uptime_ms),
            cause.as_str()
        ),
        Life::Signaled {
            group, signal, why, ..
        } => format!("{signal} to the group of pid {group}: {why}"),
        _ => String::new(),
    }
}

/// `by falco stop, pid 4121 (uid 1000)`, `by pid 4121 (uid 1000)`, `by SIGTERM`.
pub(super) fn by(asker: &Asker) -> String {
    match asker {
        Asker {
            verb: Some(verb),
            uid: Some(uid),
            pid,
            ..
        } => {
            let pid = pid.map(|pid| format!(", pid {pid}"));
            let (verb, pid) = (verb.as_str(), pid.unwrap_or_default());
            format!("by {verb}{pid} (uid {uid})")
        }
        Asker {
            signal: Some(signal),
            ..
        } => format!("by {signal}"),
        Asker {
            pid: Some(pid),
            uid: Some(uid),
            ..
        } => format!("by pid {pid} (uid {uid})"),
        Asker { uid: Some(uid), .. } => format!("by uid {uid}"),
        _ => "by somebody".to_owned(),
    }
}

fn on(lane: &str, route: Option<&str>) -> String {
    let lane = output::visible(lane);
    match route {
        Some(route) => format!("{lane} of route {route}"),
        None => lane.into_owned(),
    }
}

fn list(pids: &[u32]) -> String {
    let pids: Vec<_> = pids.iter().map(ToString::to_string).collect();
    pids.join(", ")
}

fn span(ms: u64) -> String {
    clock::span(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::life::Cause;

    #[test]
    fn an_event_is_one_sentence_that_says_how_and_why() {
        let ended = Life::Ended {
            part: "transport".into(),
            incarnation: 3,
            ending: "signal SEGV".into(),
            code: None,
            signal: Some(11),
            core_dumped: false,
            uptime_ms: 97_900,
            cause: Cause::Crash,
        };
        assert_eq!(
            tell(&ended),
            "ended: signal SEGV after 1m37s (crash), life 3"
        );
        let asked = Life::Asked {
            request: "restart".into(),
            parts: vec!["transport".into()],
            by: Asker {
                pid: Some(7),
                uid: Some(1000),
                ..Asker::default()
            },
        };
        assert_eq!(
            tell(&asked),
            "asked to restart transport by pid 7 (uid 1000)"
        );
        let state = Life::State {
            part: "transport".into(),
            incarnation: 3,
            state: PartState::Backoff,
            pid: None,
            retry_in_ms: Some(200),
        };
        assert_eq!(tell(&state), "backoff, life 3, again in 200 ms");
    }
}
