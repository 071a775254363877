//! Why a chain that is up is called degraded, and what to do about it.
//!
//! The supervisor decides by this whether it is; whoever looks for what is wrong
//! asks here too. So nobody finds nothing wrong where the status says degraded.

use super::super::ipc::UpstreamStatus;
use super::super::outbox::{InboxStatus, OutboxStatus};
use super::{MetricsPlace, PartStatus, RouteStatus, SocketStatus, Status};
use crate::counted::counted;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What has it: `parts`, `sockets`, `metrics`, `route`, `upstream`, `outbox`,
    /// `quarantine` or `inbox`.
    pub about: &'static str,
    /// What it is.
    pub text: String,
    /// What to do about it; commands stand in backquotes, for nobody knows here
    /// which instance they are to mean.
    pub next: String,
    /// Whether something does not work; else somebody should look at it.
    pub is_failure: bool,
}

impl Trouble {
    fn failure(about: &'static str, text: String, next: impl Into<String>) -> Self {
        Self {
            is_failure: true,
            ..Self::notice(about, text, next)
        }
    }

    fn notice(about: &'static str, text: String, next: impl Into<String>) -> Self {
        Self {
            about,
            text,
            next: next.into(),
            is_failure: false,
        }
    }
}

impl Status {
    /// Everything for which a chain that is up is [`Degraded`]; empty if all is
    /// well.
    ///
    /// [`Degraded`]: super::ChainState::Degraded
    #[must_use]
    pub fn troubles(&self) -> Vec<Trouble> {
        let unwell = self.parts.iter().filter(|part| !part.is_well());
        let away = self.sockets.iter().filter(|socket| !socket.in_place);
        // The first is the chain's own transport, which is a part.
        let further = self.ingest.iter().flat_map(|i| i.routes.iter().skip(1));
        let refused = self.transport.iter().flat_map(|t| &t.connections);
        let outbox = self.ingest.as_ref().and_then(|i| i.outbox.as_ref());
        unwell
            .map(of_part)
            .chain(away.map(of_socket))
            .chain(self.metrics.as_ref().and_then(of_metrics))
            .chain(further.filter(|route| route.is_down()).map(of_route))
            .chain(refused.filter(|up| up.is_broken()).map(of_upstream))
            .chain(outbox.into_iter().flat_map(OutboxStatus::troubles))
            .collect()
    }
}

fn of_part(part: &PartStatus) -> Trouble {
    let name = &part.name;
    let why = part.trouble.as_ref().map(|why| format!(": {why}"));
    let text = format!("{name} does not answer{}", why.unwrap_or_default());
    let next = format!("`falco status` says how it is; `falco logs {name}` says why");
    Trouble::failure("parts", text, next)
}

fn of_socket(socket: &SocketStatus) -> Trouble {
    let text = format!("{} was removed or replaced", socket.path);
    let next = "free the path: within 5 s it is bound again";
    Trouble::failure("sockets", text, next)
}

fn of_metrics(metrics: &MetricsPlace) -> Option<Trouble> {
    let next = "free the address, or name another and `falco reload`";
    let text = metrics.trouble.clone()?;
    Some(Trouble::notice("metrics", text, next))
}

fn of_route(route: &RouteStatus) -> Trouble {
    let (name, seconds) = (&route.name, route.down_ms / 1000);
    let text = format!("{name} has not been connected for {seconds} s");
    let next = format!("start the transport that serves {}", route.socket);
    Trouble::failure("route", text, next)
}

fn of_upstream(up: &UpstreamStatus) -> Trouble {
    let why = up.last_error.as_ref().map(|error| format!(": {error}"));
    let text = format!(
        "{} is {} to {}{}",
        up.audience,
        up.state,
        up.host,
        why.unwrap_or_default()
    );
    let next = "look at the network and the credentials; `falco logs transport`";
    Trouble::failure("upstream", text, next)
}

impl OutboxStatus {
    /// Why a person should look at it; empty if nobody has to.
    #[must_use]
    pub fn troubles(&self) -> Vec<Trouble> {
        let inbox = self.inbox.as_ref();
        let of_inbox = inbox.into_iter().flat_map(InboxStatus::troubles);
        let losses = [self.of_losses(), self.of_untold()];
        let own = [self.of_state()].into_iter().chain(losses);
        let own = own.chain([self.of_missed()]);
        own.flatten().chain(of_inbox).collect()
    }

    /// Whether a person should look at it.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        !self.troubles().is_empty()
    }

    fn of_state(&self) -> Option<Trouble> {
        let state = self.state.as_str();
        let next = match state {
            "ok" | "draining" | "drained" | "recovering" => return None,
            "degraded" => "see to that; if it is said all the same, the next start looks again",
            "low" | "bypass" => "see to its disk: effects are kept again as soon as it takes them",
            "full" => "`falco outbox drop`, then `falco outbox compact`, or let it be published",
            "astray" => "effects are kept again as soon as it is at its path",
            _ => "`falco logs falco` says why",
        };
        let text = match &self.why {
            Some(why) => format!("{state}: {why}"),
            None => state.to_owned(),
        };
        // Effects are taken all the same.
        let is_failure = !matches!(state, "degraded" | "bypass");
        Some(Trouble {
            is_failure,
            ..Trouble::notice("outbox", text, next)
        })
    }

    fn of_losses(&self) -> Option<Trouble> {
        let told = self.quarantined.saturating_sub(self.untold);
        let ranges = counted(told, "damaged range");
        let text = format!("{ranges} told of in outbox/quarantine");
        let next = "remove what is in there once it is dealt with";
        (0 < told).then(|| Trouble::notice("quarantine", text, next))
    }

    fn of_untold(&self) -> Option<Trouble> {
        let text = format!(
            "{} not set aside yet",
            counted(self.untold, "damaged range")
        );
        let next = "see to its disk: the next start tries again";
        (0 < self.untold).then(|| Trouble::notice("outbox", text, next))
    }

    fn of_missed(&self) -> Option<Trouble> {
        let next = "this is said until it is back, or its mark is gone";
        let text = self.missed.clone()?;
        Some(Trouble::notice("outbox", text, next))
    }
}

impl InboxStatus {
    fn troubles(&self) -> Vec<Trouble> {
        let nothing = self.trouble.iter().map(|why| {
            let next = "nothing is lost; it is taken once that is put right";
            Trouble::notice("inbox", why.clone(), next)
        });
        let held = self.held.iter().map(|held| {
            let text = format!("{}: {}", held.file, held.why);
            let next = "mend the file, or move it out of outbox/inbox";
            Trouble::notice("inbox", text, next)
        });
        nothing.chain(held).collect()
    }
}

#[cfg(test)]
mod tests;
