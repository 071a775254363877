//! `falco service install`.

mod args;
mod former;
mod start;

use std::os::unix::fs::DirBuilderExt;

use nix::unistd::{User, geteuid};

use super::file::{self, Written};
use super::place::{Kind, Place};
use super::unit::{self, File};
use super::{Order, PATIENCE, launchd, systemd};
use crate::cli::exit::{Exit, Failure};
use crate::cli::settings::private_directory;
use crate::cli::{output, progress, shell};
use crate::paths::Paths;
use crate::process::tool;
use args::paths;
pub(super) use args::{Args, located};
use former::Former;

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let kind = args.which.kind()?;
    let user = args.user(kind)?;
    let paths = paths(&args.which, kind, user.as_ref())?;
    let place = Place::of(kind, &paths)?;
    let order = args.order(kind, paths, user.as_ref())?;
    let version = match kind {
        Kind::Launchd => None,
        Kind::User | Kind::System => systemd::version().await,
    };
    let files = unit::render(&place, &order, version)?;
    let former = Former::of(&place, &order, &files[0].text);
    let had_socket = place.has_socket();
    let install = Install {
        args: &args,
        place,
        order,
        files,
        former,
        had_socket,
    };
    if args.which.dry_run {
        install.former.tell();
        return install.tell();
    }
    let done = install.run(user.as_ref()).await;
    done.map_err(|failure| failure.at(&install.order.paths))
}

struct Install<'a> {
    args: &'a Args,
    place: Place,
    order: Order,
    /// The service's own first.
    files: Vec<File>,
    former: Former,
    /// Whether systemd listened for it before.
    had_socket: bool,
}

impl Install<'_> {
    /// Prints what would be done.
    fn tell(&self) -> Result<(), Failure> {
        if self.args.which.json {
            let files = self.files.iter().map(|file| {
                serde_json::json!({"path": file.path.display().to_string(), "text": file.text})
            });
            let files: Vec<_> = files.collect();
            let object =
                serde_json::json!({"schema": 1, "files": files, "commands": self.commands()});
            return output::line(&object.to_string());
        }
        for file in &self.files {
            output::line(&format!("# {}\n{}", file.path.display(), file.text))?;
        }
        self.commands()
            .iter()
            .try_for_each(|command| output::line(&format!("$ {command}")))
    }

    /// The commands that follow the writing.
    fn commands(&self) -> Vec<String> {
        let name = self.place.name();
        if self.place.kind == Kind::Launchd {
            let file = self.place.file();
            return vec![format!(
                "launchctl bootstrap {} {}",
                launchd::domain(),
                shell::path(&file)
            )];
        }
        let systemctl = match self.place.kind {
            Kind::User => "systemctl --user",
            Kind::System | Kind::Launchd => "systemctl",
        };
        let mut commands = vec![
            format!("{systemctl} daemon-reload"),
            format!("{systemctl} enable {}", self.units().join(" ")),
        ];
        commands.extend(self.former.commands(systemctl, &self.place));
        if self.args.systemd.linger {
            commands.push("loginctl enable-linger".to_owned());
        }
        if !self.args.no_start {
            commands.push(format!("{systemctl} start {name}"));
        }
        commands
    }

    fn units(&self) -> Vec<String> {
        let socket = self.order.socket.then(|| self.place.socket_name());
        [self.place.name()].into_iter().chain(socket).collect()
    }

    async fn run(&self, user: Option<&User>) -> Result<(), Failure> {
        self.prepare(user).await?;
        let mut changed = self.write().await?;
        let files: Vec<_> = self
            .files
            .iter()
            .map(|f| progress::tilde(&f.path))
            .collect();
        let word = if changed {
            "installed"
        } else {
            "already installed:"
        };
        output::message(&format!("{word} {} · enabled", files.join(", ")));
        self.former.tell();
        let removed = self.former.clear(&self.place).await?;
        changed |= removed.is_some();
        if self.args.systemd.linger {
            linger().await?;
        }
        let pid = if self.args.no_start {
            None
        } else {
            Some(self.start(changed).await?)
        };
        if self.args.which.json {
            let files: Vec<_> = self
                .files
                .iter()
                .map(|f| f.path.display().to_string())
                .collect();
            let object = serde_json::json!({
                "schema": 1, "name": self.place.name(), "files": files, "removed": removed, "changed": changed, "pid": pid,
            });
            return output::line(&object.to_string());
        }
        Ok(())
    }

    /// Everything that can be refused before anything is changed.
    async fn prepare(&self, user: Option<&User>) -> Result<(), Failure> {
        if self.place.kind == Kind::System && !geteuid().is_root() {
            let error = "a system service is installed by root";
            let flag = self.place.flag_of_base(&self.order.paths);
            let hint = format!("{}{flag}", self.place.verb_of_install());
            return Err(Failure::new(Exit::Permission, error).hint(hint));
        }
        match self.place.kind {
            Kind::Launchd => launchd::check().await?,
            Kind::User | Kind::System => {
                systemd::check(&self.place).await?;
                systemd::verify(&self.place, &self.files).await?;
            }
        }
        if let Some(user) = user {
            return directory_of(user, &self.order.paths);
        }
        private_directory(self.order.paths.base())?;
        private_directory(&self.order.paths.logs())
    }

    /// Writes the files and switches the service on; all of it, or what was
    /// there before is there again. Whether anything changed.
    async fn write(&self) -> Result<bool, Failure> {
        let mut written: Vec<Written> = Vec::new();
        for file in &self.files {
            match file::write(&file.path, &file.text) {
                Ok(done) => written.push(done),
                Err(failure) => {
                    written.into_iter().for_each(Written::undo);
                    return Err(failure);
                }
            }
        }
        let changed = written.iter().any(|file| file.changed);
        if let Err(failure) = self.enable().await {
            written
                .into_iter()
                .filter(|file| file.changed)
                .for_each(Written::undo);
            return Err(failure);
        }
        Ok(changed)
    }

    async fn enable(&self) -> Result<(), Failure> {
        if self.place.kind == Kind::Launchd {
            return Ok(());
        }
        systemd::insist(&self.place, &["daemon-reload"], PATIENCE).await?;
        let units = self.units();
        let args: Vec<_> = ["enable"]
            .into_iter()
            .chain(units.iter().map(String::as_str))
            .collect();
        systemd::insist(&self.place, &args, PATIENCE).await
    }
}

/// The base directory of a system service, made for its user.
fn directory_of(user: &User, paths: &Paths) -> Result<(), Failure> {
    let base = paths.base();
    if base.exists() {
        return Ok(());
    }
    let made = std::fs::DirBuilder::new()
        .mode(0o700)
        .create(base)
        .and_then(|()| {
            let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
            std::os::unix::fs::chown(base, Some(uid), Some(gid))
        });
    made.map_err(|error| {
        Failure::new(
            Exit::CannotCreate,
            format!("failed to make {}: {error}", base.display()),
        )
    })
}

async fn linger() -> Result<(), Failure> {
    let said = tool::run("loginctl", &["enable-linger"], PATIENCE).await;
    let said = said.map_err(|e| Failure::of(Exit::Failed, &e))?;
    if !said.success {
        let error = format!("loginctl enable-linger: {}", said.stderr);
        return Err(Failure::new(Exit::Failed, error)
            .hint("the service is installed, and ends with your last login"));
    }
    output::message("  lingering is on: it goes on after your last logout");
    Ok(())
}
