//! Tokens from a program of the user.
//!
//! The program learns what is wanted from its environment (`FALCO_AUDIENCE`,
//! `FALCO_DEVICE_ID`, `FALCO_USER_ID`, `FALCO_CAPABILITY`) and writes token
//! details in JSON or a token alone to its standard output, which is bounded.
//! It gets none of our secrets and no terminal, and is killed with its
//! question.

use std::ffi::OsString;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

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
    /// The program, found through PATH unless it is a path.
    pub(crate) program: OsString,
    /// Its arguments.
    pub(crate) args: Vec<OsString>,
}

/// Why the program gives no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error("failed to run the token command {program:?}")]
    Run {
        program: OsString,
        source: io::Error,
    },
    #[error("the token command did not finish within {} s", DEADLINE.as_secs())]
    TimedOut,
    #[error("the token command wrote more than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
    #[error("the token command failed ({status}): {stderr}")]
    Failed { status: ExitStatus, stderr: String },
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

    async fn run(&self, order: &Order) -> Result<Vec<u8>, CommandError> {
        let failed = |source| CommandError::Run {
            program: self.program.clone(),
            source,
        };
        let mut child = self.command(order).spawn().map_err(failed)?;
        let (stdout, stderr) = output_of(&mut child).await.map_err(failed)?;
        if ANSWER_BYTES_MAX < stdout.len() {
            return Err(CommandError::TooLong);
        }
        let status = child.wait().await.map_err(failed)?;
        if !status.success() {
            let stderr = String::from_utf8_lossy(&stderr).trim().to_owned();
            return Err(CommandError::Failed { status, stderr });
        }
        Ok(stdout)
    }

    fn command(&self, order: &Order) -> Command {
        let mut command = Command::new(&self.program);
        for name in WITHHELD {
            command.env_remove(name);
        }
        command
            .args(&self.args)
            .env("FALCO_AUDIENCE", order.audience.as_str())
            .env("FALCO_DEVICE_ID", order.identity.device().to_string())
            .env("FALCO_USER_ID", order.identity.user())
            .env("FALCO_CAPABILITY", order.capability.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

/// What the program writes until it closes its output or writes too much.
async fn output_of(child: &mut Child) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let stdout = read_up_to(child.stdout.take(), ANSWER_BYTES_MAX as u64 + 1);
    let stderr = read_up_to(child.stderr.take(), QUOTE_BYTES_MAX);
    tokio::try_join!(stdout, stderr)
}

async fn read_up_to(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(limit).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::order;
    use super::*;

    async fn run(script: &str) -> Result<TokenDetails, CommandError> {
        let command = TokenCommand {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
        };
        command.fetch(&order()).await
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
            "the token command failed (exit status: 3): log in first"
        );
        let missing = TokenCommand {
            program: "/nonexistent/program".into(),
            args: Vec::new(),
        };
        let error = missing.fetch(&order()).await.expect_err("fails");
        assert!(error.to_string().contains("/nonexistent/program"));
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
