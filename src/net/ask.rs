//! One question, one answer: a line each way over a connection of its own.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::unix::{self, ConnectError};

/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// There is nobody to ask.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Somebody took the connection and said nothing in time.
    #[error("{} did not answer within {} ms", path.display(), waited.as_millis())]
    TimedOut {
        /// The socket asked.
        path: PathBuf,
        /// How long it had.
        waited: Duration,
    },
    /// The connection broke before the answer was complete.
    #[error("{} closed the connection without an answer", path.display())]
    Closed {
        /// The socket asked.
        path: PathBuf,
    },
    /// The connection failed.
    #[error("failed to ask {}", path.display())]
    Io {
        /// The socket asked.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Sends `line` (without newline) to `path` and returns the first line that
/// comes back, all of it within `patience`.
///
/// # Errors
///
/// See [`AskError`].
pub(crate) async fn ask(path: &Path, line: &str, patience: Duration) -> Result<String, AskError> {
    let asking = async {
        let stream = unix::connect(path, patience).await?;
        let io = |source| AskError::Io {
            path: path.to_path_buf(),
            source,
        };
        exchange(stream, line).await.map_err(io)
    };
    let path = || path.to_path_buf();
    match tokio::time::timeout(patience, asking).await {
        Ok(Ok(answer)) if answer.ends_with('\n') => Ok(answer),
        Ok(Ok(_)) => Err(AskError::Closed { path: path() }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(AskError::TimedOut {
            path: path(),
            waited: patience,
        }),
    }
}

async fn exchange(mut stream: tokio::net::UnixStream, line: &str) -> io::Result<String> {
    stream.write_all(format!("{line}\n").as_bytes()).await?;
    let mut answer = String::new();
    let mut reader = BufReader::new(stream.take(ANSWER_BYTES_MAX));
    reader.read_line(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than anything here takes on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn an_answer_is_the_first_line_that_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = unix::Listener::bind(&path).unwrap();
        let server = async {
            let mut stream = BufReader::new(listener.accept().await.unwrap());
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            stream
                .write_all(format!("re: {line}more").as_bytes())
                .await
                .unwrap();
        };
        let (answer, ()) = tokio::join!(ask(&path, "hello", PATIENCE), server);
        assert_eq!(answer.unwrap(), "re: hello\n");
    }

    #[tokio::test]
    async fn silence_ends_with_the_patience_and_a_close_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = unix::Listener::bind(&path).unwrap();
        let moment = Duration::from_millis(100);
        let error = ask(&path, "hello", moment).await.unwrap_err();
        assert!(matches!(error, AskError::TimedOut { .. }), "{error}");
        let server = async {
            for _ in 0..2 {
                drop(listener.accept().await.unwrap());
            }
        };
        let (answer, ()) = tokio::join!(ask(&path, "hello", PATIENCE), server);
        assert!(answer.is_err());
    }
}
