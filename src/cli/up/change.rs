//! How a chain that runs becomes what an `up` asks for.

use crate::cli::config::Upstream;
use crate::cli::service::Place;
use crate::cli::{progress, typed};
use crate::paths::Paths;

const EMULATOR: &str = "--emulator";

/// See the module.
#[derive(Clone, Copy)]
pub(super) struct Change<'a> {
    /// Whose the chain is to be, if it is not ours.
    pub(super) service: Option<&'a Place>,
    pub(super) paths: &'a Paths,
}

impl Change<'_> {
    /// What `flag` says.
    pub(super) fn by_flag(self, flag: &str) -> String {
        match self.service {
            // Whatever `falco up` is given, a service keeps its own flags; and what
            // is installed anew has only those that are given then.
            Some(service) => {
                let (install, at) = (service.verb_of_install(), self.at(service));
                let aside = self.aside(service);
                format!("{install}{at} {flag} with the other flags it has; or {aside} {flag}")
            }
            None => format!("{}; or another --base-dir", self.anew()),
        }
    }

    /// What only a variable says: that it ends at Ably. A service has the
    /// environment of its manager, not ours.
    pub(super) fn to_ably(self) -> String {
        let Some(service) = self.service else {
            return format!("{}; or another --base-dir", self.anew());
        };
        let file = progress::tilde(&self.paths.config_file());
        let as_filed = self.as_filed(Upstream::Ably);
        let aside = self.aside(service);
        format!("upstream = \"ably\" in {file}, then {as_filed}; or {aside}")
    }

    /// What the file says already, the `upstream` too.
    pub(super) fn as_filed(self, upstream: Upstream) -> String {
        let goes_first = upstream == Upstream::Ably;
        let service = self.service.filter(|_| goes_first);
        match service.filter(|service| service.has_flag(EMULATOR)) {
            Some(service) => format!(
                "{}{} without {EMULATOR} and with the other flags it has",
                service.verb_of_install(),
                self.at(service)
            ),
            None => self.anew(),
        }
    }

    /// What is read at a start.
    pub(super) fn anew(self) -> String {
        typed::stop_then_up(self.paths)
    }

    /// Without the service.
    fn aside(self, service: &Place) -> String {
        let at = self.at(service);
        format!("falco stop{at}, then falco up --no-service{at}")
    }

    fn at(self, service: &Place) -> String {
        service.flag_of_base(self.paths)
    }
}
