//! `falco service install`.

use std::os::unix::fs::DirBuilderExt;
use std::time::{Duration, Instant};

use nix::unistd::{User, geteuid};

use super::file::{self, Written};
use super::place::{Kind, Place};
use super::unit::{self, Credential, File, STOP_BOUND};
use super::{Activity, Order, PATIENCE, Which, launchd, systemd};
use crate::cli::daemon::Setup;
use crate::cli::exit::{Exit, Failure};
use crate::cli::progress::{self, seconds};
use crate::cli::settings::private_directory;
use crate::cli::{output, status, stop};
use crate::paths::Paths;
use crate::process::tool;
use crate::supervisor::instance::{Asked, Lock};

/// How long a chain may take from its start to answering: what `up` waits.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// How long a service that was started may take to be the one that answers.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    setup: Setup,
    /// Whom a system service runs as [default: whoever called sudo]
    #[arg(long, value_name = "USER", requires = "system")]
    run_as: Option<String>,
    #[command(flatten)]
    systemd: SystemdOnly,
    /// Switch it on, but do not start it now
    #[arg(long)]
    no_start: bool,
    /// Print what was done as one JSON object
    #[arg(long)]
    json: bool,
}

/// What launchd has not.
#[derive(Debug, clap::Args)]
struct SystemdOnly {
    /// Keep running after the last logout (systemd)
    #[arg(long, conflicts_with = "system")]
    linger: bool,
    /// Have systemd bind falco.sock and start the chain when a daemon connects
    #[arg(long)]
    socket: bool,
    /// A file that systemd hands over as credential, such as ably-api-key:FILE
    #[arg(long, value_name = "NAME:FILE")]
    load_credential: Vec<String>,
    /// As --load-credential, a file that systemd-creds has encrypted
    #[arg(long, value_name = "NAME:FILE")]
    load_credential_encrypted: Vec<String>,
}

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
    let install = Install {
        args: &args,
        place,
        order,
        files,
    };
    if args.which.dry_run {
        return install.tell();
    }
    install.run(user.as_ref()).await
}

/// Where the instance is; a system service's, in the home of its user.
fn paths(which: &Which, kind: Kind, user: Option<&User>) -> Result<Paths, Failure> {
    match user {
        Some(user) if kind == Kind::System && which.instance.is_default() => {
            Ok(Paths::new(user.dir.join(".unbound")))
        }
        _ => which.instance.paths(),
    }
}

impl Args {
    /// Whom a system service runs as.
    fn user(&self, kind: Kind) -> Result<Option<User>, Failure> {
        if kind != Kind::System {
            return Ok(None);
        }
        system_user(self.run_as.clone()).map(Some)
    }

    fn order(&self, kind: Kind, paths: Paths, user: Option<&User>) -> Result<Order, Failure> {
        let only_systemd = self.systemd.socket
            || self.systemd.linger
            || !self.systemd.load_credential.is_empty()
            || !self.systemd.load_credential_encrypted.is_empty();
        if kind == Kind::Launchd && only_systemd {
            let error = "--socket, --linger and --load-credential are systemd's";
            return Err(Failure::new(Exit::Usage, error).hint("leave them out with launchd"));
        }
        let plain = self
            .systemd
            .load_credential
            .iter()
            .map(|c| Credential::parse(c, false));
        let encrypted = self
            .systemd
            .load_credential_encrypted
            .iter()
            .map(|c| Credential::parse(c, true));
        Ok(Order {
            credentials: plain.chain(encrypted).collect::<Result<_, _>>()?,
            paths,
            setup: self.setup.clone(),
            user: user.map(|user| user.name.clone()),
            socket: self.systemd.socket,
        })
    }
}

fn system_user(given: Option<String>) -> Result<User, Failure> {
    let name = given.or_else(|| std::env::var("SUDO_USER").ok());
    let name = name.ok_or_else(|| {
        Failure::new(Exit::Usage, "it is not said whom the service runs as").hint("--run-as USER")
    })?;
    match User::from_name(&name) {
        Ok(Some(user)) => Ok(user),
        _ => Err(Failure::new(
            Exit::Usage,
            format!("there is no user {name:?}"),
        )),
    }
}

struct Install<'a> {
    args: &'a Args,
    place: Place,
    order: Order,
    files: Vec<File>,
}

impl Install<'_> {
    /// Prints what would be done.
    fn tell(&self) -> Result<(), Failure> {
        if self.args.json {
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
                file.display()
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
        let changed = self.write().await?;
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
        if self.args.systemd.linger {
            linger().await?;
        }
        let pid = if self.args.no_start {
            None
        } else {
            Some(self.start(changed).await?)
        };
        if self.args.json {
            let files: Vec<_> = self
                .files
                .iter()
                .map(|f| f.path.display().to_string())
                .collect();
            let object = serde_json::json!({
                "schema": 1, "name": self.place.name(), "files": files, "changed": changed, "pid": pid,
            });
            return output::line(&object.to_string());
        }
        Ok(())
    }

    /// Everything that can be refused before anything is changed.
    async fn prepare(&self, user: Option<&User>) -> Result<(), Failure> {
        if self.place.kind == Kind::System && !geteuid().is_root() {
            let error = "a system service is installed by root";
            return Err(
                Failure::new(Exit::Permission, error).hint("sudo falco service install --system")
            );
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

    /// Starts the service, over a chain that was started by hand; yields the
    /// pid that answers.
    async fn start(&self, changed: bool) -> Result<u32, Failure> {
        let began = Instant::now();
        let standing = self.place.standing().await?;
        if self.place.kind != Kind::System {
            self.take_over(standing.pid).await?;
        }
        match (self.place.kind, standing.activity) {
            (Kind::Launchd, Activity::Active) if !changed => {}
            (Kind::Launchd, _) => {
                launchd::boot_out(&self.place).await?;
                launchd::boot(&self.place).await?;
            }
            (_, Activity::Active) if !changed => {}
            (_, Activity::Active) => self.systemctl("restart").await?,
            _ => {
                if let Some(socket) = self.order.socket.then(|| self.place.socket_name()) {
                    systemd::insist(&self.place, &["start", &socket], PATIENCE).await?;
                }
                self.systemctl("start").await?;
            }
        }
        let pid = self.verified().await?;
        let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        output::message(&format!("ready in {} · verified pid {pid}", seconds(took)));
        Ok(pid)
    }

    async fn systemctl(&self, verb: &str) -> Result<(), Failure> {
        let patience = START_PATIENCE + STOP_BOUND;
        systemd::insist(&self.place, &[verb, &self.place.name()], patience).await
    }

    /// Two cannot own one base directory: a chain that was started by hand is
    /// stopped in order.
    async fn take_over(&self, service: Option<u32>) -> Result<(), Failure> {
        let lock = Lock::ask_existing(&self.order.paths.lock_file());
        let Ok(Asked::Held(Some(who))) = lock else {
            return Ok(());
        };
        if Some(who.identity.pid) == service {
            return Ok(());
        }
        let pid = who.identity.pid;
        output::message(&format!(
            "  pid {pid} was started by hand: stopping it, the service takes over"
        ));
        stop::whole_chain(&self.order.paths, STOP_BOUND)
            .await
            .map(|_| ())
    }

    /// The chain answers, and it is the manager's process that does.
    async fn verified(&self) -> Result<u32, Failure> {
        let deadline = Instant::now() + ANSWER_PATIENCE;
        loop {
            let pid = self.place.standing().await?.pid;
            if let (Some(pid), Ok(status)) = (pid, status::ask(&self.order.paths).await)
                && status.pid == pid
            {
                return Ok(pid);
            }
            if deadline < Instant::now() {
                let error = format!(
                    "{} was started, and the chain does not answer",
                    self.place.name()
                );
                return Err(
                    Failure::new(Exit::Unavailable, error).hint("falco service status; falco logs")
                );
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
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

/// Where the instance of an installed service is.
pub(super) fn located(which: &Which, kind: Kind) -> Result<Paths, Failure> {
    let user = match kind {
        Kind::System if which.instance.is_default() => Some(system_user(None)?),
        _ => None,
    };
    paths(which, kind, user.as_ref())
}
