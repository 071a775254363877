//! Configuration and credentials; with credentials, also the way to Ably and
//! the clock there.

use std::time::Duration;

use super::finding::Finding;
use crate::ably::hosts::{Host, Hosts};
use crate::cli::config::{self, Config, Loaded, Upstream};
use crate::cli::credentials::{Choice, Chosen, Places};
use crate::cli::exit::{Exit, Failure};
use crate::cli::typed;
use crate::clock;
use crate::net::http::{Client, Request, Url};
use crate::net::tls::Tls;
use crate::paths::Paths;
use crate::process::spawn::Spawner;
use crate::report::Report;

/// How long Ably may take to say what time it is.
const PATIENCE: Duration = Duration::from_secs(3);

/// A clock may be so far from Ably's without anybody noticing; beyond the
/// second, tokens are refused.
const DRIFT_NOTICED: Duration = Duration::from_secs(5);
const DRIFT_MAX: Duration = Duration::from_secs(60);

pub(super) async fn examine(paths: &Paths, loaded: Result<Loaded, Failure>) -> Vec<Finding> {
    let config = match loaded.and_then(Loaded::right) {
        Ok(config) => config,
        Err(failure) => {
            let check = typed::falco(paths, "config check");
            return vec![Finding::fail("config", failure.to_string()).fix(check)];
        }
    };
    let mut found = vec![Finding::ok("config", "right")];
    if config.upstream == Upstream::Emulator {
        let text = "the emulator is used, whatever credentials there are";
        found.push(Finding::ok("credentials", text));
        return found;
    }
    match source(paths, &config) {
        Err(failure) => found.push(
            Finding::fail("credentials", failure.to_string()).fix("mend it, or log in again"),
        ),
        Ok(Choice::Nobody) if config.upstream == Upstream::Ably => {
            let text = "nobody is logged in: nothing is published, for upstream is \"ably\"";
            let login = typed::falco(paths, "login");
            found.push(Finding::warn("credentials", text).fix(login));
        }
        Ok(Choice::Nobody) => {
            found.push(Finding::ok("credentials", "none: the emulator is used"));
        }
        Ok(Choice::LoggedOut) => {
            let text = "logged out: nothing is published";
            found.push(Finding::warn("credentials", text).fix(typed::falco(paths, "login")));
        }
        Ok(Choice::Ably(Chosen { how, from, .. })) => {
            found.push(Finding::ok("credentials", format!("{how}, {from}")));
            found.extend(upstream(&config).await);
        }
    }
    found
}

/// What kind of credentials there are; never what they are.
fn source(paths: &Paths, config: &Config) -> Result<Choice, Failure> {
    let spawner = Spawner::start();
    let spawner = spawner.map_err(|e| Failure::to(Exit::Internal, "start a thread", &e))?;
    Places {
        variables: &config::variables(),
        stored: &paths.credentials_file(),
        files: &config.credentials,
        spawner: &spawner,
        directory: paths.base(),
    }
    .choose()
}

async fn upstream(config: &Config) -> Vec<Finding> {
    let name = "DAEMON_ABLY_ENDPOINT";
    let given = std::env::var(name).ok().filter(|value| !value.is_empty());
    let filed = config
        .transport
        .variables
        .iter()
        .find(|(known, _)| *known == name);
    let endpoint = given.or_else(|| filed.map(|(_, value)| value.clone()));
    let endpoint = endpoint.unwrap_or_else(|| "main".to_owned());
    let hosts = match Hosts::parse(&endpoint) {
        Ok(hosts) => hosts,
        Err(error) => {
            let text = Report(&error).to_string();
            return vec![Finding::fail("ably", text).fix("mend DAEMON_ABLY_ENDPOINT")];
        }
    };
    ask_time(hosts.primary()).await
}

/// Names, connections and TLS in one question, and the time in its answer.
async fn ask_time(host: &Host) -> Vec<Finding> {
    let scheme = if host.tls { "https" } else { "http" };
    let authority = format!("{}:{}", host.name, host.port);
    let Ok(url) = format!("{scheme}://{authority}/time").parse::<Url>() else {
        return vec![Finding::fail("ably", format!("{authority} is no address"))];
    };
    let request = Request::get(url).within(PATIENCE).answer_bytes_max(1024);
    let began = std::time::Instant::now();
    let response = match Client::new(Tls::system()).send(&request).await {
        Ok(response) => response,
        Err(error) => {
            let text = format!("{authority} cannot be reached: {}", Report(&error));
            return vec![
                Finding::fail("ably", text)
                    .fix("look at the network, proxies and DAEMON_ABLY_ENDPOINT"),
            ];
        }
    };
    let took = began.elapsed();
    let reached = format!("{authority} answers in {} ms", took.as_millis());
    let times = serde_json::from_slice::<Vec<u64>>(&response.body).ok();
    match times.and_then(|times| times.first().copied()) {
        Some(time) if response.status.is_success() => {
            vec![Finding::ok("ably", reached), drift(time, took)]
        }
        _ => {
            let text = format!("{reached} with {}, which is not Ably's", response.status);
            vec![Finding::warn("ably", text).fix("look at proxies and DAEMON_ABLY_ENDPOINT")]
        }
    }
}

/// How far our clock is from theirs, which said `time` at some moment of `took`.
fn drift(time: u64, took: Duration) -> Finding {
    let away = Duration::from_millis(clock::now_ms().abs_diff(time)).saturating_sub(took);
    if away < DRIFT_NOTICED {
        return Finding::ok("clock", "as Ably's");
    }
    let text = format!("{} s away from Ably's", away.as_secs());
    let fix = "switch on time synchronisation";
    if away < DRIFT_MAX {
        Finding::warn("clock", text).fix(fix)
    } else {
        Finding::fail("clock", text).fix(fix)
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_clock_is_forgiven_what_the_answer_took() {
        let level = |ago: u64, took| {
            let took = Duration::from_secs(took);
            drift(clock::now_ms() - ago * 1000, took).level
        };
        assert_eq!(level(0, 0), Level::Ok);
        assert_eq!(level(7, 3), Level::Ok);
        assert_eq!(level(20, 0), Level::Warn);
        assert_eq!(level(600, 0), Level::Fail);
    }
}
