//! Reads settings, each from the first place that has it: a flag, the
//! environment, the file, the default.
//!
//! Goes on after a mistake, so that all of them are told at once, and notes
//! every effective value with its origin. A key that nobody asked for is a
//! mistake too.

mod value;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::super::credentials::Variables;
use super::file::Text;
use super::kind;
use super::mistake::{Mistake, Place};
use super::origin::{Origin, Row};
use super::outside::Stands;
use super::secrets;
use super::tree::{Entry, Table, Value};
use crate::supervisor::sidecar::SidecarName;

/// What goes before the file.
#[derive(Debug, Default)]
pub(in super::super) struct Given {
    /// Flags: the key they set, their name, what they said.
    pub(super) flags: Vec<(&'static str, &'static str, String)>,
    /// The environment.
    pub(super) variables: Variables,
}

impl Given {
    pub(in super::super) fn new(variables: Variables) -> Self {
        let flags = Vec::new();
        Self { flags, variables }
    }

    /// With a flag that sets `key`; one that only repeats what `variable` says
    /// is that variable.
    pub(in super::super) fn flag(
        mut self,
        key: &'static str,
        flag: &'static str,
        variable: &str,
        value: Option<&str>,
    ) -> Self {
        let set = value.filter(|text| !text.trim().is_empty());
        let repeated = self.variables.get(OsStr::new(variable));
        if let Some(text) = set.filter(|text| repeated.is_none_or(|v| v != *text)) {
            self.flags.push((key, flag, text.to_owned()));
        }
        self
    }
}

/// Everything that was read so far.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    text: &'a Text,
    given: &'a Given,
    base: &'a Path,
    home: Option<PathBuf>,
    pub(super) rows: Vec<Row>,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) warnings: Vec<Mistake>,
    /// Where each sidecar names what is outside of the file.
    pub(super) stands: BTreeMap<SidecarName, Stands>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a Text, given: &'a Given, base: &'a Path) -> Self {
        let dirs = directories::BaseDirs::new();
        Self {
            text,
            given,
            base,
            home: dirs.map(|dirs| dirs.home_dir().to_path_buf()),
            rows: Vec::new(),
            mistakes: Vec::new(),
            warnings: Vec::new(),
            stands: BTreeMap::new(),
        }
    }

    /// The file's top level.
    pub(super) fn top<'r>(&'r mut self, table: &'a Table) -> Section<'r, 'a> {
        Section {
            reader: self,
            name: String::new(),
            table: Some(table),
            known: Vec::new(),
        }
    }

    pub(super) fn mistake(&mut self, span: Range<usize>, key: &str, text: impl Into<String>) {
        let mistake = self.at(span, key, text.into());
        self.mistakes.push(mistake);
    }

    fn at(&self, span: Range<usize>, key: &str, text: String) -> Mistake {
        Mistake {
            place: self.text.place(span.start),
            key: key.to_owned(),
            text,
        }
    }
}

/// One table of the file, or what would be there.
pub(super) struct Section<'r, 'a> {
    pub(super) reader: &'r mut Reader<'a>,
    /// `transport`; empty at the top.
    pub(super) name: String,
    table: Option<&'a Table>,
    /// The keys somebody asked for.
    known: Vec<&'static str>,
}

impl<'a> Section<'_, 'a> {
    /// Notes a mistake about `key`.
    pub(super) fn wrong(&mut self, key: &str, span: Range<usize>, text: impl Into<String>) {
        let full = self.full(key);
        self.reader.mistake(span, &full, text);
    }

    /// Notes a mistake about the value of `key`.
    pub(super) fn wrong_value(&mut self, key: &str, text: impl Into<String>) {
        let span = self.value_span(key);
        self.wrong(key, span, text);
    }

    /// Calls this table something else from here on.
    pub(super) fn rename(&mut self, name: String) {
        self.name = name;
    }

    /// Whether something in this table was wrong.
    pub(super) fn has_mistakes(&self) -> bool {
        let inside = format!("{}.", self.name);
        let mut mistakes = self.reader.mistakes.iter();
        mistakes.any(|mistake| mistake.key.starts_with(&inside))
    }

    /// Where the value of `key` stands.
    pub(super) fn value_span(&self, key: &str) -> Range<usize> {
        let entry = self.entry(key);
        entry.map_or(self.span(), |entry| entry.node.span.clone())
    }

    /// Where a byte range of the file begins, for people.
    pub(super) fn place(&self, span: Range<usize>) -> Place {
        self.reader.text.place(span.start)
    }

    /// Where the value of `key`, which was noted last, was given.
    pub(super) fn last_decided(&self, key: &str) -> Place {
        match self.reader.rows.last().map(|row| &row.origin) {
            Some(Origin::Variable(name)) => Place::Variable(name),
            Some(Origin::Flag(name)) => Place::Flag(name),
            _ => self.place(self.value_span(key)),
        }
    }

    /// A path as text, wherever it starts.
    pub(super) fn resolve(&self, path: &str) -> String {
        let (base, home) = self.places();
        let home = home.as_deref();
        let path = kind::Place { base, home }.resolve(path);
        path.display().to_string()
    }

    /// Notes what should be looked at.
    pub(super) fn warn(&mut self, key: &str, span: Range<usize>, text: impl Into<String>) {
        let full = self.full(key);
        let warning = self.reader.at(span, &full, text.into());
        self.reader.warnings.push(warning);
    }

    pub(super) fn note(&mut self, key: &str, value: String, origin: Origin) {
        let key = self.full(key);
        self.reader.rows.push(Row { key, value, origin });
    }

    /// Notes that `key` has a value in the file that is better not shown.
    pub(super) fn note_set(&mut self, key: &str) {
        let (table, name) = key.split_once('.').unwrap_or((key, ""));
        let inside = match self.entry(table).map(|entry| &entry.node.value) {
            Some(Value::Table(inside)) => inside.get(name),
            _ => None,
        };
        let at = inside.map_or(0, |entry| entry.node.span.start);
        let (line, _) = self.reader.text.line_and_column(at);
        self.note(key, "(set)".to_owned(), Origin::File { line });
    }

    /// How paths are read.
    pub(super) fn places(&self) -> (&'a Path, Option<PathBuf>) {
        (self.reader.base, self.reader.home.clone())
    }

    /// Where `key` and its value stand in the file.
    pub(super) fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.table?.get(key)
    }

    /// Which keys the file has here.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// Where this table's first key stands; the file's start if it has none.
    pub(super) fn span(&self) -> Range<usize> {
        let entries = self.table.into_iter().flat_map(|table| &table.0);
        let first = entries
            .map(|entry| entry.span.clone())
            .min_by_key(|span| span.start);
        first.unwrap_or(0..0)
    }

    /// The table called `key`.
    pub(super) fn section<'s>(&'s mut self, key: &'static str) -> Section<'s, 'a> {
        self.known.push(key);
        let node = self.entry(key).map(|entry| &entry.node);
        let table = match node.map(|node| (&node.value, &node.span)) {
            None => None,
            Some((Value::Table(table), _)) => Some(table),
            Some((other, span)) => {
                let text = format!("expected a table, found {}", other.describe());
                self.wrong(key, span.clone(), text);
                None
            }
        };
        Section {
            name: self.full(key),
            reader: self.reader,
            table,
            known: Vec::new(),
        }
    }

    /// The tables of the list called `key`.
    pub(super) fn list(&mut self, key: &'static str) -> Vec<&'a Table> {
        self.known.push(key);
        let Some(Entry { node, .. }) = self.entry(key) else {
            return Vec::new();
        };
        let Value::List(items) = &node.value else {
            self.wrong(key, node.span.clone(), format!("write it as [[{key}]]"));
            return Vec::new();
        };
        let tables = items.iter().filter_map(|item| match &item.value {
            Value::Table(table) => Some(table),
            other => {
                let text = format!("expected a table, found {}", other.describe());
                self.wrong(key, item.span.clone(), text);
                None
            }
        });
        tables.collect()
    }

    /// One table of a list.
    pub(super) fn item<'s>(&'s mut self, name: String, table: &'a Table) -> Section<'s, 'a> {
        Section {
            reader: self.reader,
            name,
            table: Some(table),
            known: Vec::new(),
        }
    }

    /// A table of texts with any keys, each with where it stands.
    pub(super) fn pairs(&mut self, key: &'static str) -> BTreeMap<String, (String, Range<usize>)> {
        let section = self.section(key);
        let mut pairs = BTreeMap::new();
        for Entry { key, node, .. } in section.table.into_iter().flat_map(|table| &table.0) {
            match &node.value {
                Value::Text(text) => {
                    pairs.insert(key.clone(), (text.clone(), node.span.clone()));
                }
                other => {
                    let text = format!("expected text in quotes, found {}", other.describe());
                    section
                        .reader
                        .mistake(node.span.clone(), &section.full(key), text);
                }
            }
        }
        pairs
    }

    /// `transport.format`.
    pub(super) fn full(&self, key: &str) -> String {
        match self.name.as_str() {
            "" => key.to_owned(),
            name => format!("{name}.{key}"),
        }
    }

    /// Every key must have been asked for by now.
    pub(super) fn finish(self) {
        for Entry { key, span, node } in self.table.into_iter().flat_map(|table| &table.0) {
            if self.known.contains(&key.as_str()) {
                continue;
            }
            let is_table = matches!(node.value, Value::Table(_));
            let text = secrets::belongs_elsewhere(key)
                .unwrap_or_else(|| unknown(key, &self.known, is_table));
            let full = self.full(key);
            self.reader.mistake(span.clone(), &full, text);
        }
    }
}

/// What to say of a key that means nothing.
fn unknown(key: &str, known: &[&str], is_table: bool) -> String {
    let what = if is_table { "section" } else { "key" };
    match closest(key, known) {
        Some(meant) => format!("unknown {what}; did you mean {meant:?}?"),
        None => format!("unknown {what}; there are {}", known.join(", ")),
    }
}

/// The word that `text` is most likely a slip of.
pub(super) fn closest<'k>(text: &str, known: &[&'k str]) -> Option<&'k str> {
    let scored = known
        .iter()
        .map(|word| (strsim::jaro_winkler(text, word), *word));
    let likely = scored.filter(|(score, _)| 0.8 <= *score);
    let best = likely.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.map(|(_, word)| word)
}
