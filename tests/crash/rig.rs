//! A chain in front of a server of its own, whose processes die where a test
//! wants it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use falco::client::{Ack, Client};
use serde_json::Value;

use crate::checker::{Seen, Sent};
use crate::emulator::Server;
use crate::recorder::{Publish, Recorder};
use crate::server;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// See the module.
pub struct Rig {
    dir: tempfile::TempDir,
    server: Server,
    recorder: Recorder,
}

/// Where and how often a process dies.
#[derive(Debug, Clone, Copy)]
pub struct Death {
    pub point: &'static str,
    /// How often a process is there before it dies there.
    pub passes: u32,
    pub times: usize,
}

impl Death {
    /// Prepares it in a directory; returns what tells a process of it.
    fn arm(self, kills: &Path) -> String {
        for n in 0..self.times {
            std::fs::write(kills.join(n.to_string()), "").expect("a kill");
        }
        format!("{}:{}:{}", self.point, self.passes, kills.display())
    }

    /// Else it is the transport that dies.
    pub fn is_of_falco(&self) -> bool {
        !crate::TRANSPORT.contains(&self.point)
    }
}

impl Rig {
    pub fn new(settings: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let server = Server::start(&dir.path().join("server"));
        let recorder = Recorder::before(server.address.clone());
        let rig = Self {
            dir,
            server,
            recorder,
        };
        std::fs::create_dir(rig.base()).expect("a base directory");
        std::fs::create_dir(rig.kills()).expect("a directory");
        std::fs::create_dir(rig.daemon_kills()).expect("a directory");
        if !settings.is_empty() {
            std::fs::write(rig.base().join("falco.toml"), settings).expect("settings");
        }
        rig
    }

    pub fn base(&self) -> PathBuf {
        self.dir.path().join("base")
    }

    fn kills(&self) -> PathBuf {
        self.dir.path().join("kills")
    }

    fn daemon_kills(&self) -> PathBuf {
        self.dir.path().join("daemon-kills")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_falco"));
        command.args(args).env_clear().stdin(Stdio::null());
        command.env("UNBOUND_BASE_DIR", self.base());
        command.env("ABLY_API_KEY", &self.server.key);
        let endpoint = format!("http://{}", self.recorder.address);
        command.env("DAEMON_ABLY_ENDPOINT", endpoint);
        command.env("DAEMON_ABLY_FORMAT", "json");
        // A busy machine makes no copy: only a death does.
        command.env("FALCO_PUBLISH_TIMEOUT", "60");
        command
    }

    /// Brings the chain up, to die as `death` says.
    pub fn up(&self, death: Option<Death>) {
        let mut command = self.command(&["up", "--quiet"]);
        if let Some(death) = death {
            command.env("FALCO_FAILPOINT", death.arm(&self.kills()));
        }
        let output = command.output().expect("falco runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
    }

    /// Deaths that have not happened yet.
    pub fn deaths_left(&self) -> usize {
        count(&self.kills())
    }

    /// What a daemon is told that is to die.
    pub fn arm_daemon(&self, death: Death) -> String {
        death.arm(&self.daemon_kills())
    }

    /// Deaths of a daemon that have not happened yet.
    pub fn daemon_deaths_left(&self) -> usize {
        count(&self.daemon_kills())
    }

    /// Whether there is a supervisor.
    pub fn is_up(&self) -> bool {
        let status = self.command(&["status"]).output().expect("falco runs");
        status.status.code() != Some(3)
    }

    /// What a verb says.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("falco runs")
    }

    /// Stops the chain in peace.
    pub fn stop(&self) {
        let output = self.run(&["stop"]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
    }

    /// What the chain says of itself.
    pub fn status(&self) -> Value {
        let status = self.run(&["status", "--json"]).stdout;
        serde_json::from_slice(&status).expect("a status")
    }

    /// Kills the supervisor, and with it all of the chain.
    pub async fn kill(&self) {
        let pid = std::fs::read_to_string(self.base().join("falco.pid")).expect("a file");
        let pid = pid.split_whitespace().next().expect("a pid");
        let killed = Command::new("kill").args(["-KILL", pid]).status();
        assert!(killed.expect("kill runs").success());
        wait_until("the supervisor is gone", || !self.is_up()).await;
    }

    /// The messages of a channel, oldest first.
    pub fn history(&self, channel: &str) -> Vec<String> {
        server::history(&self.server.address, &self.server.key, channel)
    }

    /// Whether all that was acked is published: an outbox, if there is one, has
    /// read what it keeps and keeps nothing.
    pub fn is_published(&self) -> bool {
        let status = self.status();
        let outbox = &status["ingest"]["outbox"];
        !self.base().join("outbox").exists() || outbox["state"] == "ok" && outbox["depth"] == 0
    }

    pub fn client(&self) -> Client {
        Client::new(self.base().join("falco.sock"))
    }

    /// What a look at the channels of `sent` says.
    pub fn seen(&self, sent: &Sent) -> Seen {
        let look = |lane: &String| {
            let channel = channel(lane);
            (lane.clone(), self.history(&channel))
        };
        sent.keys().map(look).collect()
    }

    /// What went to the server, copies included.
    pub fn published(&self) -> Seen {
        by_lane(self.recorder.published())
    }

    /// What is left of that for a subscriber that drops what has a key it knows.
    pub fn subscribed(&self) -> Seen {
        let mut known = HashSet::new();
        let mut published = self.recorder.published();
        published.retain(|publish| publish.key.clone().is_none_or(|key| known.insert(key)));
        by_lane(published)
    }
}

/// Deaths that are left of those prepared in a directory.
fn count(kills: &Path) -> usize {
    std::fs::read_dir(kills).expect("a directory").count()
}

impl Drop for Rig {
    fn drop(&mut self) {
        _ = self.command(&["stop", "--now"]).output();
    }
}

fn by_lane(published: Vec<Publish>) -> Seen {
    let mut seen = Seen::new();
    for publish in published {
        if let Some(lane) = publish.channel.strip_prefix("session:") {
            let lane = lane.trim_end_matches(":conversation").to_owned();
            seen.entry(lane).or_default().push(publish.payload);
        }
    }
    seen
}

/// Where the messages of a lane go.
pub fn channel(lane: &str) -> String {
    format!("session:{lane}:conversation")
}

/// What a daemon has handed over.
#[derive(Default)]
pub struct HandedOver {
    pub sent: Sent,
    pub acks: Vec<Ack>,
}

impl HandedOver {
    /// One more, of the lane whose turn it is.
    pub async fn add(&mut self, client: &Client, lanes: usize) {
        let n = self.acks.len();
        let lane = format!("lane{}", n % lanes);
        let payload = format!(r#"{{"n":{n}}}"#);
        let channel = channel(&lane);
        let effect = format!(
            r#"{{"type":"t","session_id":"{lane}","channel":"{channel}","payload":{payload}}}"#
        );
        self.acks
            .push(client.deliver(effect).await.expect("a client"));
        self.sent.entry(lane).or_default().push(payload);
    }
}

/// Hands over `count` effects, spread over `lanes`.
pub async fn hand_over(client: &Client, lanes: usize, count: usize) -> HandedOver {
    let mut handed = HandedOver::default();
    for _ in 0..count {
        handed.add(client, lanes).await;
    }
    handed
}

/// Waits until something is so, for a bounded time.
pub async fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never true: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
