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
    let of = |name: &str| {
        let lines = text
            .lines()
            .filter_map(|line| line.trim().split_once(" = "));
        lines
            .into_iter()
            .find(|(key, _)| *key == name)
            .map_or("", |(_, value)| value)
    };
    let pid = of("pid").parse().ok();
    let failed = !matches!(of("last exit code"), "" | "0" | "(never exited)");
    Standing {
        enabled: true,
        activity: match (pid, of("state")) {
            (Some(_), _) => Activity::Active,
            // It ended badly, and launchd will start it again.
            (None, _) if failed => Activity::Passing,
            _ => Activity::Inactive,
        },
        word: of("state").to_owned(),
        pid,
        outdated: false,
    }
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
    running(place).await
}

async fn running(place: &Place) -> Result<(), Failure> {
    let deadline = Instant::now() + START_PATIENCE;
    while standing(place).await?.pid.is_none() {
        if deadline < Instant::now() {
            let error = format!("launchd took {} and does not run it", place.name());
            return Err(Failure::new(Exit::Failed, error)
                .hint(format!("launchctl print {} says why", target(place))));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(())
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
    running(place).await
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
mod tests {
    use super::*;

    #[test]
    fn what_launchd_prints_is_read() {
        let text = "gui/501/falco = {\n\tstate = running\n\tpid = 812\n\tlast exit code = (never exited)\n}";
        let running = read(Some(text));
        assert_eq!(
            (running.activity, running.pid),
            (Activity::Active, Some(812))
        );
        let text = "gui/501/falco = {\n\tstate = not running\n\tlast exit code = 69\n}";
        assert_eq!(read(Some(text)).activity, Activity::Passing);
        let text = "gui/501/falco = {\n\tstate = not running\n\tlast exit code = 0\n}";
        assert_eq!(read(Some(text)).activity, Activity::Inactive);
        assert!(!read(None).enabled);
    }
}
