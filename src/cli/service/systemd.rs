//! systemd, through `systemctl`.

use std::time::Duration;

use super::place::{Kind, Place};
use super::unit::{File, STOP_BOUND};
use super::{Activity, PATIENCE, Standing};
use crate::cli::exit::{Exit, Failure};
use crate::process::tool::{self, Said, ToolError};

/// Runs `systemctl` for whoever owns `place`.
async fn systemctl(place: &Place, args: &[&str], patience: Duration) -> Result<Said, Failure> {
    let scope: &[&str] = match place.kind {
        Kind::User => &["--user", "--no-ask-password"],
        Kind::System | Kind::Launchd => &["--no-ask-password"],
    };
    let args = [scope, args].concat();
    tool::run("systemctl", &args, patience)
        .await
        .map_err(|error| unavailable(&error))
}

/// Runs `systemctl` and insists that it succeeds.
pub(super) async fn insist(
    place: &Place,
    args: &[&str],
    patience: Duration,
) -> Result<(), Failure> {
    let said = systemctl(place, args, patience).await?;
    if said.success {
        return Ok(());
    }
    Err(refused(place, &args.join(" "), &said))
}

fn unavailable(error: &ToolError) -> Failure {
    match error {
        ToolError::Missing { .. } => {
            let error = "there is no systemctl: services here are not systemd's";
            Failure::new(Exit::Unavailable, error)
                .hint("have whatever starts programs here run: `falco up --foreground`")
        }
        ToolError::TimedOut { .. } => Failure::of(Exit::TimedOut, error),
        ToolError::Run { .. } => Failure::of(Exit::Failed, error),
    }
}

/// What `systemctl` said when it did not do it.
fn refused(place: &Place, doing: &str, said: &Said) -> Failure {
    let why = said.stderr.lines().next().unwrap_or("it did not say why");
    let no_bus = [
        "connect to bus",
        "DBUS_SESSION_BUS_ADDRESS",
        "not been booted with systemd",
        "Host is down",
    ];
    if no_bus.iter().any(|sign| said.stderr.contains(sign)) {
        let error = format!("the service manager cannot be reached: {why}");
        let uid = nix::unistd::geteuid();
        return Failure::new(Exit::Unavailable, error).hint(match place.kind {
            Kind::User => format!(
                "log in as this user (not through su or sudo), or set XDG_RUNTIME_DIR=/run/user/{uid}; without it: `falco up --no-service`"
            ),
            _ => "this system was not started by systemd; `falco up --foreground` runs under anything".to_owned(),
        });
    }
    if said.stderr.contains("authentication required") || said.stderr.contains("Access denied") {
        return Failure::new(Exit::Permission, format!("systemctl {doing}: {why}"))
            .hint("sudo falco …");
    }
    let scope = if place.kind == Kind::User {
        " --user"
    } else {
        ""
    };
    Failure::new(Exit::Failed, format!("systemctl {doing}: {why}"))
        .hint(format!("journalctl{scope} -u {} says more", place.name()))
}

/// Whether the manager answers at all.
pub(super) async fn check(place: &Place) -> Result<(), Failure> {
    insist(place, &["show", "--property=Version"], PATIENCE).await
}

/// The version of this systemd, which can be asked without its manager.
pub(super) async fn version() -> Option<u32> {
    let said = tool::run("systemctl", &["--version"], PATIENCE)
        .await
        .ok()?;
    said.stdout.split_whitespace().nth(1)?.parse().ok()
}

/// Has systemd read the files before they are installed.
///
/// Where there is no `systemd-analyze`, nothing is checked.
pub(super) async fn verify(place: &Place, files: &[File]) -> Result<(), Failure> {
    let cannot =
        |e: std::io::Error| Failure::new(Exit::CannotCreate, format!("failed to verify: {e}"));
    let directory =
        std::env::temp_dir().join(format!("falco-verify-{:08x}", rand::random::<u32>()));
    std::fs::create_dir(&directory).map_err(cannot)?;
    let checked = verify_in(&directory, place, files).await;
    _ = std::fs::remove_dir_all(&directory);
    checked
}

async fn verify_in(
    directory: &std::path::Path,
    place: &Place,
    files: &[File],
) -> Result<(), Failure> {
    let mut args = vec!["verify".to_owned(), "--man=no".to_owned()];
    if place.kind == Kind::User {
        args.push("--user".to_owned());
    }
    for file in files {
        let copy = directory.join(file.path.file_name().unwrap_or_default());
        let written = std::fs::write(&copy, &file.text);
        written.map_err(|e| Failure::new(Exit::CannotCreate, format!("failed to verify: {e}")))?;
        args.push(copy.display().to_string());
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let Ok(said) = tool::run("systemd-analyze", &args, PATIENCE).await else {
        return Ok(());
    };
    // It names every unit it reads; only what it says of ours counts.
    let ours = |line: &&str| line.contains(&place.stem);
    match said.stderr.lines().find(ours) {
        Some(line) if !said.success => Err(Failure::new(
            Exit::Failed,
            format!("systemd would not take the unit: {line}"),
        )),
        _ => Ok(()),
    }
}

pub(super) async fn standing(place: &Place) -> Result<Standing, Failure> {
    let name = place.name();
    let properties = "--property=ActiveState,SubState,MainPID,UnitFileState,NeedDaemonReload";
    let said = systemctl(place, &["show", properties, &name], PATIENCE).await?;
    if !said.success {
        return Err(refused(place, "show", &said));
    }
    let of = |name: &str| {
        let lines = said.stdout.lines().filter_map(|line| line.split_once('='));
        lines
            .into_iter()
            .find(|(key, _)| *key == name)
            .map_or("", |(_, value)| value)
    };
    Ok(Standing {
        enabled: of("UnitFileState").starts_with("enabled"),
        activity: match of("ActiveState") {
            "active" | "reloading" => Activity::Active,
            "activating" | "deactivating" => Activity::Passing,
            "failed" => Activity::Failed,
            _ => Activity::Inactive,
        },
        word: format!("{} ({})", of("ActiveState"), of("SubState")),
        pid: of("MainPID").parse().ok().filter(|pid| *pid != 0),
        outdated: of("NeedDaemonReload") == "yes",
    })
}

/// Starts it, and has systemd listen again where it did: a stop ended that, too.
pub(super) async fn start(place: &Place, patience: Duration) -> Result<(), Failure> {
    if place.has_socket() {
        // First: it cannot once the chain listens. Then that is what counts.
        systemctl(place, &["start", &place.socket_name()], PATIENCE).await?;
    }
    insist(place, &["start", &place.name()], patience).await
}

/// Has systemd stop it, and waits until it is gone.
pub(super) async fn disable_now(place: &Place) -> Result<(), Failure> {
    let (name, socket) = (place.name(), place.socket_name());
    let mut args = vec!["disable", "--now", &name];
    if place.has_socket() {
        args.push(&socket);
    }
    insist(place, &args, STOP_BOUND + PATIENCE).await
}

pub(super) async fn before_stop(place: &Place) -> Result<bool, Failure> {
    let standing = standing(place).await?;
    let (name, socket) = (place.name(), place.socket_name());
    let mut args = vec!["stop", "--no-block"];
    // The socket first: else a daemon that connects starts the chain again.
    if place.has_socket() {
        args.push(&socket);
    }
    let runs = matches!(standing.activity, Activity::Active | Activity::Passing);
    if runs {
        args.push(&name);
    }
    if 2 < args.len() {
        insist(place, &args, PATIENCE).await?;
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Paths;

    fn said(stderr: &str) -> Said {
        Said {
            success: false,
            stdout: String::new(),
            stderr: stderr.to_owned(),
        }
    }

    #[test]
    fn a_manager_that_cannot_be_reached_is_told_apart_from_one_that_refuses() {
        let place = Place::of(Kind::User, &Paths::new("/srv/base")).unwrap();
        let no_bus = said("Failed to connect to bus: No medium found");
        assert_eq!(refused(&place, "start", &no_bus).exit(), Exit::Unavailable);
        let denied = said("Failed to start: Interactive authentication required.");
        assert_eq!(refused(&place, "start", &denied).exit(), Exit::Permission);
        let failed = said("Job for falco.service failed.");
        assert_eq!(refused(&place, "start", &failed).exit(), Exit::Failed);
    }
}
