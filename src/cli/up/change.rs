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
        let without = self.without_flag(service);
        let then = without.unwrap_or_else(|| typed::falco(self.paths, "reload"));
        let aside = self.aside(service);
        format!("upstream = \"ably\" in {file}, then {then}; or {aside}")
    }

    /// What the file says already, the `upstream` too.
    pub(super) fn as_filed(self, upstream: Upstream) -> String {
        let service = self.service.filter(|_| upstream == Upstream::Ably);
        let without = service.and_then(|service| self.without_flag(service));
        without.unwrap_or_else(|| {
            let (reload, anew) = (typed::falco(self.paths, "reload"), self.anew());
            format!("{reload}; or, if a flag or variable of its start goes first, {anew}")
        })
    }

    /// How a service loses the flag that goes before its file, if it has that.
    fn without_flag(self, service: &Place) -> Option<String> {
        let (install, at) = (service.verb_of_install(), self.at(service));
        service
            .has_flag(EMULATOR)
            .then(|| format!("{install}{at} without {EMULATOR} and with the other flags it has"))
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
