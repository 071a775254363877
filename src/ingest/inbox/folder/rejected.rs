//! What people are told of lines that are no effects.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;

use nix::libc;

use super::super::cut::Reject;
use super::super::file::{Document, Opened};
use super::{Folder, FolderError, Found, io_error, sync};

impl Folder {
    /// Writes down, for people, what was rejected; after a crash perhaps twice.
    /// Lines are counted as `counted` says. Returns the numbers of the lines.
    pub(in super::super) fn reject(
        &self,
        found: &Found,
        rejects: &[Reject],
        counted: &mut Counted,
    ) -> Result<Vec<Option<u64>>, FolderError> {
        self.is_ours()?;
        let numbers = self.numbers(found, rejects, counted);
        let path = self.rejected().join(&found.name);
        let failed = |source| io_error("write", &path, source);
        let file = found.name.to_string_lossy();
        let mut text = Vec::new();
        for (Reject { at, reason, line }, number) in rejects.iter().zip(&numbers) {
            let line = String::from_utf8_lossy(line);
            let told = serde_json::json!({
                "file": file, "number": number, "offset": at, "reason": reason, "line": line,
            });
            text.extend(format!("{told}\n").into_bytes());
        }
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600);
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let mut file = options.custom_flags(flags).open(&path).map_err(failed)?;
        file.write_all(&text).map_err(failed)?;
        file.sync_data().map_err(failed)?;
        sync(&self.rejected()).map_err(failed)?;
        Ok(numbers)
    }

    /// Which lines of a file they are, the first being 1; unknown, if the file
    /// cannot be read any more.
    fn numbers(
        &self,
        found: &Found,
        rejects: &[Reject],
        counted: &mut Counted,
    ) -> Vec<Option<u64>> {
        let opened = Document::open(&self.path.join(&found.name), None);
        let Ok(Opened::Open(document)) = opened else {
            return vec![None; rejects.len()];
        };
        if document.inode != found.inode || counted.go_on(&document).is_err() {
            return vec![None; rejects.len()];
        }
        let mut counted = *counted;
        let mut number = |reject: &Reject| {
            counted.to = reject.at;
            counted.go_on(&document).ok()
        };
        rejects.iter().map(&mut number).collect()
    }
}

/// How many lines of a file end before a place, as far as they were counted.
#[derive(Debug, Clone, Copy, Default)]
pub(in super::super) struct Counted {
    at: u64,
    lines: u64,
    /// Where they are to be counted to: the piece that is taken begins there.
    to: u64,
}

impl Counted {
    /// The same, for the piece that begins at `to`.
    pub(in super::super) fn up_to(self, to: u64) -> Self {
        Self { to, ..self }
    }

    /// Counts; returns the number of the line that begins there.
    fn go_on(&mut self, document: &Document) -> io::Result<u64> {
        if self.to < self.at {
            // It was written anew.
            *self = Self::default().up_to(self.to);
        }
        self.lines += document.lines_between(self.at, self.to)?;
        self.at = self.to;
        Ok(self.lines + 1)
    }
}
