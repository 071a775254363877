//! `falco service`: the chain as a service of the user's manager, or the system's.
//!
//! Owns the files it writes for systemd and launchd: one for each base
//! directory, known by a line of ours and never anything else's. What is
//! written is rendered from the templates in `service/`; what is done is done by
//! `systemctl` and `launchctl`. While a service is installed for a base
//! directory, `falco up` and `falco stop` go through it, so that the chain has
//! one owner.
//!
//! ```text
//! install:   check the manager ─▶ render ─▶ verify ─▶ write ─▶ enable ─▶ start ─▶ the chain answers, as the service's pid
//!                                                       └─ refused: what was there before is back
//! ```

mod file;
mod install;
mod launchd;
mod missed;
mod place;
mod show;
mod systemd;
mod uninstall;
mod unit;

use std::time::Duration;

use super::daemon::Setup;
use super::exit::{Exit, Failure};
use super::runtime::block_on;
use super::settings::Instance;
use crate::paths::Paths;
use place::Kind;
pub(super) use place::{Manager, Place};
pub(super) use show::lingers;

/// How long a manager may take for what it does at once.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Install the chain as a service, switch it on and start it
    Install(install::Args),
    /// Stop the service, switch it off and take its files away
    Uninstall(Which),
    /// Say whether it is installed, on and running (exit 0 running, 1 failing, 3 not, 4 unknown)
    Status(Which),
}

/// Which service is meant.
#[derive(Debug, clap::Args)]
struct Which {
    #[command(flatten)]
    instance: Instance,
    /// The system's manager, not the user's (systemd, as root)
    #[arg(long)]
    system: bool,
    /// The service manager [default: the one of this system]
    #[arg(long, value_enum, hide = true)]
    manager: Option<Manager>,
    /// Print what would be done and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Which {
    /// Where it is, or would be.
    fn place(&self) -> Result<Place, Failure> {
        Place::of(self.kind()?, &self.paths()?)
    }

    /// Where its instance is.
    fn paths(&self) -> Result<Paths, Failure> {
        install::located(self, self.kind()?)
    }

    fn kind(&self) -> Result<Kind, Failure> {
        match (self.manager.unwrap_or_default(), self.system) {
            (Manager::Systemd, false) => Ok(Kind::User),
            (Manager::Systemd, true) => Ok(Kind::System),
            (Manager::Launchd, false) => Ok(Kind::Launchd),
            (Manager::Launchd, true) => Err(Failure::new(
                Exit::Usage,
                "launchd runs falco as an agent of its user only",
            )
            .hint("leave out --system")),
        }
    }
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    match args.verb {
        Verb::Install(args) => block_on(install::run(args)),
        Verb::Uninstall(args) => block_on(uninstall::run(args)),
        Verb::Status(args) => block_on(show::run(args)),
    }
}

/// How a service stands with its manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    /// It runs and is ready.
    Active,
    /// It is on its way up or down, or waits to be tried again.
    Passing,
    /// It failed, and is not tried again.
    Failed,
    /// It does not run.
    Inactive,
}

/// What a manager says of a service.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub(super) enabled: bool,
    pub(super) activity: Activity,
    /// In the manager's own word.
    pub(super) word: String,
    pub(super) pid: Option<u32>,
    /// Whether the manager has not read what was written last.
    pub(super) outdated: bool,
}

/// Who is to own the chain.
#[derive(Debug, clap::Args)]
pub(super) struct Owner {
    /// Leave the service manager out of it, though a service is installed
    #[arg(long)]
    no_service: bool,
}

impl Owner {
    /// The service that owns the chain of this base directory.
    pub(super) fn service(&self, paths: &Paths) -> Option<Place> {
        (!self.no_service).then(|| installed(paths)).flatten()
    }
}

/// The service that is installed for this base directory.
pub(super) fn installed(paths: &Paths) -> Option<Place> {
    [Kind::User, Kind::Launchd, Kind::System]
        .into_iter()
        .filter_map(|kind| Place::of(kind, paths).ok())
        .find(Place::is_installed)
}

/// Whether systemd listens on falco.sock for us.
pub(super) fn listens(paths: &Paths) -> bool {
    installed(paths).is_some_and(|place| place.has_socket())
}

impl Place {
    /// Whether it ends with its user's last login, unless that is changed.
    pub(super) fn is_of_login(&self) -> bool {
        self.kind == Kind::User
    }

    /// How it stands with its manager.
    pub(super) async fn standing(&self) -> Result<Standing, Failure> {
        match self.kind {
            Kind::User | Kind::System => systemd::standing(self).await,
            Kind::Launchd => launchd::standing(self).await,
        }
    }

    /// Starts it and waits until it is ready, or has failed to be.
    pub(super) async fn start(&self, patience: Duration) -> Result<(), Failure> {
        match self.kind {
            Kind::User | Kind::System => systemd::start(self, patience).await,
            Kind::Launchd => launchd::start(self).await,
        }
    }

    /// Before a stop: tells the manager that it is meant, so that it starts
    /// nothing again. Whether it had anything to stop.
    pub(super) async fn before_stop(&self) -> Result<bool, Failure> {
        match self.kind {
            Kind::User | Kind::System => systemd::before_stop(self).await,
            Kind::Launchd => Ok(false),
        }
    }

    /// After a stop: launchd starts nothing again that ended well, and forgets
    /// what it would try again. Whether it had anything to stop.
    pub(super) async fn after_stop(&self) -> Result<bool, Failure> {
        match self.kind {
            Kind::User | Kind::System => Ok(false),
            Kind::Launchd => launchd::boot_out(self).await,
        }
    }
}

/// Everything a service is rendered from.
#[derive(Debug)]
struct Order {
    paths: Paths,
    setup: Setup,
    /// Systemd's credentials, by name.
    credentials: Vec<unit::Credential>,
    /// Whom a system service runs as.
    user: Option<String>,
    /// Whether falco.sock is bound by systemd.
    socket: bool,
}
