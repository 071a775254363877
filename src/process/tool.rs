//! Programs of the system that are asked to do something: run to their end,
//! within a time.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// What a tool said when it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Whether it exited with 0.
    pub success: bool,
    /// Its output.
    pub stdout: String,
    /// Its messages.
    pub stderr: String,
}

/// Why a tool said nothing.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// There is no such program.
    #[error("there is no program {program}")]
    Missing {
        /// Its name.
        program: String,
    },
    /// It cannot be run.
    #[error("failed to run {program}")]
    Run {
        /// Its name.
        program: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// It took too long and was ended.
    #[error("{program} did not end within {} s", waited.as_secs())]
    TimedOut {
        /// Its name.
        program: String,
        /// How long it had.
        waited: Duration,
    },
}

/// Runs `program` from the PATH with our environment, without input.
///
/// # Errors
///
/// See [`ToolError`]; one that exits with an error did run.
///
/// # Cancel safety
///
/// A tool is killed when the future is dropped.
pub async fn run(program: &str, args: &[&str], patience: Duration) -> Result<Said, ToolError> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let name = || program.to_owned();
    let output = match timeout(patience, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(source)) if source.kind() == io::ErrorKind::NotFound => {
            return Err(ToolError::Missing { program: name() });
        }
        Ok(Err(source)) => {
            let program = name();
            return Err(ToolError::Run { program, source });
        }
        Err(_) => {
            let (program, waited) = (name(), patience);
            return Err(ToolError::TimedOut { program, waited });
        }
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Ok(Said {
        success: output.status.success(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tool_that_fails_has_said_something_and_one_that_is_missing_has_not() {
        let patience = Duration::from_secs(10);
        let script = "echo out; echo err >&2; exit 3";
        let said = run("sh", &["-c", script], patience).await.unwrap();
        assert!(!said.success);
        assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("out", "err"));
        let missing = run("falco-no-such-tool", &[], patience).await;
        assert!(matches!(missing, Err(ToolError::Missing { .. })));
    }

    #[tokio::test]
    async fn a_tool_that_hangs_is_ended() {
        let late = run("sleep", &["1000"], Duration::from_millis(50)).await;
        assert!(matches!(late, Err(ToolError::TimedOut { .. })));
    }
}
