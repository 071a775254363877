//! The logs there are.

use std::io;
use std::path::{Path, PathBuf};

use crate::cli::config::{self, BROKER};
use crate::cli::exit::{Exit, Failure};
use crate::cli::{output, typed};
use crate::logfile::older;
use crate::paths::Paths;

/// What names take at least, so that most logs stand in one column.
pub(super) const NAME_WIDTH: usize = 9;

/// A log by name.
pub(super) struct Log {
    pub(super) name: String,
    pub(super) path: PathBuf,
}

impl Log {
    /// `NAME.log` is a log; older files of it and the boot log are not.
    fn of(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_suffix(".log")?.to_owned();
        (!name.contains('.')).then_some(Self { name, path })
    }

    /// The files there are of it, newest first.
    fn files(&self) -> Vec<PathBuf> {
        let old = (1..).map(|n| older(&self.path, n));
        let current = Some(self.path.clone()).filter(|p| p.exists());
        let old = old.take_while(|p| p.exists());
        current.into_iter().chain(old).collect()
    }

    /// Whether nothing was ever written to it.
    pub(super) fn is_silent(&self) -> bool {
        !self.path.exists() && !older(&self.path, 1).exists()
    }
}

pub(super) fn width(logs: &[Log]) -> usize {
    let longest = logs.iter().map(|log| log.name.chars().count()).max();
    longest.unwrap_or(0).max(NAME_WIDTH)
}

pub(super) fn list(directory: &Path) -> std::io::Result<Vec<Log>> {
    let entries = std::fs::read_dir(directory)?;
    let paths = entries.filter_map(|e| Some(e.ok()?.path()));
    let mut logs: Vec<Log> = paths.filter_map(Log::of).collect();
    logs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(logs)
}

/// Nothing that could be told is there, or it cannot be read.
fn no_logs(paths: &Paths, directory: &Path, error: &io::Error) -> Failure {
    let directory = directory.display();
    if error.kind() == io::ErrorKind::NotFound {
        let error = format!("there are no logs: {directory}: {error}");
        return Failure::new(Exit::Failed, error)
            .hint(format!("{} writes some", typed::falco(paths, "up")));
    }
    let exit = Exit::of_call(error, Exit::Failed);
    Failure::new(exit, format!("failed to list {directory}: {error}"))
}

/// The logs that are asked for; one of a part that has not written anything
/// has no file.
pub(super) fn logs(paths: &Paths, names: &[String]) -> Result<Vec<Log>, Failure> {
    let directory = paths.logs();
    let mut logs = list(&directory).map_err(|e| no_logs(paths, &directory, &e))?;
    for name in names {
        if logs.iter().all(|log| log.name != *name) {
            let all: Vec<_> = logs.iter().map(|log| log.name.as_str()).collect();
            check_silent(paths, name, &all)?;
            let path = directory.join(format!("{name}.log"));
            logs.push(Log {
                name: name.clone(),
                path,
            });
        }
    }
    logs.retain(|f| names.is_empty() || names.contains(&f.name));
    Ok(logs)
}

/// Whether `name`, which has no log, is a part that will have one.
fn check_silent(paths: &Paths, name: &str, all: &[&str]) -> Result<(), Failure> {
    if name == BROKER {
        let error = "the broker has no log of its own: it runs inside the supervisor";
        return Err(Failure::new(Exit::Usage, error).hint(typed::falco(paths, "logs falco")));
    }
    if config::part_names(paths).iter().any(|part| part == name) {
        return Ok(());
    }
    let error = format!("there is no log {name:?}; there are {}", all.join(", "));
    Err(Failure::new(Exit::Usage, error))
}

/// Prints every file of `logs`, newest first: one a line, or all in one object.
pub(super) fn print_paths(logs: &[Log], json: bool) -> Result<(), Failure> {
    if json {
        return output::line(&object(logs)?.to_string());
    }
    logs.iter()
        .flat_map(Log::files)
        .try_for_each(|file| output::line(&file.display().to_string()))
}

fn object(logs: &[Log]) -> Result<serde_json::Value, Failure> {
    let mut all = Vec::new();
    for log in logs {
        let files = log.files();
        let files: Result<Vec<_>, _> = files.iter().map(|file| output::path_text(file)).collect();
        all.push(serde_json::json!({"name": log.name, "files": files?}));
    }
    Ok(serde_json::json!({"schema": 1, "logs": all}))
}
