//! How the last supervisor came to its end, for whoever asks while nothing runs.

use serde::Serialize;

use super::super::logs::files::Follower;
use super::super::moment::Local;
use super::super::output;
use super::{Happened, tell};
use crate::clock;
use crate::paths::Paths;
use crate::protocol::life::{Asker, Cause, Life};
use crate::supervisor::instance::{Asked, Holder, Lock, Phase};

/// An end, as far as anything tells of it; moments are as the journal has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub(in crate::cli) enum LastEnd {
    /// Somebody wanted it.
    Stopped { at: String, by: Asker },
    /// It never came up; which part ended that, and why.
    StartFailed { at: String, why: Option<String> },
    /// It told nothing of its end: it was killed, also by `falco stop --now`, or
    /// the journal took no more, or nothing of it at all.
    Untold {
        since: String,
        told_until: Option<String>,
    },
}

impl LastEnd {
    /// What the journal knows of it; the lock knows whom the journal has missed.
    pub(in crate::cli) fn find(paths: &Paths) -> Option<Self> {
        let Some(life) = last_life(paths) else {
            return told(paths, |_, _| true);
        };
        let since = clock::utc(life.since_ms);
        // Somebody may have set the clock, and the journal may have lost the
        // beginning.
        let is_of = |at: &str, instance: Option<&str>| {
            since.as_str() <= at || instance == Some(life.instance.as_str())
        };
        told(paths, is_of).or(Some(Self::Untold {
            since: since.clone(),
            told_until: None,
        }))
    }

    /// `last stopped 08:55:12 by falco stop (uid 1000)`.
    pub(in crate::cli) fn text(&self) -> String {
        let moment = |at: &str| Local::new().moment(at, clock::now_ms());
        match self {
            Self::Stopped { at, by } => {
                // It is gone by now.
                let by = Asker {
                    pid: None,
                    ..by.clone()
                };
                format!("last stopped {} {}", moment(at), tell::by(&by))
            }
            Self::StartFailed { at, why } => {
                let why = why
                    .as_ref()
                    .map(|why| format!(": {}", output::visible(why)));
                let at = moment(at);
                format!("its last start failed at {at}{}", why.unwrap_or_default())
            }
            Self::Untold { since, told_until } => {
                let since = moment(since);
                let until = told_until.as_deref().map(moment);
                let until = until.map(|until| format!(", at {until} or later"));
                let until = until.unwrap_or_default();
                format!("nothing tells how the last one, of {since}, ended{until}")
            }
        }
    }
}

/// Who had a life here last, by the lock.
fn last_life(paths: &Paths) -> Option<Holder> {
    let Ok(Asked::Ours(lock)) = Lock::ask_existing(&paths.lock_file()) else {
        return None;
    };
    let last = lock.last_holder();
    // A launcher that went no further has none.
    last.filter(|last| last.phase != Phase::Launching)
}

/// The last end of which the journal tells, if it is that of the life that is
/// meant, by when it was and whose, as far as that is known.
fn told(paths: &Paths, is_meant: impl Fn(&str, Option<&str>) -> bool) -> Option<LastEnd> {
    let (_, before) = Follower::open(&paths.events());
    let mut entries = before.filter_map(|raw| Happened::read(&raw).map(|event| event.entry));
    let mut told_until = None;
    let end = entries.find(|entry| {
        told_until.get_or_insert_with(|| entry.ts.clone());
        matches!(
            entry.life,
            Life::SupervisorStopped { .. } | Life::SupervisorStarted { .. }
        )
    })?;
    let (at, lives) = (end.ts, entries.map(|entry| entry.life));
    let (end, instance) = match end.life {
        Life::SupervisorStarted { instance, .. } => {
            let since = at.clone();
            (LastEnd::Untold { since, told_until }, Some(instance))
        }
        Life::SupervisorStopped { by: Some(by), .. } => {
            // A life may be long.
            let instance = (!is_meant(&at, None)).then(|| start(lives).0);
            let at = at.clone();
            (LastEnd::Stopped { at, by }, instance.flatten())
        }
        _ => {
            let (instance, why) = start(lives);
            let at = at.clone();
            (LastEnd::StartFailed { at, why }, instance)
        }
    };
    is_meant(&at, instance.as_deref()).then_some(end)
}

/// Which life these events are of, newest first, and what ended its start, if it
/// was that.
fn start(events: impl Iterator<Item = Life>) -> (Option<String>, Option<String>) {
    let mut why = None;
    for life in events {
        match life {
            Life::SupervisorStarted { instance, .. } => return (Some(instance), why),
            Life::Ended {
                cause: Cause::Requested,
                ..
            } => {}
            Life::Ended { part, ending, .. } if why.is_none() => {
                why = Some(format!("{part}: {ending}"));
            }
            _ => {}
        }
    }
    (None, why)
}
