//! `falco login` and `falco logout`: who the chain publishes for.
//!
//! Credentials are tried before they are kept, and kept before the chain is
//! told. They come from a prompt or from standard input, never from an
//! argument, which anybody on this machine could read.

use std::time::Duration;

use super::config::{self, Config, Credentials, Loaded};
use super::credentials::{self, Places, Stored, Verdict, check};
use super::daemon::Setup;
use super::exit::{Exit, Failure};
use super::follow::follow;
use super::progress::{Progress, seconds};
use super::runtime::block_on;
use super::settings::{Instance, seconds_to_wait, seconds_to_wait_at_most};
use super::{holder, identity, output, prompt, status, typed};
use crate::ably::hosts::Hosts;
use crate::paths::Paths;
use crate::process::spawn::Spawner;
use crate::protocol::control::{LoginState, Request, Status};
use crate::supervisor::instance::{Asked, Lock};
use crate::token_broker::{self, Identity, Reach};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    instance: Instance,
    #[command(flatten)]
    setup: Setup,
    /// Read the API key from standard input, to its end
    #[arg(long, conflicts_with_all = ["token_endpoint", "token_command"])]
    api_key_stdin: bool,
    /// Get tokens from this server; its bearer token is asked for, or read from standard input
    #[arg(long, value_name = "URL", conflicts_with = "token_command")]
    token_endpoint: Option<String>,
    /// Get tokens from this command of /bin/sh, which should hold no secret
    #[arg(long, value_name = "COMMAND")]
    token_command: Option<String>,
    /// Keep them without trying whether they are good
    #[arg(long)]
    no_check: bool,
    /// Give up waiting for the chain after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = seconds_to_wait())]
    timeout: u64,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let paths = args.instance.create()?;
    let config = config::load(&paths, &args.setup.given())?.right()?;
    let stored = args.given()?;
    let login = Login {
        paths: &paths,
        progress: Progress::new(false),
    };
    login.try_out(&config, &stored, args.no_check)?;
    stored.write(&paths.credentials_file())?;
    let file = paths.credentials_file();
    let kind = stored.kind();
    output::message(&format!(
        "logged in with the {kind}, kept in {}",
        file.display()
    ));
    login.warn_of_environment();
    login.tell_chain(login.running(), Duration::from_secs(args.timeout))
}

impl Args {
    /// What was given, by whatever way.
    fn given(&self) -> Result<Stored, Failure> {
        if let Some(command) = &self.token_command {
            let token_command = command.clone();
            return Ok(Stored::TokenCommand { token_command });
        }
        if let Some(url) = &self.token_endpoint {
            let bearer = prompt::secret("Bearer token (none: just Enter):")?;
            return Ok(Stored::TokenEndpoint {
                token_endpoint: url.clone(),
                token_bearer: Some(bearer).filter(|bearer| !bearer.is_empty()),
            });
        }
        if self.api_key_stdin && prompt::is_asked() {
            output::message("reading the API key from the terminal");
        }
        let api_key = prompt::secret("Ably API key:")?;
        if api_key.is_empty() {
            let hint = "paste it at the prompt, or pipe it in: falco login < key";
            return Err(Failure::new(Exit::Usage, "no API key was given").hint(hint));
        }
        Ok(Stored::ApiKey { api_key })
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct LogoutArgs {
    #[command(flatten)]
    instance: Instance,
    #[command(flatten)]
    setup: Setup,
    /// Give up waiting for the chain after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = seconds_to_wait_at_most())]
    timeout: u64,
}

pub(super) fn logout(args: LogoutArgs) -> Result<(), Failure> {
    let paths = args.instance.paths()?;
    if !paths.base().exists() {
        output::message("nobody is logged in");
        return Ok(());
    }
    let login = Login {
        paths: &paths,
        progress: Progress::new(false),
    };
    let config = config::load(&paths, &args.setup.given()).and_then(Loaded::right);
    let before = login.running();
    // With a file that nobody can read, somebody may be in.
    if let Ok(config) = &config
        && !login.is_anybody_in(&config.credentials, &before)
    {
        if let Running::Unknown(why) = before {
            output::message("no credentials are kept here; nothing was changed");
            return Err(untold(&paths, &why));
        }
        output::message("nobody is logged in");
        return Ok(());
    }
    Stored::LoggedOut.write(&paths.credentials_file())?;
    output::message("logged out; what was kept is gone");
    login.warn_of_environment();
    if let Err(mistake) = config {
        return login.ends_with(mistake);
    }
    login.tell_chain(before, Duration::from_secs(args.timeout))?;
    login.stays_out()
}

/// What is known of a chain before it is told anything.
enum Running {
    /// None runs.
    No,
    /// It answers, and is so.
    Yes(Box<Status>),
    /// One may run, and does not answer.
    Unknown(Failure),
}

impl Running {
    /// Whether it is known to be logged in.
    fn is_in(&self) -> bool {
        matches!(self, Self::Yes(status) if status.login.state == LoginState::LoggedIn)
    }
}

/// What is kept is settled, and a chain that may run has not heard of it.
fn untold(paths: &Paths, why: &Failure) -> Failure {
    let text = format!("the chain could not be told and stays as it is: {why}");
    let falco = |verb| typed::falco(paths, verb);
    let (reload, stop) = (falco("reload"), falco("stop --now"));
    Failure::new(Exit::Unknown, text).hint(format!("{reload} once it answers, or {stop}"))
}

struct Login<'a> {
    paths: &'a Paths,
    progress: Progress,
}

impl Login<'_> {
    /// Gets a token, and says what came of it.
    fn try_out(&self, config: &Config, stored: &Stored, unchecked: bool) -> Result<(), Failure> {
        let variables = config::variables();
        let spawner = Spawner::start()
            .map_err(|error| Failure::to(Exit::Internal, "start a thread", &error))?;
        let places = Places {
            variables: &variables,
            stored: &self.paths.credentials_file(),
            files: &config.credentials,
            spawner: &spawner,
            directory: self.paths.base(),
        };
        let chosen = places.read(stored)?;
        if unchecked {
            return Ok(());
        }
        let broker = token_broker::Config {
            identity: self.identity(config)?,
            source: chosen.source,
            reach: Reach::Contract,
        };
        let endpoint = &config.transport.endpoint;
        let hosts = Hosts::parse(endpoint).map_err(|e| Failure::of(Exit::Config, &e))?;
        match block_on(async { Ok(check(&broker, &hosts).await) })? {
            Verdict::Good => Ok(()),
            Verdict::Refused(why) => {
                let text = format!("there is no token with this {}: {why}", stored.kind());
                Err(Failure::new(Exit::Permission, text).hint("nothing was kept or changed"))
            }
            Verdict::Unknown(why) => {
                let text = format!("nobody could say whether this is good: {why}");
                self.progress.warn(&text);
                Ok(())
            }
        }
    }

    /// Whose tokens they will be. Made now if nothing ran here before.
    fn identity(&self, config: &Config) -> Result<Identity, Failure> {
        let (device, user) = (config.device_id.as_deref(), config.user_id.as_deref());
        // Held until it is settled: only the holder of the lock makes one.
        let _lock = Lock::ask(&self.paths.lock_file()).map_err(|e| holder::lock_failure(&e))?;
        identity::settle(&self.paths.identity_file(), device, user)
    }

    /// Says what is wrong with the configuration, now that nothing is kept: a
    /// chain that runs does not take it up, so it stays as it is.
    fn ends_with(&self, mistake: Failure) -> Result<(), Failure> {
        let asked = Lock::ask_existing(&self.paths.lock_file());
        if !matches!(asked, Ok(Asked::Ours(_) | Asked::Absent)) {
            let falco = |verb| typed::falco(self.paths, verb);
            self.progress.warn(&format!(
                "the chain could not follow and stays as it is: mend the file and {}, or {}",
                falco("reload"),
                falco("stop")
            ));
        }
        Err(mistake)
    }

    /// Has a chain that runs take up what is kept now.
    fn tell_chain(&self, running: Running, patience: Duration) -> Result<(), Failure> {
        match running {
            Running::No => {
                let up = typed::falco(self.paths, "up");
                self.progress.say(&format!("the chain does not run; {up}"));
                return Ok(());
            }
            Running::Unknown(why) => return Err(untold(self.paths, &why)),
            Running::Yes(_) => {}
        }
        let took = follow(self.paths, &Request::Reload, &self.progress, patience)?;
        let took = seconds(took);
        self.progress
            .say(&format!("the chain has followed in {took}"));
        Ok(())
    }

    /// The environment goes before what is kept; the one of the chain may be
    /// another, but ours is what the next one gets.
    fn warn_of_environment(&self) {
        if let Some(name) = credentials::set_in(&config::variables()) {
            self.progress
                .warn(&format!("{name} is set here, and goes before what is kept"));
        }
    }

    fn running(&self) -> Running {
        match block_on(status::ask(self.paths)) {
            Ok(status) => Running::Yes(status),
            Err(failure) if failure.exit() == Exit::NotRunning => Running::No,
            Err(failure) => Running::Unknown(failure),
        }
    }

    /// Whether there is anything to log out of.
    fn is_anybody_in(&self, named: &Credentials, running: &Running) -> bool {
        let kept = Stored::read(&self.paths.credentials_file());
        let in_file = named.token_endpoint.is_some()
            || named.token_command.is_some()
            || named.api_key_file.is_some();
        match kept {
            Ok(Some(Stored::LoggedOut)) => running.is_in(),
            Ok(None) => {
                in_file || running.is_in() || credentials::set_in(&config::variables()).is_some()
            }
            // What cannot be read is gone afterwards.
            Ok(Some(_)) | Err(_) => true,
        }
    }

    /// Whether the chain has really let go.
    fn stays_out(&self) -> Result<(), Failure> {
        let status = match self.running() {
            running @ Running::Yes(_) if !running.is_in() => return Ok(()),
            Running::Yes(status) => status,
            Running::No => return Ok(()),
            Running::Unknown(why) => return Err(untold(self.paths, &why)),
        };
        let how = status.login.how.unwrap_or_default();
        let text =
            format!("the chain is still logged in: it was started with {how}, which goes first");
        let (stop, up) = (
            typed::falco(self.paths, "stop"),
            typed::falco(self.paths, "up"),
        );
        Err(Failure::new(Exit::Failed, text).hint(format!("{stop}, unset it, {up}")))
    }
}
