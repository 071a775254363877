//! How the last supervisor came to its end, for whoever asks while nothing runs.

use serde::Serialize;

use super::super::logs::files::Follower;
use super::super::moment::Local;
use super::super::output;
use super::{Happened, tell};
use crate::clock;
use crate::paths::Paths;
use crate::protocol::life::{Asker, Cause, Life};

/// An end, as far as anything tells of it; moments are as the journal has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub(in crate::cli) enum LastEnd {
    /// Somebody wanted it.
    Stopped { at: String, by: Asker },
    /// It never came up; which part ended that, and why.
    StartFailed { at: String, why: Option<String> },
    /// It told nothing of its end: it was killed, also by `falco stop --now`, or
    /// the journal took no more.
    Untold { since: String, told_until: String },
}

impl LastEnd {
    /// What the journal knows of it.
    pub(in crate::cli) fn find(paths: &Paths) -> Option<Self> {
        let (_, before) = Follower::open(&paths.events());
        let mut entries = before.filter_map(|raw| Happened::read(&raw).map(|event| event.entry));
        let newest = entries.next()?;
        let told_until = newest.ts.clone();
        let mut entries = std::iter::once(newest).chain(entries);
        let end = entries.find(|entry| {
            matches!(
                entry.life,
                Life::SupervisorStopped { .. } | Life::SupervisorStarted { .. }
            )
        })?;
        Some(match end.life {
            Life::SupervisorStopped { by: Some(by), .. } => Self::Stopped { at: end.ts, by },
            Life::SupervisorStopped { by: None, .. } => Self::StartFailed {
                at: end.ts,
                why: why_failed(entries.map(|entry| entry.life)),
            },
            _ => Self::Untold {
                since: end.ts,
                told_until,
            },
        })
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
                let (since, until) = (moment(since), moment(told_until));
                format!("nothing tells how the last one, of {since}, ended, at {until} or later")
            }
        }
    }
}

/// What ended the start that these events end with, newest first.
fn why_failed(events: impl Iterator<Item = Life>) -> Option<String> {
    let of_start = events.take_while(|life| !matches!(life, Life::SupervisorStarted { .. }));
    let mut ends = of_start.filter_map(|life| match life {
        Life::Ended {
            cause: Cause::Requested,
            ..
        } => None,
        Life::Ended { part, ending, .. } => Some(format!("{part}: {ending}")),
        _ => None,
    });
    ends.next()
}
