//! Producers that append to a file or drop others, and what they wrote where.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::journal::Journal;

/// What a producer does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    /// To the file for that; of the last line perhaps one half only.
    Append { lines: u8, is_half: bool },
    /// A line that is no effect, to the same.
    Spoil,
    /// That file is written anew.
    Rewrite,
    /// It gets another name, and so is complete.
    Rotate,
    /// A complete file comes, the last line of which may have no LF.
    Drop { lines: u8, has_lf: bool },
    /// To the last such file, if it is still there.
    Grow,
}

/// What was written, and where.
pub(super) struct Producers {
    pub(super) inbox: PathBuf,
    /// Where files are made before they are dropped.
    aside: PathBuf,
    pub(super) numbers: u32,
    files: u32,
    /// The rest of a line that was begun.
    half: Option<String>,
    /// Lines appended; and those in the file that has the name for that.
    pub(super) appended: BTreeSet<u32>,
    here: Vec<u32>,
    /// Of each file its lines, and whether it ends with an LF: of one that does not
    /// nobody knows for how long it may be waited for.
    pub(super) dropped: Vec<(Vec<u32>, bool)>,
    /// The last file that was dropped, and whether it ends with an LF.
    last: Option<(PathBuf, bool)>,
    /// Written over: perhaps nobody has read them.
    pub(super) gone: BTreeSet<u32>,
}

impl Producers {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            inbox: folder.join("inbox"),
            aside: folder.join("aside"),
            numbers: 0,
            files: 0,
            half: None,
            appended: BTreeSet::new(),
            here: Vec::new(),
            dropped: Vec::new(),
            last: None,
            gone: BTreeSet::new(),
        }
    }

    fn line(&mut self) -> (u32, String) {
        self.numbers += 1;
        let number = self.numbers;
        let line = format!(r#"{{"type":"t","channel":"c","payload":{number}}}"#);
        (number, line)
    }

    fn external(&self) -> PathBuf {
        self.inbox.join("external.jsonl")
    }

    fn write(path: &PathBuf, text: &str) {
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(path);
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn has_appended(&mut self, number: u32) {
        self.appended.insert(number);
        self.here.push(number);
    }

    pub(super) fn end_line(&mut self) {
        if let Some(rest) = self.half.take() {
            Self::write(&self.external(), &rest);
        }
    }

    fn fresh_path(&mut self) -> PathBuf {
        self.files += 1;
        self.inbox.join(format!("{:03}.jsonl", self.files))
    }

    pub(super) fn act(&mut self, act: Act, journal: &Journal) {
        match act {
            Act::Append { lines, is_half } => {
                self.end_line();
                for left in (0..lines).rev() {
                    let (number, line) = self.line();
                    self.has_appended(number);
                    let line = format!("{line}\n");
                    let is_half = is_half && left == 0;
                    let at = if is_half { line.len() / 2 } else { line.len() };
                    Self::write(&self.external(), &line[..at]);
                    self.half = is_half.then(|| line[at..].to_owned());
                }
            }
            Act::Spoil => {
                self.end_line();
                Self::write(&self.external(), "nonsense\n");
            }
            Act::Rewrite => {
                self.half = None;
                let here = std::mem::take(&mut self.here).into_iter();
                self.gone
                    .extend(here.filter(|number| !journal.has(*number)));
                if self.external().exists() {
                    let (number, line) = self.line();
                    self.has_appended(number);
                    fs::write(self.external(), format!("{line}\n")).unwrap();
                }
            }
            Act::Rotate => {
                self.end_line();
                let to = self.fresh_path();
                _ = fs::rename(self.external(), to);
                self.here.clear();
            }
            Act::Drop { lines, has_lf } => {
                let mut numbers = Vec::new();
                let lines = (0..lines).map(|_| {
                    let (number, line) = self.line();
                    numbers.push(number);
                    line
                });
                let mut text = lines.collect::<Vec<_>>().join("\n");
                text.extend(has_lf.then_some('\n'));
                fs::write(&self.aside, text).unwrap();
                let path = self.fresh_path();
                fs::rename(&self.aside, &path).unwrap();
                self.dropped.push((numbers, has_lf));
                self.last = Some((path, has_lf));
            }
            Act::Grow => self.grow(),
        }
    }

    fn grow(&mut self) {
        let Some((path, has_lf)) = self.last.clone().filter(|(path, _)| path.exists()) else {
            return;
        };
        let (number, line) = self.line();
        let lf = if has_lf { "" } else { "\n" };
        Self::write(&path, &format!("{lf}{line}\n"));
        self.last = Some((path, true));
        let (numbers, has_lf) = self.dropped.last_mut().unwrap();
        numbers.push(number);
        *has_lf = true;
    }
}
