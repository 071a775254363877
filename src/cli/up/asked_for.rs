//! What an `up` asks for, held against a chain that is up already.

use super::change::Change;
use crate::cli::config::{Loaded, Origin, Upstream};
use crate::cli::daemon::Setup;
use crate::cli::exit::{Exit, Failure};
use crate::cli::identity::{IdentityArgs, is_same};
use crate::protocol::control::{LoginState, Summary};

/// What flags and variables ask for, and what the file names besides: that is no
/// demand of this very `up`, and flags may have gone before it on purpose.
#[derive(Debug)]
pub(super) struct AskedFor {
    identity: IdentityArgs,
    upstream: Upstream,
    /// Nobody whom a flag or a variable names.
    filed: IdentityArgs,
    /// Where the file has it end; `Auto` where it says nothing, or is not heard.
    filed_upstream: Upstream,
}

impl AskedFor {
    pub(super) fn of(setup: &Setup, loaded: Option<&Loaded>) -> Self {
        let upstream = match loaded {
            // Also where the file cannot be read.
            _ if setup.is_for_emulator() => Upstream::Emulator,
            Some(loaded) if is_named(loaded, "upstream") => loaded.config.upstream,
            _ => Upstream::Auto,
        };
        Self {
            identity: setup.identity.clone(),
            upstream,
            filed: loaded.map(filed).unwrap_or_default(),
            filed_upstream: loaded.map_or(Upstream::Auto, filed_upstream),
        }
    }

    /// What the file names that the chain is not of.
    pub(super) fn notes(&self, summary: &Summary, change: Change<'_>) -> Vec<String> {
        let IdentityArgs { device_id, user_id } = &self.filed;
        let pairs = [
            ("device", device_id, &summary.device_id),
            ("user", user_id, &summary.user_id),
        ];
        let others = pairs.into_iter().filter_map(|(what, filed, has)| {
            // An older version does not say who has it.
            let filed = filed.as_deref().filter(|_| !has.is_empty())?;
            let note = format!(
                "falco.toml names {what} {filed}, and the chain that runs is of {has}; to change that: {}",
                change.anew()
            );
            (!is_same(filed, has)).then_some(note)
        });
        others.chain(self.note_of_end(summary, change)).collect()
    }

    /// What the file says of where it ends, if it ends elsewhere.
    fn note_of_end(&self, summary: &Summary, change: Change<'_>) -> Option<String> {
        let filed = self.filed_upstream;
        // An older version does not say.
        let (ends_at, asked) = elsewhere(filed, summary.login?)?;
        let change = change.as_filed(filed);
        Some(format!(
            "falco.toml has the chain end {asked}, and the one that runs ends {ends_at}; to change that: {change}"
        ))
    }

    /// Whether the chain is what is asked for, as far as anything is.
    ///
    /// # Errors
    ///
    /// When it is of another device or user, or ends at something else.
    pub(super) fn check_against(
        &self,
        summary: &Summary,
        change: Change<'_>,
    ) -> Result<(), Failure> {
        let Summary {
            device_id, user_id, ..
        } = summary;
        self.identity
            .check_against(device_id, user_id, |flag| change.by_flag(flag))?;
        // An older version does not say.
        let Some(login) = summary.login else {
            return Ok(());
        };
        let Some((ends_at, asked)) = elsewhere(self.upstream, login) else {
            return Ok(());
        };
        let hint = match self.upstream {
            Upstream::Emulator => change.by_flag("--emulator"),
            Upstream::Auto | Upstream::Ably => change.to_ably(),
        };
        let error = format!("the chain that runs ends {ends_at}, not {asked}");
        Err(Failure::new(Exit::Config, error).hint(hint))
    }
}

/// Where a chain ends that does not end where it is asked to, and where that is.
fn elsewhere(asked: Upstream, login: LoginState) -> Option<(&'static str, &'static str)> {
    let ends_at = match login {
        LoginState::Emulator => "at the emulator",
        LoginState::LoggedIn => "at Ably",
        LoginState::LoggedOut => "nowhere (nobody is logged in)",
    };
    match asked {
        Upstream::Emulator if login != LoginState::Emulator => Some((ends_at, "at the emulator")),
        Upstream::Ably if login == LoginState::Emulator => Some((ends_at, "at Ably")),
        Upstream::Auto | Upstream::Ably | Upstream::Emulator => None,
    }
}

fn filed_upstream(loaded: &Loaded) -> Upstream {
    match origin(loaded, "upstream") {
        Some(Origin::File { .. }) => loaded.config.upstream,
        _ => Upstream::Auto,
    }
}

fn filed(loaded: &Loaded) -> IdentityArgs {
    let of_file = |key, value: &Option<String>| {
        let is_filed = matches!(origin(loaded, key), Some(Origin::File { .. }));
        value.clone().filter(|_| is_filed)
    };
    IdentityArgs {
        device_id: of_file("device_id", &loaded.config.device_id),
        user_id: of_file("user_id", &loaded.config.user_id),
    }
}

/// Whether somebody said it to this very `up`.
fn is_named(loaded: &Loaded, key: &str) -> bool {
    let origin = origin(loaded, key);
    matches!(origin, Some(Origin::Flag(_) | Origin::Variable(_)))
}

fn origin<'a>(loaded: &'a Loaded, key: &str) -> Option<&'a Origin> {
    let row = loaded.rows.iter().find(|row| row.key == key);
    row.map(|row| &row.origin)
}
