//! What the chain ends at: Ably with somebody's credentials, the emulator, or
//! nothing at all.
//!
//! Never falls back from Ably to the emulator: it would ack what is then lost.
//! Whoever has logged out, or asked for Ably and has no credentials, has a
//! chain without a transport; Falco refuses what it is given, and says why.

use std::sync::Arc;

use super::super::config::Upstream;
use super::super::credentials::{Choice, LOGIN, Places};
use super::super::exit::{Exit, Failure};
use super::super::settings::private_directory;
use super::super::typed;
use super::Ingredients;
use crate::emulator;
use crate::paths::Paths;
use crate::protocol::control::{Login, LoginState};
use crate::token_broker::{Reach, Source};

/// What the chain ends at.
pub(super) struct End {
    /// Where tokens come from.
    pub(super) source: Source,
    /// How far they reach.
    pub(super) reach: Reach,
    /// The same, for people.
    pub(super) login: Login,
}

impl End {
    pub(super) fn is_emulator(&self) -> bool {
        self.login.state == LoginState::Emulator
    }

    /// Why there is no transport, as daemons are told; `None` if there is one.
    pub(super) fn closed(&self, paths: &Paths) -> Option<Arc<str>> {
        let is_closed = self.login.state == LoginState::LoggedOut;
        let why = || {
            format!(
                "nobody is logged in to Ably; {}",
                typed::falco(paths, "login")
            )
        };
        is_closed.then(|| why().into())
    }

    fn ably(source: Source, state: LoginState, how: Option<String>) -> Self {
        Self {
            source,
            reach: Reach::Contract,
            login: Login {
                state,
                how,
                kept: None,
            },
        }
    }
}

impl Ingredients {
    /// What the chain ends at; looked up anew for every life of the broker.
    pub(super) fn end(&self) -> Result<End, Failure> {
        let upstream = self.config.upstream;
        if upstream == Upstream::Emulator {
            return self.emulator_end();
        }
        let places = Places {
            variables: &self.variables,
            stored: &self.paths.credentials_file(),
            files: &self.config.credentials,
            spawner: &self.spawner,
            directory: self.paths.base(),
        };
        match places.choose()? {
            Choice::Ably(chosen) => {
                let how = format!("{}, {}", chosen.how, chosen.from);
                let mut end = End::ably(chosen.source, LoginState::LoggedIn, Some(how));
                let kept = chosen.from == LOGIN;
                end.login.kept = kept.then(|| places.stored.display().to_string());
                Ok(end)
            }
            Choice::Nobody if upstream == Upstream::Auto => self.emulator_end(),
            Choice::LoggedOut | Choice::Nobody => {
                Ok(End::ably(Source::None, LoginState::LoggedOut, None))
            }
        }
    }

    fn emulator_end(&self) -> Result<End, Failure> {
        let dir = self.paths.emulator();
        private_directory(&dir)?;
        let key = emulator::key::load_or_create(&dir);
        let key = key.map_err(|e| Failure::of(Exit::CannotCreate, &e))?;
        Ok(End {
            source: Source::ApiKey(key),
            reach: Reach::Local,
            login: Login::default(),
        })
    }
}
