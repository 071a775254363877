//! How a start or a stop goes, for the person watching: one line an event, on
//! standard error.

mod busy;
mod waiting;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::{Duration, Instant};

use super::{output, typed};
use crate::clock;
use crate::paths::Paths;
use crate::protocol::control::{EmulatorPlace, Event, PartWaiting, Reloaded, Summary};
use busy::Busy;
use waiting::Waits;

/// The emulator's channel of the examples; any would do.
const EXAMPLE_CHANNEL: &str = "session:demo:conversation";

/// Prints events as they come.
pub(super) struct Progress {
    marks: Marks,
    quiet: bool,
    on_terminal: bool,
    /// How whoever waits at this terminal can end it.
    way_out: Option<&'static str>,
    waits: Waits,
    busy: Busy,
}

/// What stands before a line: signs on a terminal, words elsewhere.
struct Marks {
    good: &'static str,
    warn: &'static str,
    bad: &'static str,
}

impl Progress {
    pub(super) fn new(quiet: bool) -> Self {
        let on_terminal = io::stderr().is_terminal() && !output::is_dumb();
        let marks = if on_terminal {
            Marks {
                good: "✓",
                warn: "!",
                bad: "✗",
            }
        } else {
            Marks {
                good: "ok",
                warn: "warning",
                bad: "failed",
            }
        };
        Self {
            marks,
            quiet,
            on_terminal,
            way_out: None,
            waits: Waits::default(),
            busy: Busy::default(),
        }
    }

    /// As it is, and says how whoever waits at a terminal can end it.
    pub(super) fn with_way_out(self, way_out: &'static str) -> Self {
        Self {
            way_out: self.on_terminal.then_some(way_out),
            ..self
        }
    }

    pub(super) fn say(&self, text: &str) {
        if !self.quiet {
            self.waits.clear();
            output::message(text);
        }
    }

    pub(super) fn warn(&self, text: &str) {
        if !self.quiet {
            self.alert(text);
        }
    }

    /// Warns also whoever wants to hear of nothing that goes well: something is
    /// lost, or is not kept.
    pub(super) fn alert(&self, text: &str) {
        self.waits.clear();
        output::message(&format!("  {} {text}", self.marks.warn));
    }

    /// Prints `event`, if it is one that a person wants to see.
    pub(super) fn show(&self, event: &Event) {
        let Marks { good, warn, bad } = self.marks;
        match event {
            Event::StaleSocket { path } => {
                self.say(&format!("  {warn} removed stale socket {path}"));
            }
            Event::Outlived { part, pids } => {
                let pids = list(pids);
                self.say(&format!(
                    "  {warn} ended {part}, pid {pids}: it had outlived its supervisor"
                ));
            }
            Event::PartBusy { part, what } if !self.busy.is_news(part, what) => {}
            Event::PartBusy { part, what } => self.say(&format!("  {part:<10} {what}")),
            Event::PartReady {
                part,
                pid,
                after_ms,
                place,
            } => {
                let who = pid.map_or("in-process".to_owned(), |pid| format!("pid {pid}"));
                self.say(&format!(
                    "  {good} {part:<10} {who:<12} ready {after_ms:>4} ms  {place}"
                ));
            }
            Event::PartEnded {
                part,
                ending,
                retry_in_ms,
            } => {
                self.busy.forget(part);
                let then = retry_in_ms.map_or(String::new(), |ms| {
                    format!("; again in {}", clock::span(Duration::from_millis(ms)))
                });
                self.say(&format!("  {bad} {part:<10} {ending}{then}"));
            }
            Event::PartStopped {
                part,
                after_ms,
                killed,
            } => {
                let how = if *killed { "killed" } else { "stopped" };
                self.say(&format!("  {part:<10} {how} {:>6}", seconds(*after_ms)));
            }
            Event::PartFinished { part } => self.say(&format!("  {good} {part:<10} finished")),
            Event::Dependents { part, taken, left } => {
                for (names, what) in [(taken, "goes with it"), (left, "goes on without it")] {
                    if !names.is_empty() {
                        let names = names.join(", ");
                        self.say(&format!("  {part:<10} what comes after it {what}: {names}"));
                    }
                }
            }
            Event::Reloaded(reloaded) => self.show_reloaded(reloaded),
            Event::Waiting { parts, within_ms } => self.show_waiting(parts, *within_ms),
            Event::PartStuck { part, pids } => {
                let pids = list(pids);
                self.say(&format!("  {bad} {part:<10} would not die: pid {pids}"));
            }
            Event::Ready(_)
            | Event::Failed(_)
            | Event::Stopped { .. }
            | Event::Done { .. }
            | Event::Status(_)
            | Event::Outbox(_)
            | Event::Lanes(_)
            | Event::Refused(_)
            | Event::Unknown => {}
        }
    }
}

/// `12, 13`.
pub(super) fn list(pids: &[u32]) -> String {
    let pids: Vec<_> = pids.iter().map(ToString::to_string).collect();
    pids.join(", ")
}

impl Progress {
    fn show_waiting(&self, parts: &[PartWaiting], within: Option<u64>) {
        if self.quiet {
            return;
        }
        if self.on_terminal {
            let text = waiting::live_text(parts, within, self.way_out);
            self.waits.say_live(&format!("  {text}"));
        } else if self.waits.is_due(parts, Instant::now()) {
            output::message(&format!("  {}", waiting::text(parts, within)));
        }
    }

    fn show_reloaded(&self, reloaded: &Reloaded) {
        let did = [
            ("started", &reloaded.started),
            ("restarted", &reloaded.restarted),
            ("stopped", &reloaded.stopped),
            ("updated", &reloaded.updated),
            ("kept", &reloaded.kept),
        ];
        for (what, names) in did.iter().filter(|(_, names)| !names.is_empty()) {
            self.say(&format!("  {what:<10} {}", names.join(", ")));
        }
    }
}

/// `0.21 s`.
pub(super) fn seconds(ms: u64) -> String {
    format!("{}.{:02} s", ms / 1000, ms % 1000 / 10)
}

/// How to try a chain that has just come up.
pub(super) fn how_to_try(paths: &Paths, summary: &Summary) -> String {
    let device = format!("device-events:{}", summary.device_id);
    let channel = if summary.emulator.is_some() {
        EXAMPLE_CHANNEL
    } else {
        &device
    };
    let falco = |verb| typed::falco(paths, verb);
    let (tail, emit) = (falco("tail"), falco("emit"));
    let mut text = format!(
        "\ntry it:\n  {tail} '{channel}'     (in another terminal)\n  {emit} --channel '{channel}' --event hello --payload '{{\"n\":1}}'\n"
    );
    if let Some(place) = &summary.emulator {
        text.push_str(&sdk_options(place));
    }
    let next = ["status", "logs -f", "stop"].map(falco);
    text + "next: " + &next.join(" · ")
}

/// Client options for a stock Ably SDK.
fn sdk_options(EmulatorPlace { address, key_file }: &EmulatorPlace) -> String {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "80"));
    format!(
        "  Ably SDK: {{ endpoint: '{host}', port: {port}, tls: false, key: … }}\n            the key is in {key_file}\n"
    )
}

/// A path as a person would write it: `~` for the home directory.
pub(super) fn tilde(path: &Path) -> String {
    let home = directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_path_buf());
    match home.and_then(|home| path.strip_prefix(home).ok().map(Path::to_path_buf)) {
        Some(rest) => format!("~/{}", rest.display()),
        None => path.display().to_string(),
    }
}
