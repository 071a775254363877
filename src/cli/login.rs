//! `falco login` and `falco logout`: who the chain publishes for.
//!
//! Credentials are tried before they are kept, and kept before the chain is
//! told. They come from a prompt or from standard input, never from an
//! argument, which anybody on this machine could read.

use super::config::{self, Config};
use super::credentials::{self, Places, Stored, Verdict, check};
use super::daemon::Setup;
use super::exit::{Exit, Failure};
use super::progress::Progress;
use super::runtime::block_on;
use super::settings::Instance;
use super::{holder, identity, output, prompt};
use crate::ably::hosts::Hosts;
use crate::paths::Paths;
use crate::process::spawn::Spawner;
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
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let paths = args.instance.create()?;
    let config = config::load(&paths, &args.setup.given())?.right()?;
    let stored = args.given()?;
    let login = Login {
        paths: &paths,
        config: &config,
        progress: Progress::new(false),
    };
    login.try_out(&stored, args.no_check)?;
    stored.write(&paths.credentials_file())?;
    let file = paths.credentials_file();
    let kind = stored.kind();
    output::message(&format!(
        "logged in with the {kind}, kept in {}",
        file.display()
    ));
    login.warn_of_environment();
    login.tell_chain();
    Ok(())
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
}

pub(super) fn logout(args: LogoutArgs) -> Result<(), Failure> {
    let paths = args.instance.paths()?;
    if !paths.base().exists() {
        output::message("nobody is logged in");
        return Ok(());
    }
    let config = config::load(&paths, &args.setup.given())?.right()?;
    let login = Login {
        paths: &paths,
        config: &config,
        progress: Progress::new(false),
    };
    if !login.is_anybody_in() {
        output::message("nobody is logged in");
        return Ok(());
    }
    Stored::LoggedOut.write(&paths.credentials_file())?;
    output::message("logged out; what was kept is gone");
    login.warn_of_environment();
    login.tell_chain();
    Ok(())
}

struct Login<'a> {
    paths: &'a Paths,
    config: &'a Config,
    progress: Progress,
}

impl Login<'_> {
    /// Gets a token, and says what came of it.
    fn try_out(&self, stored: &Stored, unchecked: bool) -> Result<(), Failure> {
        let variables = config::variables();
        let spawner = Spawner::start()
            .map_err(|error| Failure::new(Exit::Internal, format!("no thread: {error}")))?;
        let places = Places {
            variables: &variables,
            stored: &self.paths.credentials_file(),
            files: &self.config.credentials,
            spawner: &spawner,
            directory: self.paths.base(),
        };
        let chosen = places.read(stored)?;
        if unchecked {
            return Ok(());
        }
        let broker = token_broker::Config {
            identity: self.identity()?,
            source: chosen.source,
            reach: Reach::Contract,
        };
        let endpoint = &self.config.transport.endpoint;
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
    fn identity(&self) -> Result<Identity, Failure> {
        let (device, user) = (
            self.config.device_id.as_deref(),
            self.config.user_id.as_deref(),
        );
        // Held until it is settled: only the holder of the lock makes one.
        let _lock = Lock::ask(&self.paths.lock_file()).map_err(|e| holder::lock_failure(&e))?;
        identity::settle(&self.paths.identity_file(), device, user)
    }

    /// Says when what is kept now counts.
    fn tell_chain(&self) {
        let asked = Lock::ask_existing(&self.paths.lock_file());
        if let Ok(Asked::Ours(_) | Asked::Absent) = asked {
            self.progress.say("the chain does not run; falco up");
        } else {
            let text = "the chain that runs goes on as before; falco stop, then falco up";
            self.progress.warn(text);
        }
    }

    /// The environment goes before what is kept; the one of the chain may be
    /// another, but ours is what the next one gets.
    fn warn_of_environment(&self) {
        if let Some(name) = credentials::set_in(&config::variables()) {
            self.progress
                .warn(&format!("{name} is set here, and goes before what is kept"));
        }
    }

    /// Whether there is anything to log out of.
    fn is_anybody_in(&self) -> bool {
        let kept = Stored::read(&self.paths.credentials_file());
        let named = &self.config.credentials;
        let in_file = named.token_endpoint.is_some()
            || named.token_command.is_some()
            || named.api_key_file.is_some();
        match kept {
            Ok(Some(Stored::LoggedOut)) => false,
            Ok(None) => in_file || credentials::set_in(&config::variables()).is_some(),
            // What cannot be read is gone afterwards.
            Ok(Some(_)) | Err(_) => true,
        }
    }
}
