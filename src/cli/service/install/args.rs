//! What is asked for: whose service, where, and how.

use nix::unistd::User;

use super::super::place::Kind;
use super::super::unit::Credential;
use super::super::{Order, Which};
use crate::cli::daemon::Setup;
use crate::cli::exit::{Exit, Failure};
use crate::paths::Paths;

#[derive(Debug, clap::Args)]
pub(in super::super) struct Args {
    #[command(flatten)]
    pub(super) which: Which,
    #[command(flatten)]
    setup: Setup,
    /// Whom a system service runs as [default: whoever called sudo]
    #[arg(long, value_name = "USER", requires = "system")]
    run_as: Option<String>,
    #[command(flatten)]
    pub(super) systemd: SystemdOnly,
    /// Switch it on, but do not start it now
    #[arg(long)]
    pub(super) no_start: bool,
}

/// What launchd has not.
#[derive(Debug, clap::Args)]
pub(super) struct SystemdOnly {
    /// Keep running after the last logout (systemd)
    #[arg(long, conflicts_with = "system")]
    pub(super) linger: bool,
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

/// Where the instance is; a system service's, in the home of its user.
pub(super) fn paths(which: &Which, kind: Kind, user: Option<&User>) -> Result<Paths, Failure> {
    match user {
        Some(user) if kind == Kind::System && which.instance.is_default() => {
            Ok(Paths::new(user.dir.join(".unbound")))
        }
        _ => which.instance.paths(),
    }
}

impl Args {
    /// Whom a system service runs as.
    pub(super) fn user(&self, kind: Kind) -> Result<Option<User>, Failure> {
        if kind != Kind::System {
            return Ok(None);
        }
        system_user(self.run_as.clone()).map(Some)
    }

    pub(super) fn order(
        &self,
        kind: Kind,
        paths: Paths,
        user: Option<&User>,
    ) -> Result<Order, Failure> {
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

/// Where the instance of an installed service is.
pub(in super::super) fn located(which: &Which, kind: Kind) -> Result<Paths, Failure> {
    let user = match kind {
        Kind::System if which.instance.is_default() => Some(system_user(None)?),
        _ => None,
    };
    paths(which, kind, user.as_ref())
}
