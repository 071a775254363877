//! The parts that are processes of their own: the emulator and the transport.
//!
//! The kernel tells when one ends, but not when one hangs or was suspended: then
//! Falco waits for its answers for ever. So each of ours is asked now and then
//! what it was asked when it started, and one that does not answer a few times
//! is ended and started again. That costs one short connection and two wakes on
//! either side every `liveness.every`, which is all an idle chain does here; and
//! nobody is blamed for the time in which the machine slept. A foreign transport
//! is not asked: what it makes of a refused publish, hour after hour, is unknown.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::super::config::Watched;
use super::{Ingredients, plan};
use crate::process::inherited::LISTENER_FD;
use crate::process::spawn::Spec;
use crate::protocol::ably::auth::AccessToken;
use crate::protocol::token::{BrokerTokens, TransportSecrets};
use crate::supervisor::chain::{Pace, Plan};
use crate::supervisor::part::{
    Alive, AliveBy, Essence, Facts, Launch, PartSpec, ProcessPart, ReadyBy, Run, Tie,
};
use crate::supervisor::probe::{EmulatorFact, Probe};
use crate::supervisor::sidecar::StopSignal;

/// How long a process of the chain has from SIGTERM to SIGKILL.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// How long a part is left alone after the machine slept.
const RESUME_GRACE: Duration = Duration::from_secs(15);

/// How long the transport may take beyond what it gives itself.
const BEYOND_OWN_BOUND: Duration = Duration::from_secs(3);

/// The transport bounds itself by its shutdown timeout, 2 s by default.
fn stop_grace(shutdown_timeout: Duration) -> Duration {
    STOP_GRACE.max(shutdown_timeout + BEYOND_OWN_BOUND)
}

/// What children get of our environment: where things are, how to log, how to
/// reach the network. Nothing of it is secret.
const INHERITED: &[&str] = &[
    #[cfg(feature = "failpoints")]
    "FALCO_FAILPOINT",
    "FALCO_LOG",
    "HOME",
    "LANG",
    "LC_ALL",
    "LOGNAME",
    "PATH",
    "RUST_BACKTRACE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
    "USER",
    "XDG_RUNTIME_DIR",
];

/// Proves to the presence service who sends heartbeats: a secret.
const PRESENCE_TOKEN: &str = "UNBOUND_PRESENCE_DO_TOKEN";

/// The longest one that surely fits into the pipe of secrets.
const PRESENCE_TOKEN_BYTES_MAX: usize = 8 * 1024;

/// What the transport gets besides: its settings of the contract.
const TRANSPORT_SETTINGS: &[&str] = &[
    "DAEMON_ABLY_ENDPOINT",
    "DAEMON_ABLY_FORMAT",
    "DAEMON_ABLY_HEARTBEAT_INTERVAL",
    "DAEMON_ABLY_MAX_FRAME_BYTES",
    "DAEMON_ABLY_PUBLISH_TIMEOUT",
    "DAEMON_ABLY_SHUTDOWN_TIMEOUT",
    "UNBOUND_PRESENCE_DO_HEARTBEAT_URL",
    PRESENCE_TOKEN,
    "UNBOUND_PRESENCE_DO_TTL_MS",
];

impl Ingredients {
    /// What every child gets, and `settings` as far as they are set.
    pub(super) fn child_environment(&self, settings: &[&str]) -> Vec<(OsString, OsString)> {
        let names = INHERITED.iter().chain(settings).map(OsStr::new);
        let set = names.filter_map(|n| self.variables.get_key_value(n));
        let mut env: Vec<_> = set.map(|(k, v)| (k.clone(), v.clone())).collect();
        env.push(("UNBOUND_BASE_DIR".into(), self.paths.base().into()));
        env
    }

    /// What a child of ours gets: it logs as we do.
    fn own_environment(&self, settings: &[&str]) -> Vec<(OsString, OsString)> {
        let mut env = self.child_environment(settings);
        if let Some(filter) = &self.config.log_filter {
            env.retain(|(name, _)| name != "FALCO_LOG");
            env.push(("FALCO_LOG".into(), filter.into()));
        }
        env
    }

    /// Stands for what a child of ours is given besides what others say; not
    /// for our executable, which an upgrade may have moved.
    fn essence(&self, settings: &[&str], more: &str) -> Essence {
        let env = self.own_environment(settings);
        Essence::of([format!("{env:?} {} {more}", self.debug)])
    }

    /// How a program of others comes to end with us.
    pub(super) fn tie_of_others(&self, own_program: &Path) -> Tie {
        if self.config.guard {
            Tie::Guard(own_program.to_path_buf())
        } else {
            Tie::Kernel
        }
    }

    fn spec(&self, part: &str, program: PathBuf, settings: &[&str]) -> Spec {
        Spec {
            program,
            arg0: None,
            args: Vec::new(),
            env: self.own_environment(settings),
            directory: self.paths.base().to_path_buf(),
            descriptors: Vec::new(),
            lease: Some(self.paths.lease_file(part)),
        }
    }
}

/// How often a part of ours is asked whether it is alive.
fn pace(watched: &Watched) -> Pace {
    Pace {
        every: watched.every,
        failures: watched.failures,
        resume_grace: RESUME_GRACE,
    }
}

fn alive(watched: &Watched, probe: Probe) -> Alive {
    Alive {
        by: AliveBy::Probe(probe),
        timeout: watched.timeout,
    }
}

pub(super) fn emulator(with: &Ingredients, program: PathBuf) -> PartSpec {
    let essence = with.essence(&[], &with.config.emulator.to_args().join(" "));
    let log_limits = with.config.log;
    let watched = with.config.liveness.clone();
    let port = Arc::clone(&with.handles.port);
    port.recall(&with.paths.emulator());
    let with = with.clone();
    let launch = move |_: &Facts| {
        let mut spec = with.spec("emulator", program.clone(), &[]);
        // Without it, it tries for itself and says what is wrong.
        if let Ok(listener) = with.handles.port.share(with.config.emulator.listen) {
            spec.descriptors.push((LISTENER_FD, listener));
        }
        spec.args = vec![
            "emulator".into(),
            "--dir".into(),
            with.paths.emulator().into(),
        ];
        let limits = with.config.emulator.to_args();
        spec.args.extend(limits.into_iter().map(Into::into));
        if with.debug {
            spec.args.push("--debug".into());
        }
        Ok(Launch {
            spec,
            secrets: None,
            before: None,
        })
    };
    PartSpec {
        plan: Plan {
            pace: Some(pace(&watched)),
            ..plan("emulator", &["broker"], STOP_GRACE)
        },
        place: "127.0.0.1".to_owned(),
        essence,
        run: Run::Process(Box::new(ProcessPart {
            launch: Box::new(launch),
            heeds_facts: false,
            log_limits,
            tie: Tie::Lifeline,
            ready: ReadyBy::Probe(Probe::Emulator),
            alive: Some(alive(&watched, Probe::Emulator)),
            at_rest: Some(Box::new(move || port.release())),
            stop_signal: StopSignal::Term,
            notices: None,
        })),
    }
}

pub(super) fn transport(with: &Ingredients, own_program: PathBuf, has_emulator: bool) -> PartSpec {
    let foreign = with.config.transport.binary.clone();
    let stop_grace = stop_grace(with.config.transport.shutdown_timeout);
    let socket = with.paths.ably_socket();
    let (ours, probe) = match foreign {
        Some(_) => (false, Probe::ForeignTransport(socket.clone())),
        None => (true, Probe::Transport(socket.clone())),
    };
    let log_limits = with.config.log;
    let set = &with.config.transport.variables;
    let guard = with.config.guard && !ours;
    let given = format!(
        "{foreign:?} {has_emulator} {:?} {set:?} {guard}",
        with.identity
    );
    let essence = with.essence(TRANSPORT_SETTINGS, &given);
    let tie = if ours {
        Tie::Lifeline
    } else {
        with.tie_of_others(&own_program)
    };
    let program = foreign.unwrap_or(own_program);
    let broker = with.handles.broker.subscribe();
    let watched = with.config.liveness.clone();
    let with = with.clone();
    let launch = move |facts: &Facts| {
        let endpoint = has_emulator.then(|| emulator_endpoint(facts)).transpose()?;
        let launch = transport_launch(&with, program.clone(), ours, endpoint, facts)?;
        let broker = broker.borrow().clone();
        Ok(Launch {
            // Whoever was logged in when the last one ran may not be any more.
            before: broker.map(|broker| Box::pin(async move { broker.clear().await }) as _),
            ..launch
        })
    };
    PartSpec {
        plan: Plan {
            pace: ours.then(|| pace(&watched)),
            ..plan("transport", &["broker", "emulator"], stop_grace)
        },
        place: socket.display().to_string(),
        essence,
        run: Run::Process(Box::new(ProcessPart {
            launch: Box::new(launch),
            heeds_facts: true,
            log_limits,
            tie,
            at_rest: None,
            alive: ours.then(|| alive(&watched, probe.clone())),
            ready: ReadyBy::Probe(probe),
            stop_signal: StopSignal::Term,
            notices: None,
        })),
    }
}

fn emulator_endpoint(facts: &Facts) -> Result<String, String> {
    let fact = facts
        .of("emulator")
        .ok_or("the emulator has not said where it is")?;
    Ok(format!("http://{}", EmulatorFact::parse(fact)?.address))
}

/// Takes the presence token out of the environment of our own transport and
/// puts it to the broker tokens, for its pipe.
fn take_secrets(spec: &mut Spec, broker_tokens: BrokerTokens) -> Result<String, String> {
    let is_token = |(name, _): &mut (OsString, OsString)| name == PRESENCE_TOKEN;
    let presence = spec.env.extract_if(.., is_token).next();
    let presence = presence.and_then(|(_, value)| value.into_string().ok());
    let presence = presence
        .map(|token| token.trim().to_owned())
        .filter(|token| !token.is_empty());
    if presence
        .as_ref()
        .is_some_and(|token| PRESENCE_TOKEN_BYTES_MAX < token.len())
    {
        return Err(format!("{PRESENCE_TOKEN} is longer than 8 KiB"));
    }
    let secrets = TransportSecrets {
        broker_tokens,
        presence_token: presence.map(AccessToken::new),
    };
    serde_json::to_string(&secrets).map_err(|e| e.to_string())
}

/// The transport under the contract: arguments, environment, and secrets; ours
/// gets those through a pipe, a foreign one in its environment.
fn transport_launch(
    with: &Ingredients,
    program: PathBuf,
    ours: bool,
    endpoint: Option<String>,
    facts: &Facts,
) -> Result<Launch, String> {
    let tokens = facts
        .of("broker")
        .ok_or("the broker has not said its tokens")?;
    let mut spec = with.spec("transport", program, TRANSPORT_SETTINGS);
    let mut set = |name: &str, value: OsString| {
        spec.env.retain(|(known, _)| known != name);
        spec.env.push((name.into(), value));
    };
    for (name, value) in &with.config.transport.variables {
        set(name, value.into());
    }
    set("UNBOUND_ABLY_SOCKET", with.paths.ably_socket().into());
    set(
        "UNBOUND_ABLY_BROKER_SOCKET",
        with.paths.broker_socket().into(),
    );
    if let Some(endpoint) = endpoint {
        set("DAEMON_ABLY_ENDPOINT", endpoint.into());
    }
    let tokens: BrokerTokens = serde_json::from_str(tokens).map_err(|e| e.to_string())?;
    if !ours {
        set(
            "UNBOUND_ABLY_BROKER_TOKEN_FALCO",
            tokens.daemon_falco.reveal().into(),
        );
        set(
            "UNBOUND_ABLY_BROKER_TOKEN_NAGATO",
            tokens.daemon_nagato.reveal().into(),
        );
    }
    spec.arg0 = ours.then(|| "daemon-ably".into());
    spec.args = vec![
        "--device-id".into(),
        with.identity.device().to_string().into(),
        "--user-id".into(),
        with.identity.user().into(),
    ];
    if with.debug {
        spec.args.push("--debug".into());
    }
    let secrets = ours.then(|| take_secrets(&mut spec, tokens)).transpose()?;
    Ok(Launch {
        spec,
        secrets,
        before: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::token::BrokerToken;

    #[test]
    fn our_own_transport_has_no_secret_in_its_environment() {
        let mut spec = Spec {
            program: "daemon-ably".into(),
            arg0: None,
            args: Vec::new(),
            env: vec![
                ("HOME".into(), "/".into()),
                (PRESENCE_TOKEN.into(), "hunter2".into()),
            ],
            directory: "/".into(),
            descriptors: Vec::new(),
            lease: None,
        };
        let tokens = BrokerTokens {
            daemon_falco: BrokerToken::new("f"),
            daemon_nagato: BrokerToken::new("n"),
        };
        let secrets = take_secrets(&mut spec, tokens).unwrap();
        assert_eq!(spec.env, [("HOME".into(), "/".into())]);
        let secrets: TransportSecrets = serde_json::from_str(&secrets).unwrap();
        assert_eq!(secrets.presence_token.unwrap().reveal(), "hunter2");
        assert_eq!(secrets.broker_tokens.daemon_falco.reveal(), "f");
    }
}
