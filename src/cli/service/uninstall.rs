//! `falco service uninstall`.

use std::path::PathBuf;

use super::place::{Kind, Place};
use super::{PATIENCE, Which, file, launchd, systemd};
use crate::cli::exit::Failure;
use crate::cli::{output, progress, shell};

pub(super) async fn run(args: Which) -> Result<(), Failure> {
    let place = args.place()?;
    if !place.is_installed() {
        if place.file().exists() {
            // Refuses it by name.
            file::remove(&place.file())?;
        }
        output::message(&format!("{} is not installed", place.name()));
        return args.tell(&place, &[], false);
    }
    let socket = place.socket_file().filter(|_| place.has_socket());
    let files: Vec<PathBuf> = [place.file()].into_iter().chain(socket).collect();
    if args.dry_run {
        return args.tell(&place, &files, false);
    }
    let paths = args.paths()?;
    let gone = take_away(&place, &files).await;
    gone.map_err(|failure| failure.at(&paths))?;
    args.tell(&place, &files, true)
}

/// Stops the service, switches it off and removes its files.
async fn take_away(place: &Place, files: &[PathBuf]) -> Result<(), Failure> {
    match place.kind {
        Kind::Launchd => launchd::boot_out(place).await.map(|_| ())?,
        Kind::User | Kind::System => systemd::disable_now(place).await?,
    }
    for file in files {
        file::remove(file)?;
        output::message(&format!("removed {}", progress::tilde(file)));
    }
    if place.kind == Kind::Launchd {
        return Ok(());
    }
    systemd::insist(place, &["daemon-reload"], PATIENCE).await
}

impl Which {
    /// Says which files are concerned and whether they are gone.
    fn tell(&self, place: &Place, files: &[PathBuf], removed: bool) -> Result<(), Failure> {
        let name = |file: &PathBuf| file.display().to_string();
        let files: Vec<_> = files.iter().map(name).collect();
        if self.json {
            let name = place.name();
            let object = serde_json::json!({
                "schema": 1, "name": name, "files": files, "removed": removed,
            });
            return output::line(&object.to_string());
        }
        if removed {
            return Ok(());
        }
        files
            .iter()
            .try_for_each(|file| output::line(&format!("$ rm {}", shell::word(file))))
    }
}
