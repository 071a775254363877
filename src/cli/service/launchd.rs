//! launchd, through `launchctl`: the agent of the user's own session.
//!
//! launchd forgets a service in its own time: one that is loaded again too soon
//! is refused with EIO. So the name is waited for to vanish, and EIO is tried
//! again.

use std::time::{Duration, Instant};

use super::place::Place;
use super::{Activity, PATIENCE, Standing};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::process::tool::{self, Said, ToolError};

/// How often a service that launchd refuses with EIO is loaded again, and after
/// how long.
const TRIES: u32 = 3;
const TRY_PAUSE: Duration = Duration::from_secs(2);

/// How long a service may take to be forgotten: it has to stop first.
const VANISH_PATIENCE: Duration = Duration::from_secs(70);

/// How long launchd may take from loading a service to running it.
const START_PATIENCE: Duration = Duration::from_secs(10);

const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// `gui/501`: the services of this user's session.
pub(super) fn domain() -> String {
    format!("gui/{}", nix::unistd::geteuid())
}

/// `gui/501/falco`.
pub(super) fn target(place: &Place) -> String {
    format!("{}/{}", domain(), place.name())
}

async fn launchctl(args: &[&str]) -> Result<Said, Failure> {
    tool::run("launchctl", args, PATIENCE)
        .await
        .map_err(|error| match error {
            ToolError::Missing { .. } => Failure::new(
                Exit::Unavailable,
                "there is no launchctl: services here are not launchd's",
            ),
            ToolError::TimedOut { .. } => Failure::of(Exit::TimedOut, &error),
            ToolError::Run { .. } => Failure::of(Exit::Failed, &error),
        })
}

fn refused(doing: &str, said: &Said) -> Failure {
    let why = said.stderr.lines().next().unwrap_or("it did not say why");
    Failure::new(Exit::Failed, format!("launchctl {doing}: {why}"))
        .hint(format!("launchctl print {} says more", domain()))
}

/// Whether there is a session to run services in.
pub(super) async fn check() -> Result<(), Failure> {
    let said = launchctl(&["print", &domain()]).await?;
    if said.success {
        return Ok(());
    }
    let error = format!("launchd has no session for this user ({})", domain());
    Err(Failure::new(Exit::Unavailable, error)
        .hint("log in at the screen, not through ssh or sudo"))
}

/// What launchd says of it; `None` if it does not know it.
async fn known(place: &Place) -> Result<Option<String>, Failure> {
    let said = launchctl(&["print", &target(place)]).await?;
    Ok(said.success.then_some(said.stdout))
}

pub(super) async fn standing(place: &Place) -> Result<Standing, Failure> {
    let text = known(place).await?;
    Ok(read(text.as_deref()))
}

fn read(text: Option<&str>) -> Standing {
    let Some(text) = text else {
        return Standing {
            enabled: false,
            activity: Activity::Inactive,
            word: "not loaded".to_owned(),
            pid: None,
            outdated: false,
        };
    };
    let pid = said(text, "pid").and_then(|pid| pid.parse().ok());
    let state = said(text, "state").unwrap_or_default();
    let failed = last_end(text).is_some_and(|end| end != WELL);
    Standing {
        enabled: true,
        activity: match pid {
            Some(_) => Activity::Active,
            // It ended badly, or is late: launchd will start it.
            None if failed || state == "spawn scheduled" => Activity::Passing,
            None => Activity::Inactive,
        },
        word: state.to_owned(),
        pid,
        outdated: false,
    }
}

/// What launchd says of the service itself: what is indented deeper belongs to
/// something in it.
fn said<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let lines = text.lines().filter_map(|line| line.strip_prefix('\t'));
    let mut pairs = lines.filter_map(|line| line.split_once(" = "));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    Some(value)
}

/// How a service that ended well did.
const WELL: &str = "exit code 0";

/// How it ended last, if it has run since it was loaded.
fn last_end(text: &str) -> Option<String> {
    if let Some(signal) = said(text, "last terminating signal") {
        return Some(format!("signal {signal}"));
    }
    let code = said(text, "last exit code").filter(|code| *code != "(never exited)")?;
    // Later versions say what a code means as well: `78: EX_CONFIG`.
    let number = code.split_once(':').map_or(code, |(number, _)| number);
    Some(format!("exit code {number}"))
}

/// Loads it and waits until it runs.
pub(super) async fn boot(place: &Place) -> Result<(), Failure> {
    let file = place.file().display().to_string();
    for attempt in 1.. {
        let said = launchctl(&["bootstrap", &domain(), &file]).await?;
        if said.success {
            break;
        }
        let may_pass = said.stderr.contains("Input/output error") || said.stderr.contains(": 5:");
        if !may_pass || attempt == TRIES {
            return Err(refused("bootstrap", &said));
        }
        output::message(&format!(
            "  launchd is not ready for it ({attempt} of {TRIES}); trying again"
        ));
        tokio::time::sleep(TRY_PAUSE).await;
    }
    running(place, true).await
}

/// Waits until it runs. One that was loaded just now has not ended before, so
/// if it has, that was this time.
async fn running(place: &Place, is_new: bool) -> Result<(), Failure> {
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        let text = known(place).await?;
        if read(text.as_deref()).pid.is_some() {
            return Ok(());
        }
        let end = text.as_deref().and_then(last_end);
        if let Some(end) = end.filter(|_| is_new) {
            return Err(ended(place, &end));
        }
        if deadline < Instant::now() {
            let error = format!("launchd took {} and does not run it", place.name());
            return Err(Failure::new(Exit::Failed, error)
                .hint(format!("launchctl print {} says why", target(place))));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn ended(place: &Place, end: &str) -> Failure {
    let error = format!("{} ended as soon as it was started: {end}", place.name());
    let why = "falco logs, and falco.boot.log beside them, say why";
    let next = if end == WELL {
        "launchd will not start it again: falco up does"
    } else {
        "launchd will start it again"
    };
    Failure::new(Exit::Unavailable, error).hint(format!("{why}; {next}"))
}

/// How a service that was loaded for this start has ended, if it has.
pub(super) async fn has_ended(place: &Place) -> Result<Option<Failure>, Failure> {
    let text = known(place).await?;
    let gone = |text: &String| read(Some(text)).pid.is_none();
    let end = text.filter(gone).as_deref().and_then(last_end);
    Ok(end.map(|end| ended(place, &end)))
}

/// Starts it, loading it first if it was stopped.
pub(super) async fn start(place: &Place) -> Result<(), Failure> {
    if known(place).await?.is_none() {
        return boot(place).await;
    }
    let said = launchctl(&["kickstart", &target(place)]).await?;
    if !said.success {
        return Err(refused("kickstart", &said));
    }
    running(place, false).await
}

/// Has launchd stop and forget it, and waits until it has; whether it knew it.
pub(super) async fn boot_out(place: &Place) -> Result<bool, Failure> {
    if known(place).await?.is_none() {
        return Ok(false);
    }
    // It answers when the service has ended, or sooner and with an error.
    _ = tool::run("launchctl", &["bootout", &target(place)], VANISH_PATIENCE).await;
    let deadline = Instant::now() + VANISH_PATIENCE;
    while known(place).await?.is_some() {
        if deadline < Instant::now() {
            let error = format!("launchd does not forget {}", place.name());
            return Err(Failure::new(Exit::TimedOut, error));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
