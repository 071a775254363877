//! The programs that the configuration puts beside the built-in parts.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::super::given_file;
use super::{Ingredients, own_program};
use crate::process::spawn::Spec;
use crate::supervisor::chain::{Pace, Plan};
use crate::supervisor::part::{
    Alive, AliveBy, Essence, Facts, Launch, PartSpec, ProcessPart, ReadyBy, Run,
};
use crate::supervisor::probe::{Probe, Question};
use crate::supervisor::sidecar::{AliveWhen, Check, Liveness, ReadyWhen, SidecarSpec};

/// The program that hears remote commands; by this name it is started as the
/// contract says.
const NAGATO: &str = "nagato";

/// Those of the configuration whose condition holds.
pub(super) fn sidecars(with: &Ingredients, logged_in: bool) -> Vec<PartSpec> {
    let all = with.config.sidecars.iter();
    let there = all.filter(|sidecar| sidecar.condition.holds(logged_in));
    there.map(|sidecar| part(with, sidecar)).collect()
}

fn part(with: &Ingredients, sidecar: &SidecarSpec) -> PartSpec {
    let recipe = Arc::new(Recipe {
        with: with.clone(),
        sidecar: sidecar.clone(),
    });
    let question = |check: &Check| {
        let recipe = Arc::clone(&recipe);
        Probe::Asked(Question {
            check: recipe.resolved(check),
            spawner: with.spawner.clone(),
            make: Arc::new(move |argv| recipe.command(argv)),
        })
    };
    let ready = match &sidecar.readiness.when {
        ReadyWhen::Answers(check) => ReadyBy::Probe(question(check)),
        ReadyWhen::Notify => ReadyBy::Notify,
        ReadyWhen::Descriptor => ReadyBy::Descriptor,
        ReadyWhen::Line(pattern) => ReadyBy::Line(pattern.clone()),
        ReadyWhen::Runs(so_long) => ReadyBy::Runs(*so_long),
    };
    let alive = sidecar.liveness.as_ref().map(|liveness| Alive {
        by: match &liveness.when {
            AliveWhen::Answers(check) => AliveBy::Probe(question(check)),
            AliveWhen::Watchdog => AliveBy::Watchdog {
                within: liveness.every,
            },
        },
        timeout: liveness.timeout,
    });
    PartSpec {
        plan: plan(sidecar),
        place: place(&sidecar.readiness.when),
        essence: recipe.essence(),
        run: Run::Process(Box::new(ProcessPart {
            launch: Box::new(move |_: &Facts| recipe.launch()),
            heeds_facts: false,
            ours: false,
            log_limits: sidecar.log,
            ready,
            alive,
            stop_signal: sidecar.stop.signal,
            notices: wants_notices(sidecar).then(|| with.paths.notices(sidecar.name.as_str())),
        })),
    }
}

fn wants_notices(sidecar: &SidecarSpec) -> bool {
    let watched = sidecar.liveness.as_ref().map(|liveness| &liveness.when);
    sidecar.readiness.when == ReadyWhen::Notify || watched == Some(&AliveWhen::Watchdog)
}

fn plan(sidecar: &SidecarSpec) -> Plan {
    let mut after: Vec<Arc<str>> = sidecar.after.iter().map(|on| on.as_str().into()).collect();
    if sidecar.name.as_str() == NAGATO && after.is_empty() {
        after.push("transport".into());
    }
    let pace = |liveness: &Liveness| Pace {
        every: liveness.every,
        failures: liveness.failures,
        resume_grace: liveness.resume_grace,
    };
    Plan {
        name: sidecar.name.as_str().into(),
        after,
        ready_within: sidecar.readiness.within,
        stop_grace: sidecar.stop.grace,
        restart: sidecar.restart.clone(),
        pace: sidecar.liveness.as_ref().map(pace),
    }
}

/// Where it listens, if that can be told from how it is asked.
fn place(ready: &ReadyWhen) -> String {
    match ready {
        ReadyWhen::Answers(Check::Unix { path, .. }) => path.display().to_string(),
        ReadyWhen::Answers(Check::Tcp { address }) => address.clone(),
        _ => String::new(),
    }
}

/// All it takes to start a sidecar, and what asks it.
struct Recipe {
    with: Ingredients,
    sidecar: SidecarSpec,
}

impl Recipe {
    fn launch(&self) -> Result<Launch, String> {
        let spec = Spec {
            args: self.args(),
            lease: Some(self.with.paths.lease_file(self.sidecar.name.as_str())),
            ..self.spec(&self.sidecar.command)?
        };
        Ok(Launch {
            spec,
            secrets: None,
            before: None,
        })
    }

    /// A command with the sidecar's environment and directory.
    fn command(&self, argv: &[String]) -> Result<Spec, String> {
        let (program, args) = argv.split_first().ok_or("there is no command")?;
        Ok(Spec {
            args: args.iter().map(OsString::from).collect(),
            ..self.spec(program)?
        })
    }

    fn spec(&self, program: &str) -> Result<Spec, String> {
        let base = self.with.paths.base();
        let directory = self.sidecar.cwd.as_deref().map(|cwd| base.join(cwd));
        Ok(Spec {
            program: self.find(program)?,
            arg0: None,
            args: Vec::new(),
            env: self.environment()?,
            directory: directory.unwrap_or_else(|| base.to_path_buf()),
            descriptors: Vec::new(),
            lease: None,
        })
    }

    fn args(&self) -> Vec<OsString> {
        let given = &self.sidecar.args;
        if self.sidecar.name.as_str() == NAGATO && given.is_empty() {
            let device = self.with.identity.device().to_string();
            return vec!["--device-id".into(), device.into()];
        }
        given.iter().map(OsString::from).collect()
    }

    /// What every child gets, where our sockets are, then what is in the file,
    /// then what is in the configuration.
    fn environment(&self) -> Result<Vec<(OsString, OsString)>, String> {
        let paths = &self.with.paths;
        let mut env = self.with.child_environment(&[]);
        let mut set = |name: OsString, value: OsString| {
            env.retain(|(known, _)| *known != name);
            env.push((name, value));
        };
        set("UNBOUND_ABLY_SOCKET".into(), paths.ably_socket().into());
        set("FALCO_SOCKET".into(), paths.falco_socket().into());
        if self.sidecar.name.as_str() == NAGATO {
            let socket = paths.base().join("nagato.sock");
            set("NAGATO_SOCKET".into(), socket.into());
        }
        for (name, value) in self.file_variables()? {
            set(name.into(), value.into());
        }
        for (name, value) in &self.sidecar.env.0 {
            set(name.into(), value.into());
        }
        Ok(env)
    }

    fn file_variables(&self) -> Result<Vec<(String, String)>, String> {
        let Some(path) = &self.sidecar.env_file else {
            return Ok(Vec::new());
        };
        let path = self.with.paths.base().join(path);
        let cannot = |e: io::Error| format!("env_file {}: {e}", path.display());
        let file = given_file::open(&path).map_err(cannot)?;
        let text = given_file::text(&file).map_err(cannot)?;
        variables(&text).map_err(|line| {
            let path = path.display();
            format!("env_file {path}: line {line} is not NAME=value")
        })
    }

    /// A path from the base directory, or a name: beside us, then in `PATH`.
    fn find(&self, program: &str) -> Result<PathBuf, String> {
        if program.contains('/') {
            return Ok(self.with.paths.base().join(program));
        }
        let own = own_program().map_err(|e| e.to_string())?;
        let path = self.with.variables.get(OsStr::new("PATH"));
        let path = path.map(std::env::split_paths).into_iter().flatten();
        let beside = own.parent().map(Path::to_path_buf);
        let mut places = beside.into_iter().chain(path);
        let found = places.find_map(|place| {
            let file = place.join(program);
            is_executable(&file).then_some(file)
        });
        found.ok_or_else(|| format!("there is no program {program} beside falco or in PATH"))
    }

    fn resolved(&self, check: &Check) -> Check {
        match check {
            Check::Unix { path, exchange } => Check::Unix {
                path: self.with.paths.base().join(path),
                exchange: exchange.clone(),
            },
            other => other.clone(),
        }
    }

    fn essence(&self) -> Essence {
        let SidecarSpec {
            command,
            cwd,
            readiness,
            stop,
            log,
            ..
        } = &self.sidecar;
        // What cannot be read fails the start, and says so then.
        let env = self.environment();
        let watched = self.sidecar.liveness.as_ref().map(watched);
        Essence::of([
            format!("{command} {cwd:?} {:?}", self.args()),
            format!("{env:?} {:?} {watched:?}", readiness.when),
            format!("{:?} {log:?}", stop.signal),
        ])
    }
}

/// What a life takes with it of how it is watched; the pace is the chain's.
fn watched(liveness: &Liveness) -> (&AliveWhen, Duration, Option<Duration>) {
    let within = (liveness.when == AliveWhen::Watchdog).then_some(liveness.every);
    (&liveness.when, liveness.timeout, within)
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Reads `NAME=value` lines; empty lines and those with `#` first are left out,
/// and a pair of quotes around a value too. An error is the number of a line.
fn variables(text: &str) -> Result<Vec<(String, String)>, usize> {
    let lines = text.lines().map(str::trim).enumerate();
    let said = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    said.map(|(at, line)| {
        let (name, value) = line.split_once('=').ok_or(at + 1)?;
        let (name, value) = (name.trim_end(), value.trim_start());
        if name.is_empty() || name.contains('\0') || value.contains('\0') {
            return Err(at + 1);
        }
        let quoted = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
        let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
        Ok((name.to_owned(), value.to_owned()))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_variables_is_read_line_by_line() {
        let text = "# secrets\n\nA=1\nB = \"two words\"\nC='x=y'\nD=\n";
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [
            pair("A", "1"),
            pair("B", "two words"),
            pair("C", "x=y"),
            pair("D", ""),
        ];
        assert_eq!(variables(text).unwrap(), expected);
        assert_eq!(variables("A=1\nnonsense\n"), Err(2));
        assert_eq!(variables("=1"), Err(1));
    }

    #[test]
    fn another_question_is_another_life_and_another_pace_is_not() {
        let argv = |program: &str| vec![program.to_owned()];
        let asks = |argv| Liveness::new(AliveWhen::Answers(Check::Command { argv }));
        let life = |liveness: &Liveness| format!("{:?}", watched(liveness));
        let before = asks(argv("true"));
        assert_ne!(life(&before), life(&asks(argv("false"))));
        let mut slower = before.clone();
        slower.every *= 2;
        slower.failures += 1;
        assert_eq!(life(&before), life(&slower));
        let dog = Liveness::new(AliveWhen::Watchdog);
        let mut patient = dog.clone();
        patient.every *= 2;
        assert_ne!(life(&dog), life(&patient), "it is told how often to bark");
    }
}
