//! What is written: the templates of `service/`, filled in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Order;
use super::file::MARK;
use super::place::{Kind, Place};
use crate::cli::chain::own_program;
use crate::cli::exit::{Exit, Failure};

/// How long stopping the chain may take before its manager ends it.
///
/// The graces of its parts add up to 14.5 s, and 5 s more where one has to be
/// killed. A chain with slower sidecars asks systemd for more as it stops.
pub(super) const STOP_BOUND: Duration = Duration::from_secs(30);

/// As [`STOP_BOUND`], for launchd, which cannot be asked for more.
const STOP_BOUND_FIXED: Duration = Duration::from_secs(60);

/// Credentials that `falco up` reads.
const CREDENTIALS: &[&str] = &["ably-api-key", "token-bearer"];

/// The first systemd whose delays between starts can grow.
const GROWING_DELAYS: u32 = 254;

/// A file that systemd hands to the service.
#[derive(Debug, Clone)]
pub(super) struct Credential {
    pub(super) name: String,
    pub(super) file: PathBuf,
    pub(super) encrypted: bool,
}

impl Credential {
    /// `NAME:FILE`.
    pub(super) fn parse(text: &str, encrypted: bool) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            let error = format!("the credential {text:?} {why}");
            Failure::new(Exit::Usage, error).hint("give it as ably-api-key:FILE")
        };
        let (name, file) = text.split_once(':').ok_or_else(|| wrong("has no name"))?;
        if !CREDENTIALS.contains(&name) {
            return Err(wrong("is none that falco reads"));
        }
        let file = std::path::absolute(file).map_err(|e| wrong(&e.to_string()))?;
        if !file.exists() {
            return Err(wrong("names a file that is not there"));
        }
        let name = name.to_owned();
        Ok(Self {
            name,
            file,
            encrypted,
        })
    }
}

/// One file to write.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// The files of the service `place`; `systemd` is its version.
pub(super) fn render(
    place: &Place,
    order: &Order,
    systemd: Option<u32>,
) -> Result<Vec<File>, Failure> {
    let mut files = vec![File {
        path: place.file(),
        text: match place.kind {
            Kind::User => fill(
                include_str!("../../../service/falco.service"),
                &unit(order, systemd)?,
            ),
            Kind::System => fill(
                include_str!("../../../service/falco-system.service"),
                &unit(order, systemd)?,
            ),
            Kind::Launchd => fill(
                include_str!("../../../service/falco.plist"),
                &plist(place, order)?,
            ),
        },
    }];
    if order.socket
        && let Some(path) = place.socket_file()
    {
        let text = fill(
            include_str!("../../../service/falco.socket"),
            &socket(order)?,
        );
        files.push(File { path, text });
    }
    Ok(files)
}

/// Every `{{name}}` by its value; a line that comes to nothing goes.
fn fill(template: &str, values: &[(&str, String)]) -> String {
    let mut text = String::new();
    for line in template.lines() {
        let mut filled = line.to_owned();
        for (name, value) in values {
            filled = filled.replace(&format!("{{{{{name}}}}}"), value);
        }
        if !filled.is_empty() || line.is_empty() {
            text.push_str(&filled);
            text.push('\n');
        }
    }
    text
}

fn unit(order: &Order, systemd: Option<u32>) -> Result<Vec<(&'static str, String)>, Failure> {
    let line = |words: Vec<String>| {
        let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
        words.join(" ")
    };
    let growing = systemd.is_some_and(|version| GROWING_DELAYS <= version);
    let delay = if growing {
        "RestartSec=1\nRestartSteps=5\nRestartMaxDelaySec=60"
    } else {
        "RestartSec=10"
    };
    Ok(vec![
        ("mark", MARK.to_owned()),
        ("command", line(arguments(order)?)),
        ("reload", line(reload(order)?)),
        ("credentials", credentials(order)?),
        ("stop_seconds", STOP_BOUND.as_secs().to_string()),
        ("restart_delay", delay.to_owned()),
        ("user", order.user.clone().unwrap_or_default()),
        ("base_dir", quoted(&text(order.paths.base())?)),
    ])
}

fn credentials(order: &Order) -> Result<String, Failure> {
    let line = |credential: &Credential| {
        let encrypted = if credential.encrypted {
            "Encrypted"
        } else {
            ""
        };
        let file = text(&credential.file)?.replace('%', "%%");
        Ok(format!(
            "LoadCredential{encrypted}={}:{file}",
            credential.name
        ))
    };
    let lines: Result<Vec<_>, Failure> = order.credentials.iter().map(line).collect();
    Ok(lines?.join("\n"))
}

fn socket(order: &Order) -> Result<Vec<(&'static str, String)>, Failure> {
    let path = text(&order.paths.falco_socket())?.replace('%', "%%");
    let user = order.user.as_ref();
    Ok(vec![
        ("mark", MARK.to_owned()),
        ("falco_socket", path),
        (
            "socket_user",
            user.map_or(String::new(), |u| format!("SocketUser={u}")),
        ),
    ])
}

fn plist(place: &Place, order: &Order) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut words = arguments(order)?;
    words.push("--manager=launchd".to_owned());
    let words: Vec<_> = words
        .iter()
        .map(|word| format!("\t\t<string>{}</string>", escaped(word)))
        .collect();
    let boot_log = order.paths.logs().join("falco.boot.log");
    Ok(vec![
        ("mark", MARK.to_owned()),
        ("label", escaped(&place.name())),
        ("arguments", words.join("\n")),
        ("path", escaped(&std::env::var("PATH").unwrap_or_default())),
        ("stop_seconds", STOP_BOUND_FIXED.as_secs().to_string()),
        ("boot_log", escaped(&text(&boot_log)?)),
    ])
}

/// The command that is the service.
fn arguments(order: &Order) -> Result<Vec<String>, Failure> {
    let mut words = vec![text(&own_program()?)?, "up".into(), "--foreground".into()];
    words.extend(["--base-dir".to_owned(), text(order.paths.base())?]);
    words.extend(order.setup.to_args());
    if words.iter().any(|word| word.chars().any(char::is_control)) {
        let error = "a path or argument holds a control character, which no unit file can";
        return Err(Failure::new(Exit::Config, error));
    }
    Ok(words)
}

/// The command that has the service read its configuration anew.
fn reload(order: &Order) -> Result<Vec<String>, Failure> {
    let (program, base) = (text(&own_program()?)?, text(order.paths.base())?);
    Ok(vec![program, "reload".into(), "--base-dir".into(), base])
}

fn text(path: &Path) -> Result<String, Failure> {
    let error = || format!("{} is not text, which a unit file must be", path.display());
    let text = path.to_str().map(ToOwned::to_owned);
    text.ok_or_else(|| Failure::new(Exit::Config, error()))
}

/// A word of a systemd command line: nothing in it is expanded.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:@+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let escaped = word
        .replace('\\', r"\\")
        .replace('"', r#"\""#)
        .replace('%', "%%")
        .replace('$', "$$");
    format!("\"{escaped}\"")
}

/// Text inside an XML element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
