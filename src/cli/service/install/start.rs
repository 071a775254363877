//! Starting what was installed, and seeing that it is what answers.

use std::time::{Duration, Instant};

use super::super::place::Kind;
use super::super::unit::STOP_BOUND;
use super::super::{Activity, PATIENCE, launchd, systemd};
use super::Install;
use crate::cli::exit::{Exit, Failure};
use crate::cli::progress::seconds;
use crate::cli::{output, status, stop};
use crate::supervisor::instance::{Asked, Lock};

/// How long a chain may take from its start to answering: what `up` waits.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// How long a service that was started may take to be the one that answers.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Install<'_> {
    /// Starts the service, over a chain that was started by hand; yields the
    /// pid that answers.
    pub(super) async fn start(&self, changed: bool) -> Result<u32, Failure> {
        let began = Instant::now();
        let standing = self.place.standing().await?;
        if self.place.kind != Kind::System {
            self.take_over(standing.pid).await?;
        }
        match (self.place.kind, standing.activity) {
            (Kind::Launchd, Activity::Active) if !changed => {}
            (Kind::Launchd, _) => {
                launchd::boot_out(&self.place).await?;
                launchd::boot(&self.place).await?;
            }
            (_, Activity::Active) if !changed => {}
            // It cannot begin to listen for one that runs.
            (_, Activity::Active) if self.order.socket && !self.had_socket => {
                self.systemctl("stop").await?;
                self.begin().await?;
            }
            (_, Activity::Active) => self.systemctl("restart").await?,
            _ => self.begin().await?,
        }
        let pid = self.verified().await?;
        let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        output::message(&format!("ready in {} · verified pid {pid}", seconds(took)));
        Ok(pid)
    }

    /// Starts it, and first of all what listens for it.
    async fn begin(&self) -> Result<(), Failure> {
        if let Some(socket) = self.order.socket.then(|| self.place.socket_name()) {
            systemd::insist(&self.place, &["start", &socket], PATIENCE).await?;
        }
        self.systemctl("start").await
    }

    async fn systemctl(&self, verb: &str) -> Result<(), Failure> {
        let patience = START_PATIENCE + STOP_BOUND;
        systemd::insist(&self.place, &[verb, &self.place.name()], patience).await
    }

    /// Two cannot own one base directory: a chain that was started by hand is
    /// stopped in order.
    async fn take_over(&self, service: Option<u32>) -> Result<(), Failure> {
        let lock = Lock::ask_existing(&self.order.paths.lock_file());
        let Ok(Asked::Held(Some(who))) = lock else {
            return Ok(());
        };
        if Some(who.identity.pid) == service {
            return Ok(());
        }
        let pid = who.identity.pid;
        output::message(&format!(
            "  pid {pid} was started by hand: stopping it, the service takes over"
        ));
        stop::whole_chain(&self.order.paths, STOP_BOUND)
            .await
            .map(|_| ())
    }

    /// The chain answers, and it is the manager's process that does.
    async fn verified(&self) -> Result<u32, Failure> {
        let deadline = Instant::now() + ANSWER_PATIENCE;
        loop {
            let pid = self.place.standing().await?.pid;
            if let (Some(pid), Ok(status)) = (pid, status::ask(&self.order.paths).await)
                && status.pid == pid
            {
                return Ok(pid);
            }
            if self.place.kind == Kind::Launchd
                && let Some(failure) = launchd::has_ended(&self.place).await?
            {
                return Err(failure);
            }
            if deadline < Instant::now() {
                let error = format!(
                    "{} was started, and the chain does not answer",
                    self.place.name()
                );
                let at = self.place.flag_of_base(&self.order.paths);
                let system = self.place.flag_of_kind();
                let hint = format!("falco service status{system}{at}; falco logs{at}");
                return Err(Failure::new(Exit::Unavailable, error).hint(hint));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}
