//! What an `up` asks for, held against a chain that is up already.

use crate::cli::config::{Loaded, Origin, Upstream};
use crate::cli::daemon::Setup;
use crate::cli::exit::{Exit, Failure};
use crate::cli::identity::IdentityArgs;
use crate::protocol::control::{LoginState, Summary};

/// How a chain comes to end at Ably; there is no flag for it, and a service has
/// the environment of its manager.
const TO_ABLY: &str =
    "upstream = \"ably\" in falco.toml, falco stop, then falco up; or another --base-dir";

/// What a flag or a variable asks for. The file is no demand of this `up`: a
/// chain that runs follows it with a reload.
#[derive(Debug)]
pub(super) struct AskedFor {
    identity: IdentityArgs,
    upstream: Upstream,
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
        }
    }

    /// Whether the chain is what is asked for, as far as anything is.
    ///
    /// # Errors
    ///
    /// When it is of another device or user, or ends at something else; `change`
    /// says how the chain becomes what flags say.
    pub(super) fn check_against(
        &self,
        summary: &Summary,
        change: impl Fn(&str) -> String,
    ) -> Result<(), Failure> {
        let Summary {
            device_id, user_id, ..
        } = summary;
        self.identity
            .check_against(device_id, user_id, |flag| change(flag))?;
        // An older version does not say.
        let Some(login) = summary.login else {
            return Ok(());
        };
        let ends_at = match login {
            LoginState::Emulator => "at the emulator",
            LoginState::LoggedIn => "at Ably",
            LoginState::LoggedOut => "nowhere (nobody is logged in)",
        };
        let (asked, hint) = match self.upstream {
            Upstream::Emulator if login != LoginState::Emulator => {
                ("at the emulator", change("--emulator"))
            }
            Upstream::Ably if login == LoginState::Emulator => ("at Ably", TO_ABLY.to_owned()),
            Upstream::Auto | Upstream::Ably | Upstream::Emulator => return Ok(()),
        };
        let error = format!("the chain that runs ends {ends_at}, not {asked}");
        Err(Failure::new(Exit::Config, error).hint(hint))
    }
}

/// Whether somebody said it to this very `up`.
fn is_named(loaded: &Loaded, key: &str) -> bool {
    let row = loaded.rows.iter().find(|row| row.key == key);
    row.is_some_and(|row| matches!(row.origin, Origin::Flag(_) | Origin::Variable(_)))
}
