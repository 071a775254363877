//! Where tokens come from, chosen from the environment and the
//! configuration.
//!
//! | first that is set | source |
//! |---|---|
//! | `FALCO_TOKEN_ENDPOINT` | a server; `FALCO_TOKEN_BEARER` or the credential `token-bearer` proves who asks |
//! | `FALCO_TOKEN_COMMAND` | a shell command |
//! | `ABLY_API_KEY` | that key |
//! | credential `ably-api-key` | the key in that file |
//! | `falco login` | what it was given; after `falco logout` there is nothing |
//! | `[credentials]` in `falco.toml` | the same, in the same order |
//! | nothing | the emulator and its own key |
//!
//! A credential is a file in `$CREDENTIALS_DIRECTORY`, as systemd hands them
//! to a service. An empty variable counts as unset.

mod check;
mod store;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::config::Credentials;
use super::exit::{Exit, Failure};
use super::given_file;
use super::shell;
pub(super) use check::{Verdict, check};
pub(super) use store::Stored;

use crate::net::http::{Client, Url};
use crate::net::tls::Tls;
use crate::process::spawn::Spawner;
use crate::protocol::ably::auth::{AccessToken, ApiKey};
use crate::token_broker::{Source, TokenCommand, TokenEndpoint};

/// Who chose what `falco login` keeps.
pub(super) const LOGIN: &str = "falco login";

/// The environment, as it was when the program started.
pub(super) type Variables = BTreeMap<OsString, OsString>;

/// Where tokens come from, and who says so.
#[derive(Debug)]
pub(super) enum Choice {
    /// From here.
    Ably(Chosen),
    /// From nowhere: somebody logged out.
    LoggedOut,
    /// Nobody ever said anything.
    Nobody,
}

/// A source of tokens.
#[derive(Debug)]
pub(super) struct Chosen {
    /// It itself.
    pub(super) source: Source,
    /// What it is, for people.
    pub(super) how: &'static str,
    /// Who chose it: a variable, a file, or `falco login`.
    pub(super) from: String,
}

/// Where a choice is looked for.
pub(super) struct Places<'a> {
    /// Goes before everything.
    pub(super) variables: &'a Variables,
    /// What `falco login` keeps goes next.
    pub(super) stored: &'a Path,
    /// `[credentials]` of the configuration goes last.
    pub(super) files: &'a Credentials,
    /// Runs a token command,
    pub(super) spawner: &'a Spawner,
    /// and where.
    pub(super) directory: &'a Path,
}

impl Places<'_> {
    /// The source the user chose.
    ///
    /// # Errors
    ///
    /// When what is set cannot be used; a key is never quoted.
    pub(super) fn choose(&self) -> Result<Choice, Failure> {
        if let Some(chosen) = self.in_environment()? {
            return Ok(Choice::Ably(chosen));
        }
        match Stored::read(self.stored)? {
            Some(Stored::LoggedOut) => return Ok(Choice::LoggedOut),
            Some(stored) => return self.read(&stored).map(Choice::Ably),
            None => {}
        }
        let chosen = self.in_files()?;
        Ok(chosen.map_or(Choice::Nobody, Choice::Ably))
    }

    fn in_environment(&self) -> Result<Option<Chosen>, Failure> {
        let environment = Environment(self.variables);
        if let Some(url) = environment.text("FALCO_TOKEN_ENDPOINT")? {
            let from = "FALCO_TOKEN_ENDPOINT";
            return endpoint(from, url, self.bearer(None)?).map(Some);
        }
        if let Some(command) = environment.text("FALCO_TOKEN_COMMAND")? {
            return Ok(Some(self.command("FALCO_TOKEN_COMMAND", command)));
        }
        let key = environment.secret("ABLY_API_KEY", "ably-api-key")?;
        key.map(|(key, from)| api_key(&key, from)).transpose()
    }

    /// What `falco login` has just been given, or gave once.
    pub(super) fn read(&self, stored: &Stored) -> Result<Chosen, Failure> {
        let from = LOGIN;
        match stored {
            Stored::ApiKey { api_key: key } => api_key(key, from.to_owned()),
            Stored::TokenEndpoint {
                token_endpoint,
                token_bearer,
            } => endpoint(from, token_endpoint, token_bearer.clone()),
            Stored::TokenCommand { token_command } => Ok(self.command(from, token_command)),
            Stored::LoggedOut => Err(Failure::new(Exit::Internal, "nobody is logged in")),
        }
    }

    fn in_files(&self) -> Result<Option<Chosen>, Failure> {
        let from = "falco.toml";
        if let Some(url) = &self.files.token_endpoint {
            let bearer = self.bearer(self.files.token_bearer_file.as_deref())?;
            return endpoint(from, url, bearer).map(Some);
        }
        if let Some(command) = &self.files.token_command {
            return Ok(Some(self.command(from, command)));
        }
        let Some(path) = &self.files.api_key_file else {
            return Ok(None);
        };
        api_key(&secret_file(path)?, path.display().to_string()).map(Some)
    }

    fn bearer(&self, file: Option<&Path>) -> Result<Option<String>, Failure> {
        let found = Environment(self.variables).secret("FALCO_TOKEN_BEARER", "token-bearer")?;
        match (found, file) {
            (Some((bearer, _)), _) => Ok(Some(bearer)),
            (None, Some(path)) => secret_file(path).map(Some),
            (None, None) => Ok(None),
        }
    }

    fn command(&self, from: &str, script: &str) -> Chosen {
        Chosen {
            source: Source::Command(TokenCommand {
                program: "/bin/sh".into(),
                args: vec!["-c".into(), script.into()],
                env: self.variables.clone().into_iter().collect(),
                directory: self.directory.to_owned(),
                spawner: self.spawner.clone(),
            }),
            how: "token command",
            from: from.to_owned(),
        }
    }
}

/// A server that gives tokens, as `from` says.
fn endpoint(from: &str, url: &str, bearer: Option<String>) -> Result<Chosen, Failure> {
    let url: Url = url
        .parse()
        .map_err(|error| Failure::new(Exit::Config, format!("{from}: {error}")))?;
    Ok(Chosen {
        source: Source::Endpoint(TokenEndpoint {
            url,
            bearer: bearer.map(AccessToken::new),
            client: Client::new(Tls::system()),
        }),
        how: "token endpoint",
        from: from.to_owned(),
    })
}

/// Which variable, or credential of a service, decides where tokens come from.
pub(super) fn set_in(variables: &Variables) -> Option<String> {
    let environment = Environment(variables);
    let named = ["FALCO_TOKEN_ENDPOINT", "FALCO_TOKEN_COMMAND"];
    let set = |name: &&str| environment.get(name).is_some();
    let key = || environment.secret("ABLY_API_KEY", "ably-api-key").ok()?;
    let named = named.into_iter().find(set).map(str::to_owned);
    named.or_else(|| key().map(|(_, from)| from))
}

fn api_key(text: &str, from: String) -> Result<Chosen, Failure> {
    let key: ApiKey = text.parse().map_err(|error| {
        Failure::new(Exit::Config, format!("{from}: {error}"))
            .hint("copy the whole key from the Ably dashboard, under API keys")
    })?;
    Ok(Chosen {
        source: Source::ApiKey(key),
        how: "API key",
        from,
    })
}

/// A secret that the configuration points at: it must be there, and nobody
/// else may be able to read it.
fn secret_file(path: &Path) -> Result<String, Failure> {
    let cannot = |error: io::Error| {
        let text = format!("failed to read {}: {error}", path.display());
        Failure::new(Exit::Config, text).hint("falco.toml names it under [credentials]")
    };
    let file = given_file::open(path).map_err(cannot)?;
    let meta = file.metadata().map_err(cannot)?;
    if meta.mode() & 0o077 != 0 {
        let text = format!("{} can be read by others", path.display());
        return Err(
            Failure::new(Exit::Config, text).hint(format!("chmod 600 {}", shell::path(path)))
        );
    }
    match given_file::text(&file).map_err(cannot)?.trim() {
        "" => Err(Failure::new(
            Exit::Config,
            format!("{} is empty", path.display()),
        )),
        secret => Ok(secret.to_owned()),
    }
}

struct Environment<'a>(&'a Variables);

impl Environment<'_> {
    fn get(&self, name: &str) -> Option<&OsStr> {
        let value = self.0.get(OsStr::new(name))?;
        (!value.is_empty()).then_some(value)
    }

    fn text(&self, name: &str) -> Result<Option<&str>, Failure> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let text = value.to_str().map(str::trim);
        let text = text.ok_or_else(|| Failure::new(Exit::Config, format!("{name} is not text")))?;
        Ok((!text.is_empty()).then_some(text))
    }

    /// A secret and where it was found: the variable, else the credential.
    fn secret(
        &self,
        variable: &str,
        credential: &str,
    ) -> Result<Option<(String, String)>, Failure> {
        if let Some(text) = self.text(variable)? {
            return Ok(Some((text.to_owned(), variable.to_owned())));
        }
        let Some(directory) = self.get("CREDENTIALS_DIRECTORY") else {
            return Ok(None);
        };
        let path = PathBuf::from(directory).join(credential);
        match given_file::open(&path).and_then(|file| given_file::text(&file)) {
            Ok(text) if text.trim().is_empty() => Ok(None),
            Ok(text) => Ok(Some((text.trim().to_owned(), path.display().to_string()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let text = format!("failed to read credential {}: {error}", path.display());
                Err(Failure::new(Exit::Config, text))
            }
        }
    }
}

#[cfg(test)]
mod tests;
