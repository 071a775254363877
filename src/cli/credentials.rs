//! Where tokens come from, chosen from the environment and the
//! configuration.
//!
//! | first that is set | source |
//! |---|---|
//! | `FALCO_TOKEN_ENDPOINT` | a server; `FALCO_TOKEN_BEARER` or the credential `token-bearer` proves who asks |
//! | `FALCO_TOKEN_COMMAND` | a shell command |
//! | `ABLY_API_KEY` | that key |
//! | credential `ably-api-key` | the key in that file |
//! | `[credentials]` in `falco.toml` | the same, in the same order |
//! | nothing | the emulator and its own key |
//!
//! A credential is a file in `$CREDENTIALS_DIRECTORY`, as systemd hands them
//! to a service. An empty variable counts as unset.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::config::Credentials;
use super::exit::{Exit, Failure};
use crate::net::http::{Client, Url};
use crate::net::tls::Tls;
use crate::process::spawn::Spawner;
use crate::protocol::ably::auth::{AccessToken, ApiKey};
use crate::token_broker::{Source, TokenCommand, TokenEndpoint};

/// The environment, as it was when the program started.
pub(super) type Variables = BTreeMap<OsString, OsString>;

/// The source the user chose; `None` for the emulator.
///
/// # Errors
///
/// When what is set cannot be used; a key is never quoted.
pub(super) fn source(
    variables: &Variables,
    files: &Credentials,
    spawner: &Spawner,
    directory: &Path,
) -> Result<Option<Source>, Failure> {
    let environment = Environment(variables);
    if let Some(url) = environment.text("FALCO_TOKEN_ENDPOINT")? {
        return environment
            .endpoint("FALCO_TOKEN_ENDPOINT", url, None)
            .map(Some);
    }
    if let Some(command) = environment.text("FALCO_TOKEN_COMMAND")? {
        let command = shell(command, variables, spawner, directory);
        return Ok(Some(Source::Command(command)));
    }
    if let Some((key, from)) = environment.secret("ABLY_API_KEY", "ably-api-key")? {
        return api_key(&key, &from).map(Some);
    }
    if let Some(url) = &files.token_endpoint {
        let bearer = files.token_bearer_file.as_deref();
        return environment.endpoint("falco.toml", url, bearer).map(Some);
    }
    if let Some(command) = &files.token_command {
        let command = shell(command, variables, spawner, directory);
        return Ok(Some(Source::Command(command)));
    }
    let Some(path) = &files.api_key_file else {
        return Ok(None);
    };
    api_key(&secret_file(path)?, &path.display().to_string()).map(Some)
}

fn api_key(text: &str, from: &str) -> Result<Source, Failure> {
    let key: ApiKey = text.parse().map_err(|error| {
        Failure::new(Exit::Config, format!("{from}: {error}"))
            .hint("copy the whole key from the Ably dashboard, under API keys")
    })?;
    Ok(Source::ApiKey(key))
}

fn shell(script: &str, variables: &Variables, spawner: &Spawner, directory: &Path) -> TokenCommand {
    TokenCommand {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        env: variables.clone().into_iter().collect(),
        directory: directory.to_owned(),
        spawner: spawner.clone(),
    }
}

/// A secret that the configuration points at: it must be there, and nobody
/// else may be able to read it.
fn secret_file(path: &Path) -> Result<String, Failure> {
    let cannot = |error: io::Error| {
        let text = format!("failed to read {}: {error}", path.display());
        Failure::new(Exit::Config, text).hint("falco.toml names it under [credentials]")
    };
    let mut file = File::open(path).map_err(cannot)?;
    let meta = file.metadata().map_err(cannot)?;
    if meta.mode() & 0o077 != 0 {
        let text = format!("{} can be read by others", path.display());
        return Err(Failure::new(Exit::Config, text).hint(format!("chmod 600 {}", path.display())));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(cannot)?;
    match text.trim() {
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

    fn endpoint(&self, from: &str, url: &str, file: Option<&Path>) -> Result<Source, Failure> {
        let url: Url = url
            .parse()
            .map_err(|error| Failure::new(Exit::Config, format!("{from}: {error}")))?;
        let bearer = self.secret("FALCO_TOKEN_BEARER", "token-bearer")?;
        let bearer = match (bearer, file) {
            (Some((bearer, _)), _) => Some(bearer),
            (None, Some(path)) => Some(secret_file(path)?),
            (None, None) => None,
        };
        Ok(Source::Endpoint(TokenEndpoint {
            url,
            bearer: bearer.map(AccessToken::new),
            client: Client::new(Tls::system()),
        }))
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
        match std::fs::read_to_string(&path) {
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
mod tests {
    use super::*;

    fn chosen(variables: &[(&str, &str)]) -> Result<Option<Source>, Failure> {
        let variables = variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        let spawner = Spawner::start().expect("a thread");
        let files = Credentials::default();
        source(&variables.collect(), &files, &spawner, Path::new("/"))
    }

    fn failure(variables: &[(&str, &str)]) -> String {
        format!("{:?}", chosen(variables).expect_err("refused"))
    }

    #[test]
    fn with_nothing_set_it_is_the_emulator() {
        assert!(chosen(&[]).expect("fine").is_none());
        assert!(chosen(&[("ABLY_API_KEY", " ")]).expect("fine").is_none());
    }

    #[test]
    fn a_token_source_goes_before_a_key() {
        let key = ("ABLY_API_KEY", "app.key:secret");
        let command = ("FALCO_TOKEN_COMMAND", "cat token");
        let endpoint = ("FALCO_TOKEN_ENDPOINT", "https://example.com/token");
        assert!(matches!(chosen(&[key]), Ok(Some(Source::ApiKey(_)))));
        assert!(matches!(
            chosen(&[key, command]),
            Ok(Some(Source::Command(_)))
        ));
        let all = chosen(&[key, command, endpoint]);
        assert!(matches!(all, Ok(Some(Source::Endpoint(_)))));
    }

    #[test]
    fn a_key_comes_from_the_credentials_directory_too() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().to_str().expect("text");
        assert!(
            chosen(&[("CREDENTIALS_DIRECTORY", path)])
                .expect("fine")
                .is_none()
        );
        std::fs::write(dir.path().join("ably-api-key"), "app.key:secret\n").expect("writes");
        let source = chosen(&[("CREDENTIALS_DIRECTORY", path)]);
        assert!(matches!(source, Ok(Some(Source::ApiKey(_)))));
    }

    #[test]
    fn what_cannot_be_used_is_named_and_a_key_never_quoted() {
        let text = failure(&[("ABLY_API_KEY", "s3cret-without-form")]);
        assert!(text.contains("ABLY_API_KEY") && !text.contains("s3cret"));
        let text = failure(&[("FALCO_TOKEN_ENDPOINT", "http://example.com/")]);
        assert!(text.contains("use https"));
    }
}
