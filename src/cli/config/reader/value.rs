//! One value: found in the first place that has it, noted with its origin.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::super::kind::{self, Kind, Written};
use super::super::mistake::{Mistake, Place};
use super::super::origin::Origin;
use super::Section;

impl Section<'_, '_> {
    /// A value, or `default`.
    pub(in super::super) fn setting<K: Kind>(
        &mut self,
        key: &'static str,
        variable: Option<&'static str>,
        kind: &K,
        default: K::Value,
    ) -> K::Value {
        self.decide(key, variable, kind, default).0
    }

    /// As [`Self::setting`], with who decided it.
    pub(in super::super) fn decide<K: Kind>(
        &mut self,
        key: &'static str,
        variable: Option<&'static str>,
        kind: &K,
        default: K::Value,
    ) -> (K::Value, Origin) {
        let found = self.find(key, variable, kind);
        let (value, origin) = found.unwrap_or((default, Origin::Default));
        self.note(key, kind.show(&value), origin.clone());
        (value, origin)
    }

    /// A value, if anybody gave one; `absent` says what that means.
    pub(in super::super) fn optional<K: Kind>(
        &mut self,
        key: &'static str,
        variable: Option<&'static str>,
        kind: &K,
        absent: &str,
    ) -> Option<K::Value> {
        let found = self.decide_optional(key, variable, kind, absent);
        found.map(|(value, _)| value)
    }

    /// As [`Self::optional`], with who decided it.
    pub(in super::super) fn decide_optional<K: Kind>(
        &mut self,
        key: &'static str,
        variable: Option<&'static str>,
        kind: &K,
        absent: &str,
    ) -> Option<(K::Value, Origin)> {
        let found = self.find(key, variable, kind);
        match &found {
            Some((value, origin)) => self.note(key, kind.show(value), origin.clone()),
            None => self.note(key, format!("({absent})"), Origin::Default),
        }
        found
    }

    /// A value of the file alone; not shown where there is none.
    pub(in super::super) fn given<K: Kind>(
        &mut self,
        key: &'static str,
        kind: &K,
    ) -> Option<K::Value> {
        let (value, origin) = self.find(key, None, kind)?;
        self.note(key, kind.show(&value), origin);
        Some(value)
    }

    /// A value of the file that must be there.
    pub(in super::super) fn required<K: Kind>(
        &mut self,
        key: &'static str,
        kind: &K,
    ) -> Option<K::Value> {
        let found = self.given(key, kind);
        if found.is_none() && !self.has(key) {
            self.missing(key);
        }
        found
    }

    /// Notes that `key` has to be there.
    pub(in super::super) fn missing(&mut self, key: &str) {
        let (span, name) = (self.span(), self.name.clone());
        self.reader
            .mistake(span, &name, format!("{key} is missing"));
    }

    fn find<K: Kind>(
        &mut self,
        key: &'static str,
        variable: Option<&'static str>,
        kind: &K,
    ) -> Option<(K::Value, Origin)> {
        self.known.push(key);
        // Looked at even if something goes before it: a mistake is a mistake.
        let from_file = self.in_file(key, kind);
        let from_flag = self.in_flag(key, kind);
        let from_variable = variable.and_then(|name| self.in_variable(key, name, kind));
        from_flag.or(from_variable).or(from_file)
    }

    fn in_file<K: Kind>(&mut self, key: &str, kind: &K) -> Option<(K::Value, Origin)> {
        let node = &self.entry(key)?.node;
        let (line, _) = self.reader.text.line_and_column(node.span.start);
        match kind.read(Written::File(&node.value)) {
            Ok(value) => Some((value, Origin::File { line })),
            Err(text) => {
                self.wrong(key, node.span.clone(), text);
                None
            }
        }
    }

    fn in_flag<K: Kind>(&mut self, key: &str, kind: &K) -> Option<(K::Value, Origin)> {
        let full = self.full(key);
        let given = self.reader.given;
        let (_, flag, text) = given.flags.iter().find(|(set, ..)| *set == full)?;
        match kind.read(Written::Text(text)) {
            Ok(value) => Some((value, Origin::Flag(flag))),
            Err(text) => {
                self.wrong_outside(Place::Flag(flag), key, text);
                None
            }
        }
    }

    fn in_variable<K: Kind>(
        &mut self,
        key: &str,
        name: &'static str,
        kind: &K,
    ) -> Option<(K::Value, Origin)> {
        let value = self.reader.given.variables.get(OsStr::new(name))?;
        let read = match value.to_str().map(str::trim) {
            Some("") => return None,
            Some(text) => kind.read(Written::Text(text)),
            None => Err("it is not text".to_owned()),
        };
        match read {
            Ok(value) => Some((value, Origin::Variable(name))),
            Err(text) => {
                self.wrong_outside(Place::Variable(name), key, text);
                None
            }
        }
    }

    fn wrong_outside(&mut self, place: Place, key: &str, text: String) {
        let key = self.full(key);
        self.reader.mistakes.push(Mistake { place, key, text });
    }

    pub(in super::super) fn path(
        &mut self,
        key: &'static str,
        variable: Option<&'static str>,
    ) -> Option<PathBuf> {
        let (base, home) = self.places();
        let kind = kind::Place {
            base,
            home: home.as_deref(),
        };
        let (value, origin) = self.find(key, variable, &kind)?;
        self.note(key, kind.show(&value), origin);
        Some(value)
    }
}
