//! How a chain is to be set up.

use crate::cli::config::{self, Given};
use crate::cli::identity::IdentityArgs;
use crate::cli::settings::Logging;

/// How the chain is to be set up; the launcher hands it on.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct Setup {
    #[command(flatten)]
    pub(in crate::cli) identity: IdentityArgs,
    /// Use the emulator, whatever credentials there are
    #[arg(long)]
    emulator: bool,
    #[command(flatten)]
    pub(in crate::cli) logging: Logging,
}

impl Setup {
    /// Whether it is to end at the emulator, whatever else is said.
    pub(in crate::cli) fn is_for_emulator(&self) -> bool {
        self.emulator
    }

    /// The arguments that hand it on.
    pub(in crate::cli) fn to_args(&self) -> Vec<String> {
        let mut args = self.identity.to_args();
        args.extend(self.emulator.then(|| "--emulator".to_owned()));
        args.extend(self.logging.to_args());
        args
    }

    /// What goes before the configuration file.
    pub(in crate::cli) fn given(&self) -> Given {
        let IdentityArgs { device_id, user_id } = &self.identity;
        let filter = self.logging.log_filter.as_deref();
        let upstream = self.emulator.then_some("emulator");
        Given::new(config::variables())
            .flag(
                "device_id",
                "--device-id",
                "UNBOUND_DEVICE_ID",
                device_id.as_deref(),
            )
            .flag(
                "user_id",
                "--user-id",
                "UNBOUND_USER_ID",
                user_id.as_deref(),
            )
            .flag("upstream", "--emulator", "", upstream)
            .flag("log.filter", "--log-filter", "FALCO_LOG", filter)
    }
}
