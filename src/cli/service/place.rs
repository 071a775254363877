//! Where a service's files are and what it is called: one name for each base
//! directory.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::file::{is_ours, ours};
use super::missed;
use crate::cli::exit::{Exit, Failure};
use crate::cli::typed;
use crate::paths::Paths;
use crate::protocol::id::named;

/// The stem of the default base directory.
const DEFAULT_STEM: &str = "falco";

/// A program that runs services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Manager {
    Systemd,
    Launchd,
}

impl Default for Manager {
    fn default() -> Self {
        if cfg!(target_os = "macos") {
            Self::Launchd
        } else {
            Self::Systemd
        }
    }
}

/// Whose service it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Of the user's systemd.
    User,
    /// Of the system's systemd.
    System,
    /// Of the user's launchd.
    Launchd,
}

/// One service: what it is called and where it is written.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Place {
    pub(super) kind: Kind,
    /// `falco`, or with the mark of its base directory.
    pub(super) stem: String,
    pub(super) directory: PathBuf,
}

impl Place {
    pub(super) fn of(kind: Kind, paths: &Paths) -> Result<Self, Failure> {
        let directory = match kind {
            Kind::User => user_configuration()?.join("systemd/user"),
            Kind::System => "/etc/systemd/system".into(),
            Kind::Launchd => home()?.join("Library/LaunchAgents"),
        };
        Ok(Self {
            kind,
            stem: match kind {
                // Of whose home "the default" is, root cannot tell.
                Kind::System => marked(paths.base()),
                Kind::User | Kind::Launchd => stem(paths.base()),
            },
            directory,
        })
    }

    /// The name its manager knows it by.
    pub(in crate::cli) fn name(&self) -> String {
        match self.kind {
            Kind::User | Kind::System => format!("{}.service", self.stem),
            Kind::Launchd => self.stem.clone(),
        }
    }

    /// What a person types to install it anew.
    pub(in crate::cli) fn verb_of_install(&self) -> &'static str {
        match self.kind {
            Kind::User | Kind::Launchd => "falco service install",
            Kind::System => "sudo falco service install --system",
        }
    }

    /// What a person adds to a verb of services that is to mean it.
    pub(in crate::cli) fn flag_of_kind(&self) -> &'static str {
        match self.kind {
            Kind::User | Kind::Launchd => "",
            Kind::System => " --system",
        }
    }

    /// What a person types to have systemd read its file anew.
    pub(in crate::cli) fn verb_to_reread(&self) -> &'static str {
        match self.kind {
            Kind::User | Kind::Launchd => "systemctl --user daemon-reload",
            Kind::System => "sudo systemctl daemon-reload",
        }
    }

    /// What a person adds to a verb that is to mean `paths`, of which it is.
    pub(in crate::cli) fn flag_of_base(&self, paths: &Paths) -> String {
        match self.kind {
            // Of whose home "the default" is, root cannot tell.
            Kind::System => typed::always_at(paths),
            Kind::User | Kind::Launchd => typed::at(paths),
        }
    }

    /// Whether it was installed with this flag.
    pub(in crate::cli) fn has_flag(&self, flag: &str) -> bool {
        ours(&self.file()).is_some_and(|text| missed::has(&text, flag))
    }

    pub(super) fn socket_name(&self) -> String {
        format!("{}.socket", self.stem)
    }

    /// The file it is written to.
    pub(super) fn file(&self) -> PathBuf {
        match self.kind {
            Kind::User | Kind::System => self.directory.join(self.name()),
            Kind::Launchd => self.directory.join(format!("{}.plist", self.stem)),
        }
    }

    /// The file of its socket; launchd has none.
    pub(super) fn socket_file(&self) -> Option<PathBuf> {
        let name = self.socket_name();
        (self.kind != Kind::Launchd).then(|| self.directory.join(name))
    }

    pub(super) fn has_socket(&self) -> bool {
        self.socket_file().is_some_and(|file| is_ours(&file))
    }

    /// Whether a file of our making is there.
    pub(super) fn is_installed(&self) -> bool {
        is_ours(&self.file())
    }
}

/// `falco` for the default base directory; every other has a mark of its own.
fn stem(base: &Path) -> String {
    if home().is_ok_and(|home| home.join(".unbound") == base) {
        return DEFAULT_STEM.to_owned();
    }
    marked(base)
}

fn marked(base: &Path) -> String {
    let mark = named(&Uuid::NAMESPACE_URL, &[base.as_os_str().as_encoded_bytes()]);
    format!("falco-{:08x}", mark.as_fields().0)
}

fn user_configuration() -> Result<PathBuf, Failure> {
    let given = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    match given.filter(|dir| dir.is_absolute()) {
        Some(dir) => Ok(dir),
        None => Ok(home()?.join(".config")),
    }
}

fn home() -> Result<PathBuf, Failure> {
    let dirs = directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_path_buf());
    dirs.filter(|dir| dir.is_absolute())
        .ok_or_else(|| Failure::new(Exit::Config, "there is no home directory").hint("set HOME"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_directory_that_is_not_the_default_one_has_to_be_named_and_any_to_root() {
        let flag = |paths: &Paths, kind| Place::of(kind, paths).unwrap().flag_of_base(paths);
        let usual = Paths::new(home().unwrap().join(".unbound"));
        assert_eq!(flag(&usual, Kind::User), "");
        assert!(flag(&usual, Kind::System).ends_with("/.unbound"));
        let other = Paths::new("/srv/one");
        for kind in [Kind::User, Kind::System] {
            assert_eq!(flag(&other, kind), " --base-dir /srv/one");
        }
    }

    #[test]
    fn every_base_directory_has_a_name_of_its_own() {
        let one = stem(Path::new("/srv/one"));
        assert_eq!(one, stem(Path::new("/srv/one")));
        assert_ne!(one, stem(Path::new("/srv/two")));
        assert!(one.starts_with("falco-"), "{one}");
    }
}
