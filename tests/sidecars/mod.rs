//! Sidecars beside the built-in parts.

mod answering;
mod checking;
mod commanding;
mod failing;
mod finishing;
mod guarded;
mod reloading;
mod requiring;
mod saying;

use std::fs;
use std::path::{Path, PathBuf};

use crate::base::Base;

/// A sidecar that a shell runs, and more of its table.
fn shell(name: &str, script: &str, more: &str) -> String {
    format!(
        "[[sidecar]]\nname = \"{name}\"\ncommand = \"sh\"\nargs = [\"-c\", '''{script}''']\n{more}\n"
    )
}

/// A sidecar in Python, and more of its table.
fn python(name: &str, script: &str, more: &str) -> String {
    format!(
        "[[sidecar]]\nname = \"{name}\"\ncommand = \"python3\"\nargs = [\"-c\", '''\n{script}\n''']\n{more}\n"
    )
}

fn count_lines(file: &Path) -> usize {
    fs::read_to_string(file).unwrap_or_default().lines().count()
}

fn file(base: &Base, name: &str) -> PathBuf {
    base.dir().join(name)
}
