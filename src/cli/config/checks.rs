//! `readiness` and `liveness` of a sidecar: one question each, and how often
//! it is asked.
//!
//! ```text
//! { unix = "x.sock", send = "PING\n", expect = "PONG" }     { tcp = "127.0.0.1:80" }
//! { http = "http://127.0.0.1:80/health", status = 200 }     { command = ["test", "-e", "x"] }
//! { line = "listening on" }  { notify = true }  { descriptor = true }  { runs = "1s" }
//! { watchdog = true }                                                     liveness only
//! ```

use std::str::FromStr;
use std::time::Duration;

use super::kind::{Count, Kind, Span, Text, True, Words, Written};
use super::reader::Section;
use crate::net::http::Url;
use crate::supervisor::sidecar::{
    AliveWhen, Check, Exchange, LinePattern, Liveness, Readiness, ReadyWhen,
};

/// A text that means a `T`.
struct Meaning<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err: std::fmt::Display>> Meaning<T> {
    fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<T: FromStr<Err: std::fmt::Display>> Kind for Meaning<T> {
    type Value = (String, T);

    fn read(&self, written: Written<'_>) -> Result<Self::Value, String> {
        let text = Text.read(written)?;
        let meant = text.parse().map_err(|error: T::Err| error.to_string())?;
        Ok((text, meant))
    }

    fn show(&self, (text, _): &Self::Value) -> String {
        format!("{text:?}")
    }
}

const SPAN: Span = Span::up_to_a_day(Duration::from_millis(1));

pub(super) fn readiness(sidecar: &mut Section) -> Readiness {
    let is_there = sidecar.has("readiness");
    let mut section = sidecar.section("readiness");
    let mut ways: Vec<ReadyWhen> = checks(&mut section)
        .into_iter()
        .map(ReadyWhen::Answers)
        .collect();
    if section.given("notify", &True).is_some() {
        ways.push(ReadyWhen::Notify);
    }
    if section.given("descriptor", &True).is_some() {
        ways.push(ReadyWhen::Descriptor);
    }
    if let Some((_, pattern)) = section.given("line", &Meaning::<LinePattern>::new()) {
        ways.push(ReadyWhen::Line(pattern));
    }
    if let Some(span) = section.given("runs", &SPAN) {
        ways.push(ReadyWhen::Runs(span));
    }
    let within = section.given("within", &SPAN);
    let when = only(&mut section, ways, false);
    section.finish();
    let usual = Readiness::default();
    if !is_there {
        return usual;
    }
    Readiness {
        when: when.unwrap_or(usual.when),
        within: within.unwrap_or(usual.within),
    }
}

pub(super) fn liveness(sidecar: &mut Section) -> Option<Liveness> {
    let is_there = sidecar.has("liveness");
    let mut section = sidecar.section("liveness");
    let mut ways: Vec<AliveWhen> = checks(&mut section)
        .into_iter()
        .map(AliveWhen::Answers)
        .collect();
    if section.given("watchdog", &True).is_some() {
        ways.push(AliveWhen::Watchdog);
    }
    let [every, timeout, grace] =
        ["every", "timeout", "resume_grace"].map(|key| section.given(key, &SPAN));
    let failures = section.given("failures", &Count { min: 1, max: 1000 });
    let when = only(&mut section, ways, is_there);
    section.finish();
    let usual = Liveness::new(when?);
    Some(Liveness {
        every: every.unwrap_or(usual.every),
        timeout: timeout.unwrap_or(usual.timeout),
        failures: failures.map_or(usual.failures, |n| u32::try_from(n).unwrap_or(u32::MAX)),
        resume_grace: grace.unwrap_or(usual.resume_grace),
        ..usual
    })
}

/// The one way there is; more than one, or none where there has to be one, is
/// a mistake.
fn only<T>(section: &mut Section, mut ways: Vec<T>, needed: bool) -> Option<T> {
    if 1 < ways.len() || (needed && ways.is_empty() && !section.has_mistakes()) {
        let span = section.span();
        let text = if ways.is_empty() {
            "say what is asked, such as tcp = \"127.0.0.1:80\""
        } else {
            "say one thing that is waited for, not several"
        };
        let name = section.name.clone();
        section.reader.mistake(span, &name, text);
    }
    ways.pop()
}

/// What anybody can ask a sidecar.
fn checks(section: &mut Section) -> Vec<Check> {
    let mut checks = Vec::new();
    checks.extend(unix(section));
    if let Some(address) = section.given("tcp", &Address) {
        checks.push(Check::Tcp { address });
    }
    let status = section.given("status", &Count { min: 100, max: 599 });
    if let Some((_, url)) = section.given("http", &Meaning::<Url>::new()) {
        let status = status.map_or(200, |n| u16::try_from(n).unwrap_or(200));
        checks.push(Check::Http { url, status });
    } else if status.is_some() && !section.has("http") {
        section.wrong_value("status", "only http has a status");
    }
    if let Some(argv) = section.given("command", &Words) {
        if argv.is_empty() {
            section.wrong_value("command", "it names no program");
        }
        checks.push(Check::Command { argv });
    }
    checks
}

fn unix(section: &mut Section) -> Option<Check> {
    let path = section.path("unix", None);
    let send = section.given("send", &Raw);
    let expect = section.given("expect", &Meaning::<LinePattern>::new());
    let exchange = match (send, expect) {
        (Some(send), Some((_, expect))) => Some(Exchange { send, expect }),
        (None, None) => None,
        _ if section.has("send") && section.has("expect") => None,
        _ => {
            let key = if section.has("send") {
                "send"
            } else {
                "expect"
            };
            section.wrong_value(key, "send and expect go together, with unix");
            None
        }
    };
    Some(Check::Unix {
        path: path?,
        exchange,
    })
}

/// Text to be sent as it is, white space included.
struct Raw;

impl Kind for Raw {
    type Value = String;

    fn read(&self, written: Written<'_>) -> Result<String, String> {
        written.text().map(str::to_owned)
    }

    fn show(&self, value: &String) -> String {
        format!("{value:?}")
    }
}

/// A host and a port.
struct Address;

impl Kind for Address {
    type Value = String;

    fn read(&self, written: Written<'_>) -> Result<Self::Value, String> {
        let text = Text.read(written)?;
        let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        match port.map(|(_, port)| port.parse::<u16>()) {
            Some(Ok(1..)) => Ok(text),
            _ => Err(format!("{text:?} is no address such as \"127.0.0.1:80\"")),
        }
    }

    fn show(&self, value: &String) -> String {
        format!("{value:?}")
    }
}
