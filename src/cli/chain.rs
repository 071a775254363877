//! What the chain is made of: introduces the services to each other.
//!
//! ```text
//! broker ────┐
//!            ├──▶ transport ──▶ falco     started left to right, each after those
//! emulator ──┘                            before it answer; stopped right to left
//! ```
//!
//! The emulator is there only when there are no credentials for Ably.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use super::credentials::{self, Variables};
use super::exit::{Exit, Failure};
use crate::delivery;
use crate::emulator;
use crate::ingest;
use crate::net::unix::Socket;
use crate::paths::Paths;
use crate::process::spawn::{Spawner, Spec};
use crate::protocol::token::BrokerTokens;
use crate::report::Report;
use crate::supervisor::chain::{PartId, Plan};
use crate::supervisor::part::{Facts, Launch, PartSpec, ProcessPart, Run, ServerPart, Serving};
use crate::supervisor::probe::{EmulatorFact, Probe};
use crate::supervisor::task::AskIngest;
use crate::token_broker::{self, Identity, Reach, Source};

/// How long a part may take from start to ready.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// How long Falco may take to find the transport that is ready before it.
const LINK_PATIENCE: Duration = Duration::from_secs(1);

/// Beyond the grace of what is on its way: the last acks.
const LAST_ACKS: Duration = Duration::from_millis(1500);

/// How long a process of the chain has from SIGTERM to SIGKILL. The transport
/// bounds itself by `DAEMON_ABLY_SHUTDOWN_TIMEOUT`, 2 s by default.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// What children get of our environment: where things are, how to log, how to
/// reach the network. Nothing of it is secret.
const INHERITED: &[&str] = &[
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

/// What the transport gets besides: its settings of the contract.
const TRANSPORT_SETTINGS: &[&str] = &[
    "DAEMON_ABLY_ENDPOINT",
    "DAEMON_ABLY_FORMAT",
    "DAEMON_ABLY_HEARTBEAT_INTERVAL",
    "DAEMON_ABLY_MAX_FRAME_BYTES",
    "DAEMON_ABLY_PUBLISH_TIMEOUT",
    "DAEMON_ABLY_SHUTDOWN_TIMEOUT",
    "UNBOUND_PRESENCE_DO_HEARTBEAT_URL",
    "UNBOUND_PRESENCE_DO_TOKEN",
    "UNBOUND_PRESENCE_DO_TTL_MS",
];

/// What the chain is composed from.
#[derive(Clone)]
pub(super) struct Ingredients {
    pub(super) paths: Paths,
    pub(super) identity: Identity,
    pub(super) variables: Variables,
    pub(super) spawner: Spawner,
    pub(super) broker_socket: Arc<Socket>,
    pub(super) falco_socket: Arc<Socket>,
    pub(super) publish_timeout: Duration,
    pub(super) debug: bool,
}

/// A composed chain.
pub(super) struct Composed {
    /// The parts, in starting order.
    pub(super) parts: Vec<PartSpec>,
    /// Whether one of them is the emulator.
    pub(super) has_emulator: bool,
    /// Asks Falco how it is.
    pub(super) ask_ingest: AskIngest,
}

/// Composes the chain for what the environment says.
pub(super) fn compose(with: &Ingredients) -> Result<Composed, Failure> {
    let own_program = own_program()?;
    // Wrong credentials fail the start, before any part is started.
    let has_emulator = matches!(with.source()?, (_, Reach::Local));
    let (handle, falco_handle) = watch::channel(None);
    let mut parts = vec![broker(with)];
    if has_emulator {
        parts.push(emulator(with, own_program.clone()));
    }
    let before_transport = (0..parts.len()).collect();
    parts.push(transport(with, own_program, before_transport, has_emulator));
    let before_falco = vec![parts.len() - 1];
    parts.push(falco(with, before_falco, handle));
    Ok(Composed {
        parts,
        has_emulator,
        ask_ingest: Arc::new(move || {
            let handle: Option<ingest::Handle> = falco_handle.borrow().clone();
            Box::pin(async move { Some(handle?.status().await) })
        }),
    })
}

impl Ingredients {
    /// Where tokens come from and how far they reach; read anew by every life
    /// of the broker.
    fn source(&self) -> Result<(Source, Reach), Failure> {
        let chosen = credentials::source(&self.variables, &self.spawner, self.paths.base())?;
        if let Some(source) = chosen {
            return Ok((source, Reach::Contract));
        }
        let key = emulator::key::load_or_create(&self.paths.emulator());
        let key = key.map_err(|e| Failure::of(Exit::CannotCreate, &e))?;
        Ok((Source::ApiKey(key), Reach::Local))
    }

    fn child_environment(&self, settings: &[&str]) -> Vec<(OsString, OsString)> {
        let names = INHERITED.iter().chain(settings).map(OsStr::new);
        let set = names.filter_map(|n| self.variables.get_key_value(n));
        let mut env: Vec<_> = set.map(|(k, v)| (k.clone(), v.clone())).collect();
        env.push(("UNBOUND_BASE_DIR".into(), self.paths.base().into()));
        env
    }

    fn spec(&self, program: PathBuf, settings: &[&str]) -> Spec {
        Spec {
            program,
            arg0: None,
            args: Vec::new(),
            env: self.child_environment(settings),
            directory: self.paths.base().to_path_buf(),
            descriptors: Vec::new(),
        }
    }
}

fn plan(name: &'static str, after: Vec<PartId>, stop_grace: Duration) -> Plan {
    Plan {
        name,
        after,
        ready_within: READY_WITHIN,
        stop_grace,
    }
}

/// This executable, also after it was replaced by an upgrade.
pub(super) fn own_program() -> Result<PathBuf, Failure> {
    let path = std::env::current_exe();
    let path =
        path.map_err(|e| Failure::new(Exit::Internal, format!("cannot find myself: {e}")))?;
    let replaced = cfg!(target_os = "linux") && !path.exists();
    Ok(if replaced {
        "/proc/self/exe".into()
    } else {
        path
    })
}

fn broker(with: &Ingredients) -> PartSpec {
    let ingredients = with.clone();
    let serve = move |serving: Serving| {
        let with = ingredients.clone();
        Box::pin(async move { serve_broker(&with, serving).await }) as _
    };
    PartSpec {
        plan: plan("broker", Vec::new(), Duration::from_secs(1)),
        place: with.broker_socket.path().display().to_string(),
        run: Run::Server(ServerPart {
            serve: Arc::new(serve),
            own_thread: false,
        }),
    }
}

/// Says the broker tokens, which only the transport may know.
async fn serve_broker(with: &Ingredients, serving: Serving) -> Result<(), String> {
    let (source, reach) = with.source().map_err(|e| e.to_string())?;
    let config = token_broker::Config {
        identity: with.identity.clone(),
        source,
        reach,
    };
    let listener = with
        .broker_socket
        .listener()
        .map_err(|e| Report(&e).to_string())?;
    let handle = token_broker::start(config, listener, &serving.shutdown);
    let tokens = serde_json::to_string(&handle.broker_tokens).map_err(|e| e.to_string())?;
    _ = serving.ready.send(tokens);
    serving.shutdown.begun().await;
    Ok(())
}

fn emulator(with: &Ingredients, program: PathBuf) -> PartSpec {
    let with = with.clone();
    let launch = move |_: &Facts| {
        let mut spec = with.spec(program.clone(), &[]);
        spec.args = vec![
            "emulator".into(),
            "--dir".into(),
            with.paths.emulator().into(),
        ];
        if with.debug {
            spec.args.push("--debug".into());
        }
        Ok(Launch {
            spec,
            secrets: None,
        })
    };
    PartSpec {
        plan: plan("emulator", Vec::new(), STOP_GRACE),
        place: "127.0.0.1".to_owned(),
        run: Run::Process(ProcessPart {
            launch: Box::new(launch),
            ours: true,
            probe: Probe::Emulator,
        }),
    }
}

fn transport(
    with: &Ingredients,
    own_program: PathBuf,
    after: Vec<PartId>,
    has_emulator: bool,
) -> PartSpec {
    let foreign = with.variables.get(OsStr::new("DAEMON_ABLY_BINARY"));
    let foreign = foreign.filter(|path| !path.is_empty()).map(PathBuf::from);
    let socket = with.paths.ably_socket();
    let (ours, probe) = match foreign {
        Some(_) => (false, Probe::ForeignTransport(socket.clone())),
        None => (true, Probe::Transport(socket.clone())),
    };
    let program = foreign.unwrap_or(own_program);
    let with = with.clone();
    let launch = move |facts: &Facts| {
        let endpoint = has_emulator.then(|| emulator_endpoint(facts)).transpose()?;
        transport_launch(&with, program.clone(), ours, endpoint, facts)
    };
    PartSpec {
        plan: plan("transport", after, STOP_GRACE),
        place: socket.display().to_string(),
        run: Run::Process(ProcessPart {
            launch: Box::new(launch),
            ours,
            probe,
        }),
    }
}

fn emulator_endpoint(facts: &Facts) -> Result<String, String> {
    let fact = facts
        .of("emulator")
        .ok_or("the emulator has not said where it is")?;
    Ok(format!("http://{}", EmulatorFact::parse(fact)?.address))
}

/// The transport under the contract: arguments, environment, and the broker
/// tokens; ours gets those through a pipe, a foreign one in its environment.
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
    let mut spec = with.spec(program, TRANSPORT_SETTINGS);
    let mut set = |name: &str, value: OsString| {
        spec.env.retain(|(known, _)| known != name);
        spec.env.push((name.into(), value));
    };
    set("UNBOUND_ABLY_SOCKET", with.paths.ably_socket().into());
    set(
        "UNBOUND_ABLY_BROKER_SOCKET",
        with.paths.broker_socket().into(),
    );
    if let Some(endpoint) = endpoint {
        set("DAEMON_ABLY_ENDPOINT", endpoint.into());
    }
    if !ours {
        let tokens: BrokerTokens = serde_json::from_str(tokens).map_err(|e| e.to_string())?;
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
    let secrets = ours.then(|| tokens.to_owned());
    Ok(Launch { spec, secrets })
}

fn falco(
    with: &Ingredients,
    after: Vec<PartId>,
    handle: watch::Sender<Option<ingest::Handle>>,
) -> PartSpec {
    let device = with.identity.device();
    let mut config = ingest_config(device, with);
    config.delivery = delivery::Config::with_attempt_timeout(with.publish_timeout);
    let grace = config.shutdown_grace + LAST_ACKS;
    let socket = Arc::clone(&with.falco_socket);
    let handle = Arc::new(handle);
    let serve = move |serving: Serving| {
        let (socket, config, handle) = (socket.clone(), config.clone(), handle.clone());
        Box::pin(async move { serve_falco(&socket, config, &handle, serving).await }) as _
    };
    PartSpec {
        plan: plan("falco", after, grace),
        place: with.falco_socket.path().display().to_string(),
        run: Run::Server(ServerPart {
            serve: Arc::new(serve),
            own_thread: true,
        }),
    }
}

fn ingest_config(device: Uuid, with: &Ingredients) -> ingest::Config {
    ingest::Config::new(&device.to_string(), with.paths.ably_socket())
}

async fn serve_falco(
    socket: &Arc<Socket>,
    config: ingest::Config,
    handle: &watch::Sender<Option<ingest::Handle>>,
    serving: Serving,
) -> Result<(), String> {
    let listener = socket.listener().map_err(|e| Report(&e).to_string())?;
    let falco = ingest::start(config, listener, &serving.shutdown);
    handle.send_replace(Some(falco.clone()));
    _ = tokio::time::timeout(LINK_PATIENCE, linked(&falco)).await;
    _ = serving.ready.send(String::new());
    serving.shutdown.begun().await;
    Ok(())
}

/// Resolves once Falco is connected to the transport.
async fn linked(falco: &ingest::Handle) {
    while !falco.status().await.transport_connected {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
