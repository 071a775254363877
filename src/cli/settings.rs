//! Where an instance lives and how much it logs: what every verb shares.
//!
//! Flags go before the environment, which goes before the defaults.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::parser::ValueSource;
use clap::{Arg, Command};

use super::above::refuse_replaceable;
use super::exit::{Exit, Failure};
use super::shell;
use crate::paths::Paths;
use crate::plain_file;
use crate::telemetry::Verbosity;

/// Reads a path. A variable that is empty means that none is set; on the command
/// line that is a mistake, and another directory is never meant by it.
pub(super) fn path_or_nothing() -> impl TypedValueParser<Value = PathBuf> {
    PathOrNothing
}

#[derive(Debug, Clone)]
struct PathOrNothing;

impl TypedValueParser for PathOrNothing {
    type Value = PathBuf;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<PathBuf, clap::Error> {
        PathBufValueParser::new().parse_ref(command, arg, value)
    }

    fn parse_ref_(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
        source: ValueSource,
    ) -> Result<PathBuf, clap::Error> {
        if value.is_empty() && source == ValueSource::EnvVariable {
            return Ok(PathBuf::new());
        }
        self.parse_ref(command, arg, value)
    }
}

/// The longest that anybody waits, in seconds: a day is as good as for ever.
const LONGEST_WAIT: u64 = 86_400;

/// Reads how long somebody wants to wait, in seconds: not at all means nothing.
pub(super) fn seconds_to_wait() -> impl TypedValueParser<Value = u64> {
    clap::value_parser!(u64).range(1..=LONGEST_WAIT)
}

/// As [`seconds_to_wait`], for what has to be done however long anybody waits:
/// less is a second, and more is a day.
pub(super) fn seconds_to_wait_at_most() -> impl TypedValueParser<Value = u64> {
    clap::value_parser!(u64).map(|seconds| seconds.clamp(1, LONGEST_WAIT))
}

/// Which instance is meant.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Instance {
    /// The base directory: one directory is one instance [default: ~/.unbound]
    #[arg(long, env = "UNBOUND_BASE_DIR", value_name = "DIR", global = true, value_parser = path_or_nothing())]
    base_dir: Option<PathBuf>,
}

impl Instance {
    /// The files of the instance, absolute; nothing is created.
    pub(super) fn paths(&self) -> Result<Paths, Failure> {
        let given = self.base_dir.clone().filter(|d| !d.as_os_str().is_empty());
        let base = match given {
            Some(dir) => std::path::absolute(&dir).map_err(|e| {
                Failure::new(
                    Exit::Config,
                    format!("base directory {}: {e}", dir.display()),
                )
            })?,
            None => default_base()?,
        };
        Ok(Paths::new(base))
    }

    /// Whether nobody said which.
    pub(super) fn is_default(&self) -> bool {
        self.base_dir
            .as_ref()
            .is_none_or(|dir| dir.as_os_str().is_empty())
    }

    /// As [`Self::paths`], and the base directory exists, is ours and private,
    /// and nobody else can put another in its place.
    pub(super) fn create(&self) -> Result<Paths, Failure> {
        let paths = self.paths()?;
        private_directory(paths.base())?;
        refuse_replaceable(paths.base())?;
        Ok(paths)
    }
}

/// Whether this is the base directory where nobody says which.
pub(super) fn is_default_base(base: &Path) -> bool {
    default_base().is_ok_and(|default| default == base)
}

fn default_base() -> Result<PathBuf, Failure> {
    let home = directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_path_buf());
    let home = home.filter(|dir| dir.is_absolute()).ok_or_else(|| {
        Failure::new(
            Exit::Config,
            "there is no home directory to keep the base directory in",
        )
        .hint("set UNBOUND_BASE_DIR or give --base-dir")
    })?;
    Ok(home.join(".unbound"))
}

/// Makes `dir` (0700) if it is missing; refuses one that others could change.
pub(super) fn private_directory(dir: &Path) -> Result<(), Failure> {
    let cannot = |e: io::Error| {
        let error = format!("failed to make directory {}: {e}", dir.display());
        Failure::new(Exit::of_call(&e, Exit::CannotCreate), error).hint("choose another --base-dir")
    };
    if let Ok(there) = fs::metadata(dir).or_else(|_| fs::symlink_metadata(dir))
        && !there.is_dir()
    {
        let to_nothing = if there.is_symlink() {
            " to nothing"
        } else {
            ""
        };
        let kind = plain_file::kind(there.file_type());
        let error = format!("{} is {kind}{to_nothing}, not a directory", dir.display());
        let hint = "move it away, or choose another directory";
        return Err(Failure::new(Exit::CannotCreate, error).hint(hint));
    }
    match fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
    {
        Ok(()) => {}
        Err(e) => return Err(cannot(e)),
    }
    let meta = fs::metadata(dir).map_err(cannot)?;
    let own = nix::unistd::geteuid().as_raw();
    if meta.uid() != own {
        let error = format!(
            "{} belongs to user {}, not to us ({own})",
            dir.display(),
            meta.uid()
        );
        return Err(Failure::new(Exit::Permission, error).hint("choose another --base-dir"));
    }
    if meta.mode() & 0o022 != 0 {
        let error = format!(
            "others can write to {} (mode {:03o})",
            dir.display(),
            meta.mode() & 0o777
        );
        let hint = format!("chmod go-w {}", shell::path(dir));
        return Err(Failure::new(Exit::Permission, error).hint(hint));
    }
    Ok(())
}

/// How much the program logs.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Logging {
    /// Log decisions too
    #[arg(long)]
    pub(super) debug: bool,
    /// A log filter in tracing's syntax, such as falco=trace
    #[arg(long, env = "FALCO_LOG", value_name = "FILTER", hide = true)]
    pub(super) log_filter: Option<String>,
}

impl Logging {
    /// The arguments that hand this on to another `falco`.
    pub(super) fn to_args(&self) -> Vec<String> {
        let debug = self.debug.then(|| "--debug".to_owned());
        // As everywhere: blank means unset.
        let filter = self.log_filter.iter().filter(|f| !f.trim().is_empty());
        let filter = filter.map(|f| format!("--log-filter={f}"));
        debug.into_iter().chain(filter).collect()
    }

    pub(super) fn verbosity(&self) -> Verbosity {
        Verbosity {
            debug: self.debug,
            filter: self.log_filter.clone(),
            plain: std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_however_long_anybody_waits_is_waited_for_a_second_at_least() {
        let parser = seconds_to_wait_at_most();
        let read = |text: &str| parser.parse_ref(&Command::new("stop"), None, text.as_ref());
        for (said, meant) in [("0", 1), ("7", 7), ("86401", LONGEST_WAIT)] {
            assert_eq!(read(said).unwrap(), meant);
        }
    }
}
