//! The programs that the configuration puts beside the built-in parts.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::super::env_file::{self, Variable};
use super::super::program::Search;
use super::{Ingredients, beside};
use crate::process::spawn::Spec;
use crate::supervisor::chain::{Pace, Plan};
use crate::supervisor::part::{
    Alive, AliveBy, Essence, Facts, Launch, PartSpec, ProcessPart, ReadyBy, Run, Unprepared,
};
use crate::supervisor::probe::{Probe, Question};
use crate::supervisor::sidecar::{AliveWhen, Check, Liveness, ReadyWhen, SidecarSpec};

/// The program that hears remote commands; by this name it is started as the
/// contract says.
const NAGATO: &str = "nagato";

/// Those of the configuration whose condition holds.
pub(super) fn sidecars(with: &Ingredients, own_program: &Path, logged_in: bool) -> Vec<PartSpec> {
    let all = with.config.sidecars.iter();
    let there = all.filter(|sidecar| sidecar.condition.holds(logged_in));
    there
        .map(|sidecar| part(with, own_program, sidecar))
        .collect()
}

fn part(with: &Ingredients, own_program: &Path, sidecar: &SidecarSpec) -> PartSpec {
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
            tie: with.tie_of_others(own_program),
            log_limits: sidecar.log,
            ready,
            alive,
            at_rest: None,
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
        required: sidecar.required,
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
    fn launch(&self) -> Result<Launch, Unprepared> {
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
    fn command(&self, argv: &[String]) -> Result<Spec, Unprepared> {
        let (program, args) = argv.split_first().ok_or("there is no command")?;
        Ok(Spec {
            args: args.iter().map(OsString::from).collect(),
            ..self.spec(program)?
        })
    }

    fn spec(&self, program: &str) -> Result<Spec, Unprepared> {
        let base = self.with.paths.base();
        let directory = self.sidecar.cwd.as_deref().map(|cwd| base.join(cwd));
        let env = self.environment()?;
        Ok(Spec {
            program: self.find(program, &env)?,
            arg0: None,
            args: Vec::new(),
            env,
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
    fn environment(&self) -> Result<Vec<(OsString, OsString)>, Unprepared> {
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
        for Variable { name, value, .. } in self.file_variables()? {
            set(name.into(), value.into());
        }
        for (name, value) in &self.sidecar.env.0 {
            set(name.into(), value.into());
        }
        Ok(env)
    }

    fn file_variables(&self) -> Result<Vec<Variable>, Unprepared> {
        let Some(path) = &self.sidecar.env_file else {
            return Ok(Vec::new());
        };
        let read = env_file::read(&self.with.paths.base().join(path));
        read.map_err(|error| Unprepared::Unread {
            what: "env_file",
            source: error.into(),
        })
    }

    /// Where `program` is, for a child with this environment.
    fn find(&self, program: &str, env: &[(OsString, OsString)]) -> Result<PathBuf, String> {
        let path = env.iter().find(|(name, _)| name == "PATH");
        let search = Search {
            base: self.with.paths.base(),
            beside: beside(),
            path: path.map(|(_, value)| value.clone()),
        };
        search.find(program).map_err(|error| error.to_string())
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
            format!("{:?} {log:?} {}", stop.signal, self.with.config.guard),
        ])
    }
}

/// What a life takes with it of how it is watched; the pace is the chain's.
fn watched(liveness: &Liveness) -> (&AliveWhen, Duration, Option<Duration>) {
    let within = (liveness.when == AliveWhen::Watchdog).then_some(liveness.every);
    (&liveness.when, liveness.timeout, within)
}

#[cfg(test)]
mod tests;
