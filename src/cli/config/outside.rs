//! What the configuration names outside of `falco.toml`: the programs,
//! directories and files of variables of sidecars, and a transport that is not
//! ours.
//!
//! Looked at only when somebody asks what is wrong, as `config check` and
//! `doctor` do. A start finds out by itself: a program that is not there today
//! may be there when it is started again.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::super::credentials::Variables;
use super::super::env_file::{self, EnvFileError, Variable};
use super::super::program::{self, Search};
use super::mistake::{Mistake, Place};
use super::reader::Section;
use super::{Loaded, SidecarSpec};
use crate::supervisor::sidecar::{AliveWhen, Check, ReadyWhen};

/// Where in the file a sidecar names what is outside of it.
#[derive(Debug, Clone)]
pub(super) struct Stands {
    command: Place,
    cwd: Place,
    env_file: Place,
    readiness: Place,
    liveness: Place,
}

impl Stands {
    pub(super) fn of(sidecar: &Section) -> Self {
        let at = |key| sidecar.place(sidecar.value_span(key));
        Self {
            command: at("command"),
            cwd: at("cwd"),
            env_file: at("env_file"),
            readiness: at("readiness"),
            liveness: at("liveness"),
        }
    }
}

/// What is to be looked at, and from where.
#[derive(Debug, Clone)]
pub(in super::super) struct Outside {
    sidecars: Vec<(SidecarSpec, Stands)>,
    /// The program that is the transport, and where that is said.
    transport: Option<(PathBuf, Place)>,
    base: PathBuf,
    /// The directory of our executable.
    beside: Option<PathBuf>,
    variables: Variables,
}

/// What was found there.
#[derive(Debug, Default)]
pub(in super::super) struct Found {
    /// What would keep a sidecar from starting.
    pub(in super::super) mistakes: Vec<Mistake>,
    /// What should be looked at.
    pub(in super::super) warnings: Vec<Mistake>,
}

impl Outside {
    pub(in super::super) fn of(
        loaded: &Loaded,
        base: &Path,
        beside: Option<PathBuf>,
        variables: Variables,
    ) -> Self {
        let stands = |spec: &SidecarSpec| loaded.stands.get(&spec.name).cloned();
        let all = loaded.config.sidecars.iter();
        let transport = &loaded.config.transport;
        let binary = transport.binary.clone();
        Self {
            transport: binary.zip(transport.binary_place.clone()),
            sidecars: all
                .filter_map(|spec| Some((spec.clone(), stands(spec)?)))
                .collect(),
            base: base.to_path_buf(),
            beside,
            variables,
        }
    }

    /// How many sidecars there are.
    pub(in super::super) fn count(&self) -> usize {
        self.sidecars.len()
    }

    /// Looks whether the program that is the transport can be started; waits for
    /// the disk.
    pub(in super::super) fn examine_transport(&self) -> Option<Mistake> {
        let (program, place) = self.transport.as_ref()?;
        let error = program::check(program).err()?;
        Some(Mistake {
            place: place.clone(),
            key: "transport.binary".to_owned(),
            text: error.to_string(),
        })
    }

    /// Looks at everything of the sidecars; waits for the disk.
    pub(in super::super) fn examine(&self) -> Found {
        let mut found = Found::default();
        for (spec, stands) in &self.sidecars {
            let variables = found.env_file(spec, stands);
            found.directory(spec, stands);
            let search = Search {
                base: &self.base,
                beside: self.beside.clone(),
                path: self.path(spec, &variables),
            };
            for (key, place, program) in programs(spec, stands) {
                if let Err(error) = search.look(program) {
                    found.wrong(spec, key, place, error.to_string());
                }
            }
        }
        found
    }

    /// `PATH` as the sidecar has it.
    fn path(&self, spec: &SidecarSpec, from_file: &[Variable]) -> Option<OsString> {
        let own = spec.env.0.get("PATH");
        let mut lines = from_file.iter().rev();
        let in_file = || lines.find(|v| v.name == "PATH").map(|v| &v.value);
        let inherited = self.variables.get(std::ffi::OsStr::new("PATH")).cloned();
        own.or_else(in_file).map(OsString::from).or(inherited)
    }
}

/// Every program a sidecar names, and where.
fn programs<'a>(
    spec: &'a SidecarSpec,
    stands: &'a Stands,
) -> impl Iterator<Item = (&'static str, &'a Place, &'a str)> {
    let asked = match &spec.readiness.when {
        ReadyWhen::Answers(check) => asker(check),
        _ => None,
    };
    let watched = spec.liveness.as_ref().and_then(|l| match &l.when {
        AliveWhen::Answers(check) => asker(check),
        AliveWhen::Watchdog => None,
    });
    let command = ("command", &stands.command, spec.command.as_str());
    let asked = asked.map(|program| ("readiness.command", &stands.readiness, program));
    let watched = watched.map(|program| ("liveness.command", &stands.liveness, program));
    std::iter::once(command).chain(asked).chain(watched)
}

/// The program that asks.
fn asker(check: &Check) -> Option<&str> {
    match check {
        Check::Command { argv } => argv.first().map(String::as_str),
        _ => None,
    }
}

impl Found {
    fn wrong(&mut self, spec: &SidecarSpec, key: &str, place: &Place, text: impl Into<String>) {
        self.mistakes.push(mistake(spec, key, place, text));
    }

    fn directory(&mut self, spec: &SidecarSpec, stands: &Stands) {
        let Some(cwd) = &spec.cwd else { return };
        let trouble = match fs::metadata(cwd) {
            Ok(meta) if meta.is_dir() => return,
            Ok(_) => "it is no directory".to_owned(),
            Err(error) => error.to_string(),
        };
        let text = format!("{}: {trouble}", cwd.display());
        self.wrong(spec, "cwd", &stands.cwd, text);
    }

    /// The variables of its file, as far as there are any.
    fn env_file(&mut self, spec: &SidecarSpec, stands: &Stands) -> Vec<Variable> {
        const KEY: &str = "env_file";
        let Some(path) = &spec.env_file else {
            return Vec::new();
        };
        let in_file = |line, column| Place::File {
            path: path.clone(),
            line,
            column,
        };
        match env_file::read(path) {
            Ok(variables) => {
                for (at, twice) in variables.iter().enumerate() {
                    if let Some(later) = variables[at + 1..].iter().find(|v| v.name == twice.name) {
                        let text = format!("{} is set again in line {}", twice.name, later.line);
                        let place = in_file(twice.line, 1);
                        self.warnings.push(mistake(spec, KEY, &place, text));
                    }
                }
                return variables;
            }
            Err(EnvFileError::Line {
                line, column, text, ..
            }) => self.wrong(spec, KEY, &in_file(line, column), text),
            Err(error @ (EnvFileError::Read { .. } | EnvFileError::Untrusted { .. })) => {
                self.wrong(spec, KEY, &stands.env_file, error.to_string());
            }
        }
        Vec::new()
    }
}

fn mistake(spec: &SidecarSpec, key: &str, place: &Place, text: impl Into<String>) -> Mistake {
    Mistake {
        place: place.clone(),
        key: format!("sidecar.{}.{key}", spec.name),
        text: text.into(),
    }
}
