//! `[[sidecar]]`: programs that run beside the built-in parts.

use std::collections::BTreeMap;
use std::ops::Range;

use super::chain::limits_given;
use super::checks;
use super::kind::{Choice, Kind, Numbers, Span, Text, Words, Written, YesNo};
use super::outside::Stands;
use super::reader::{Section, closest};
use super::secrets;
use super::tree::{Table, Value};
use crate::supervisor::sidecar::{
    Condition, Env, LogLimits, RestartPolicy, RestartWhen, Scope, SidecarName, SidecarSpec,
    StopPolicy, StopSignal, Tangle, in_order,
};

/// The token broker's name; it has no process, and so no log.
pub(in super::super) const BROKER: &str = "broker";

/// What the parts of the chain are called.
pub(in super::super) const BUILT_IN: [&str; 4] = [BROKER, "emulator", "transport", "falco"];

const CONDITION: Choice<Condition> = Choice(&[
    ("always", Condition::Always),
    ("logged_in", Condition::LoggedIn),
    ("no_credentials", Condition::NoCredentials),
]);

const WHEN: Choice<RestartWhen> = Choice(&[
    ("always", RestartWhen::Always),
    ("on-failure", RestartWhen::OnFailure),
    ("never", RestartWhen::Never),
]);

const SCOPE: Choice<Scope> = Choice(&[("self", Scope::Own), ("dependents", Scope::Dependents)]);

const SIGNAL: Choice<StopSignal> = Choice(&[
    ("TERM", StopSignal::Term),
    ("INT", StopSignal::Int),
    ("QUIT", StopSignal::Quit),
    ("HUP", StopSignal::Hup),
    ("USR1", StopSignal::Usr1),
    ("USR2", StopSignal::Usr2),
]);

/// A name that is fit for a file and a command line.
struct Name;

impl Kind for Name {
    type Value = SidecarName;

    fn read(&self, written: Written<'_>) -> Result<SidecarName, String> {
        SidecarName::try_from(Text.read(written)?).map_err(|error| error.to_string())
    }

    fn show(&self, value: &SidecarName) -> String {
        format!("{:?}", value.as_str())
    }
}

/// A sidecar, and where in the file what it can be wrong about stands.
struct Found {
    spec: SidecarSpec,
    name_at: Range<usize>,
    after_at: Vec<Range<usize>>,
}

/// The sidecars in starting order.
pub(super) fn sidecars(top: &mut Section) -> Vec<SidecarSpec> {
    let tables = top.list("sidecar");
    let found = tables.into_iter().enumerate();
    let found: Vec<_> = found
        .filter_map(|(at, table)| sidecar(top, at, table))
        .collect();
    if !references_hold(top, &found) {
        return Vec::new();
    }
    let places: Vec<_> = found.iter().map(place).collect();
    let specs = found.into_iter().map(|found| found.spec).collect();
    in_order(specs, &BUILT_IN).unwrap_or_else(|tangle| {
        blame(top, &tangle, &places);
        Vec::new()
    })
}

fn place(found: &Found) -> (SidecarName, Range<usize>) {
    (found.spec.name.clone(), found.name_at.clone())
}

fn blame(top: &mut Section, tangle: &Tangle, places: &[(SidecarName, Range<usize>)]) {
    let at = places.iter().find(|(name, _)| name == tangle.name());
    let span = at.map_or(0..0, |(_, span)| span.clone());
    let key = format!("sidecar.{}.after", tangle.name());
    top.reader.mistake(span, &key, tangle.to_string());
}

fn sidecar<'a>(top: &mut Section<'_, 'a>, at: usize, table: &'a Table) -> Option<Found> {
    let mut section = top.item(format!("sidecar[{at}]"), table);
    let name = section.required("name", &Name);
    if let Some(name) = &name {
        section.rename(format!("sidecar.{name}"));
    }
    let command = section.required("command", &Text);
    let spec = name
        .zip(command)
        .map(|(name, command)| SidecarSpec::new(name, command));
    // What cannot be used is read all the same, for its mistakes.
    let nameless = || SidecarSpec::new(placeholder(), "");
    let mut read = spec.clone().unwrap_or_else(nameless);
    fill(&mut section, &mut read);
    let (name_at, after_at) = (section.value_span("name"), spans(&section));
    if spec.is_some() {
        let stands = Stands::of(&section);
        section.reader.stands.insert(read.name.clone(), stands);
    }
    section.finish();
    spec.map(|_| Found {
        spec: read,
        name_at,
        after_at,
    })
}

fn placeholder() -> SidecarName {
    SidecarName::try_from("nameless".to_owned()).expect("letters")
}

fn fill(section: &mut Section, spec: &mut SidecarSpec) {
    if let Some(home) = spec.command.strip_prefix("~/") {
        spec.command = section.resolve(&format!("~/{home}"));
    }
    spec.args = section.given("args", &Words).unwrap_or_default();
    spec.env = Env(env(section));
    spec.env_file = section.path("env_file", None);
    spec.cwd = section.path("cwd", None);
    spec.after = after(section);
    spec.required = section.given("required", &YesNo).unwrap_or_default();
    spec.readiness = checks::readiness(section);
    spec.liveness = checks::liveness(section);
    spec.restart = restart(section);
    spec.stop = stop(section);
    spec.log = log(section);
    spec.condition = section.given("condition", &CONDITION).unwrap_or_default();
}

/// Values are shown as set: some people keep secrets there.
fn env(section: &mut Section) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for (name, (value, span)) in section.pairs("env") {
        let key = format!("env.{name}");
        if name.is_empty() || name.contains(['=', '\0']) {
            section.wrong(&key, span, "no variable can be called that");
            continue;
        }
        if secrets::names_secret(&name) {
            section.warn(&key, span, "looks like a secret; use env_file for it");
        }
        section.note_set(&key);
        env.insert(name, value);
    }
    env
}

fn after(section: &mut Section) -> Vec<SidecarName> {
    let texts = section.given("after", &Words).unwrap_or_default();
    let mut names = Vec::new();
    for text in texts {
        match SidecarName::try_from(text) {
            Ok(name) => names.push(name),
            Err(error) => section.wrong_value("after", error.to_string()),
        }
    }
    names
}

/// Where each name in `after` stands.
fn spans(section: &Section) -> Vec<Range<usize>> {
    match section.entry("after").map(|entry| &entry.node.value) {
        Some(Value::List(items)) => items.iter().map(|item| item.span.clone()).collect(),
        _ => Vec::new(),
    }
}

fn restart(section: &mut Section) -> RestartPolicy {
    let mut s = section.section("restart");
    let span = Span::up_to_a_day(std::time::Duration::from_millis(1));
    let usual = RestartPolicy::default();
    let policy = RestartPolicy {
        when: s.given("when", &WHEN).unwrap_or(usual.when),
        base: s.given("base", &span).unwrap_or(usual.base),
        cap: s.given("cap", &span).unwrap_or(usual.cap),
        reset_after: s.given("reset_after", &span).unwrap_or(usual.reset_after),
        permanent: s.given("permanent", &Numbers).unwrap_or(usual.permanent),
        scope: s.given("scope", &SCOPE).unwrap_or(usual.scope),
    };
    if policy.cap < policy.base {
        s.wrong_value("cap", "it is shorter than base");
    }
    s.finish();
    policy
}

fn stop(section: &mut Section) -> StopPolicy {
    let mut s = section.section("stop");
    let grace = Span {
        max: std::time::Duration::from_secs(600),
        ..Span::up_to_a_day(std::time::Duration::from_millis(1))
    };
    let usual = StopPolicy::default();
    let policy = StopPolicy {
        signal: s.given("signal", &SIGNAL).unwrap_or(usual.signal),
        grace: s.given("grace", &grace).unwrap_or(usual.grace),
    };
    s.finish();
    policy
}

fn log(section: &mut Section) -> LogLimits {
    let mut log = section.section("log");
    let limits = limits_given(&mut log, LogLimits::default());
    log.finish();
    limits
}

/// Whether names are unique and everything in `after` exists.
fn references_hold(top: &mut Section, found: &[Found]) -> bool {
    let before = top.reader.mistakes.len();
    for (at, one) in found.iter().enumerate() {
        let name = one.spec.name.as_str();
        let key = format!("sidecar.{name}");
        let earlier = || {
            found[..at]
                .iter()
                .any(|other| other.spec.name.as_str() == name)
        };
        if BUILT_IN.contains(&name) {
            let text = format!("{name} is a part of falco's own; call the sidecar something else");
            top.reader.mistake(one.name_at.clone(), &key, text);
        } else if earlier() {
            let text = format!("there are two sidecars called {name}");
            top.reader.mistake(one.name_at.clone(), &key, text);
        }
        after_exists(top, one, found);
    }
    top.reader.mistakes.len() == before
}

fn after_exists(top: &mut Section, one: &Found, found: &[Found]) {
    let sidecars = found.iter().map(|other| other.spec.name.as_str());
    let known: Vec<_> = sidecars.chain(BUILT_IN).collect();
    for (on, span) in one.spec.after.iter().zip(&one.after_at) {
        if known.contains(&on.as_str()) {
            continue;
        }
        let text = match closest(on.as_str(), &known) {
            Some(meant) => format!("there is nothing called {on}; did you mean {meant:?}?"),
            None => format!("there is nothing called {on}"),
        };
        let key = format!("sidecar.{}.after", one.spec.name);
        top.reader.mistake(span.clone(), &key, text);
    }
}
