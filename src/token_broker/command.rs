//! Tokens from a program of the user.
//!
//! The program learns what is wanted from its environment (`FALCO_AUDIENCE`,
//! `FALCO_DEVICE_ID`, `FALCO_USER_ID`, `FALCO_CAPABILITY`) and writes token
//! details in JSON or a token alone to its standard output, which is bounded.
//! It gets none of our secrets and no terminal, and is killed with its
//! question.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::process::child::{Child, Exit};
use crate::process::spawn::{SpawnError, Spawner, Spec};
use crate::protocol::ably::auth::TokenDetails;
use crate::protocol::token::ANSWER_BYTES_MAX;

use super::source::{GivenError, Order, read_given};

/// How long the program may take.
const DEADLINE: Duration = Duration::from_secs(15);

/// How much of its standard error an error quotes.
const QUOTE_BYTES_MAX: u64 = 500;

/// What is ours alone and not for a program of the user.
const WITHHELD: &[&str] = &[
    "ABLY_API_KEY",
    "CREDENTIALS_DIRECTORY",
    "UNBOUND_ABLY_BROKER_TOKEN_FALCO",
    "UNBOUND_ABLY_BROKER_TOKEN_NAGATO",
    "UNBOUND_PRESENCE_DO_TOKEN",
    "FALCO_TOKEN_BEARER",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
];

/// A program that writes tokens.
#[derive(Debug)]
pub(crate) struct TokenCommand {
    /// The program, found through the PATH in `env` unless it is a path.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) args: Vec<OsString>,
    /// The environment of the user; what is ours alone is taken out.
    pub(crate) env: Vec<(OsString, OsString)>,
    /// Where it runs.
    pub(crate) directory: PathBuf,
    /// Runs it.
    pub(crate) spawner: Spawner,
}

/// Why the program gives no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error("failed to start the token command")]
    Spawn(#[from] SpawnError),
    #[error("failed to read from the token command")]
    Read(#[source] io::Error),
    #[error("the token command did not finish within {} s", DEADLINE.as_secs())]
    TimedOut,
    #[error("the token command wrote more than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
    #[error("the token command failed ({exit}): {stderr}")]
    Failed { exit: Exit, stderr: String },
    #[error("what the token command wrote is no token")]
    Given(#[from] GivenError),
}

impl TokenCommand {
    pub(super) async fn fetch(&self, order: &Order) -> Result<TokenDetails, CommandError> {
        let running = self.run(order);
        let output = tokio::time::timeout(DEADLINE, running).await;
        let output = output.map_err(|_| CommandError::TimedOut)??;
        Ok(read_given(&output, order.now_ms)?)
    }

    /// Runs the program to its end; dropped before, it kills the program and
    /// its children.
    async fn run(&self, order: &Order) -> Result<Vec<u8>, CommandError> {
        let mut child = self.spawner.spawn(self.spec(order)).await?;
        let (stdout, stderr) = output_of(&mut child).await.map_err(CommandError::Read)?;
        if ANSWER_BYTES_MAX < stdout.len() {
            return Err(CommandError::TooLong);
        }
        let (exit, _) = child.reap().await;
        if exit != Exit::Code(0) {
            let stderr = String::from_utf8_lossy(&stderr).trim().to_owned();
            return Err(CommandError::Failed { exit, stderr });
        }
        Ok(stdout)
    }

    fn spec(&self, order: &Order) -> Spec {
        let wanted = [
            ("FALCO_AUDIENCE", order.audience.to_string()),
            ("FALCO_DEVICE_ID", order.identity.device().to_string()),
            ("FALCO_USER_ID", order.identity.user().to_owned()),
            ("FALCO_CAPABILITY", order.capability.to_string()),
        ];
        let wanted = wanted.map(|(name, value)| (name.into(), value.into()));
        let users = self.env.iter().filter(|(name, _)| !is_withheld(name));
        Spec {
            program: self.program.clone(),
            arg0: None,
            args: self.args.clone(),
            env: users.cloned().chain(wanted).collect(),
            directory: self.directory.clone(),
            descriptors: Vec::new(),
            lease: None,
        }
    }
}

fn is_withheld(name: &OsStr) -> bool {
    WITHHELD.iter().any(|withheld| name == *withheld)
}

/// What the program has written when it ends.
///
/// What it left running in its group is killed then, so that nothing keeps its
/// output open.
async fn output_of(child: &mut Child) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let end = child.end()?;
    let output = child.take_output()?;
    let output = output.ok_or_else(|| io::Error::other("it was taken before"))?;
    let reading = async {
        let stdout = read_up_to(output.stdout, ANSWER_BYTES_MAX as u64 + 1);
        let stderr = read_up_to(output.stderr, QUOTE_BYTES_MAX);
        tokio::try_join!(stdout, stderr)
    };
    let ending = async {
        end.reached().await;
        child.kill();
    };
    let (written, ()) = tokio::join!(reading, ending);
    written
}

/// The first `limit` bytes; whoever writes more finds the pipe closed.
async fn read_up_to(pipe: impl AsyncRead + Unpin, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.take(limit).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::order;
    use super::*;

    fn command(program: &str, args: &[&str]) -> TokenCommand {
        TokenCommand {
            program: program.into(),
            args: args.iter().map(OsString::from).collect(),
            env: vec![
                ("PATH".into(), "/usr/bin:/bin".into()),
                ("HOME".into(), "/home/me".into()),
                ("ABLY_API_KEY".into(), "app.key:s3cret".into()),
            ],
            directory: "/".into(),
            spawner: Spawner::start().expect("a thread"),
        }
    }

    async fn run(script: &str) -> Result<TokenDetails, CommandError> {
        command("sh", &["-c", script]).fetch(&order()).await
    }

    #[tokio::test]
    async fn a_program_writes_a_token_for_what_its_environment_asks() {
        let script = r#"printf '{"token":"t-%s","clientId":"%s","capability":"%s"}' \
            "$FALCO_AUDIENCE" "$FALCO_USER_ID" "$FALCO_DEVICE_ID""#;
        let details = run(script).await.expect("a token");
        assert_eq!(details.token.reveal(), "t-daemon_nagato");
        assert_eq!(details.client_id.as_deref(), Some("u-1"));
        assert_eq!(details.capability, "8c0e3d0c-9f6b-4a52-9c15-2d7f1f0a7c11");
    }

    #[tokio::test]
    async fn a_failing_program_is_quoted() {
        let error = run("echo log in first >&2; exit 3")
            .await
            .expect_err("fails");
        assert_eq!(
            error.to_string(),
            "the token command failed (exit 3): log in first"
        );
        let missing = command("/nonexistent/program", &[]);
        let error = missing.fetch(&order()).await.expect_err("fails");
        assert!(matches!(error, CommandError::Spawn(_)), "{error:?}");
    }

    #[tokio::test]
    async fn a_program_has_the_user_s_environment_without_our_secrets() {
        let script = r#"printf '{"token":"t","clientId":"%s","capability":"%s"}' "$HOME" "${ABLY_API_KEY-none}""#;
        let details = run(script).await.expect("a token");
        assert_eq!(details.client_id.as_deref(), Some("/home/me"));
        assert_eq!(details.capability, "none");
    }

    #[tokio::test]
    async fn what_a_program_leaves_running_does_not_hold_its_token_back() {
        let details = run("sleep 600 & printf t0k").await.expect("a token");
        assert_eq!(details.token.reveal(), "t0k");
    }

    #[tokio::test]
    async fn a_program_that_never_ends_its_output_is_cut_off() {
        let error = run("exec cat /dev/zero").await.expect_err("too long");
        assert!(matches!(error, CommandError::TooLong), "{error:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_program_is_given_up() {
        let error = run("exec sleep 600").await.expect_err("hangs");
        assert!(matches!(error, CommandError::TimedOut), "{error:?}");
    }
}
