//! `falco service status`.

use std::path::Path;

use super::place::{Kind, Place};
use super::{Activity, Standing, Which};
use crate::cli::exit::{Exit, Failure};
use crate::cli::{output, progress};

pub(super) async fn run(args: Which) -> Result<(), Failure> {
    let place = args.place()?;
    if !place.is_installed() {
        return not_installed(&args, &place);
    }
    let standing = match place.standing().await {
        Ok(standing) => standing,
        Err(failure) => return unknown(&args, &place, failure),
    };
    if args.json {
        output::line(&json(&place, Some(&standing)).to_string())?;
    } else {
        output::line(&render(&place, &standing))?;
    }
    match standing.activity {
        Activity::Active => Ok(()),
        Activity::Inactive => Err(Failure::already_printed(Exit::NotRunning)),
        Activity::Passing | Activity::Failed => Err(Failure::already_printed(Exit::Failed)),
    }
}

fn not_installed(args: &Which, place: &Place) -> Result<(), Failure> {
    if args.json {
        output::line(&json(place, None).to_string())?;
    } else {
        let (name, install) = (place.name(), place.verb_of_install());
        let at = place.flag_of_base(&args.paths()?);
        output::line(&format!("○ {name}   not installed · {install}{at}"))?;
    }
    Err(Failure::already_printed(Exit::NotRunning))
}

/// It is installed, and its manager cannot be asked.
fn unknown(args: &Which, place: &Place, failure: Failure) -> Result<(), Failure> {
    if args.json {
        let mut object = json(place, None);
        object["state"] = "unknown".into();
        object["reason"] = failure.to_string().into();
        output::line(&object.to_string())?;
        return Err(Failure::already_printed(Exit::Unknown));
    }
    Err(failure.with_exit(Exit::Unknown).at(&args.paths()?))
}

fn json(place: &Place, standing: Option<&Standing>) -> serde_json::Value {
    let state = |standing: &Standing| match standing.activity {
        Activity::Active => "active",
        Activity::Passing => "passing",
        Activity::Failed => "failed",
        Activity::Inactive => "inactive",
    };
    serde_json::json!({
        "schema": 1,
        "name": place.name(),
        "file": place.file().display().to_string(),
        "installed": place.is_installed(),
        "socket": place.has_socket(),
        "state": standing.map_or("inactive", state),
        "enabled": standing.is_some_and(|s| s.enabled),
        "pid": standing.and_then(|s| s.pid),
        "outdated": standing.is_some_and(|s| s.outdated),
        "linger": (place.kind == Kind::User).then(lingers),
    })
}

fn render(place: &Place, standing: &Standing) -> String {
    let dot = match standing.activity {
        Activity::Active => "●",
        Activity::Inactive => "○",
        Activity::Passing | Activity::Failed => "!",
    };
    let pid = standing
        .pid
        .map_or(String::new(), |pid| format!("   pid {pid}"));
    let enabled = if standing.enabled {
        "enabled"
    } else {
        "not enabled"
    };
    let mut text = format!(
        "{dot} {}   {}{pid}   {enabled}\nfile {}",
        place.name(),
        standing.word,
        progress::tilde(&place.file())
    );
    if standing.outdated {
        text.push_str("\nits file has changed since systemd read it: ");
        text.push_str(place.verb_to_reread());
    }
    if place.kind == Kind::User && !lingers() {
        text.push_str("\nit ends with your last login: loginctl enable-linger");
    }
    text
}

/// Whether this user's services go on after the last logout.
pub(in crate::cli) fn lingers() -> bool {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
    let name = user.ok().flatten().map(|user| user.name);
    name.is_some_and(|name| Path::new("/var/lib/systemd/linger").join(name).exists())
}
