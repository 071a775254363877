//! `falco env`: where an instance is, for the shell that is to use it.
//!
//! Only places that follow from the base directory, and no secret. A device id
//! is left out: it would go along to the next instance that the shell starts.

use std::path::PathBuf;

use super::exit::Failure;
use super::output;
use super::settings::Instance;
use super::shell;
use crate::paths::Paths;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    instance: Instance,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let places = places(&args.instance.paths()?);
    if args.json {
        return output::line(&object(&places)?.to_string());
    }
    let mut script = Vec::new();
    for (name, path) in &places {
        script.extend([b"export ", name.as_bytes(), b"="].concat());
        script.extend(shell::quoted(path.as_os_str()));
        script.push(b'\n');
    }
    output::bytes(&script)
}

fn places(paths: &Paths) -> [(&'static str, PathBuf); 4] {
    [
        ("UNBOUND_BASE_DIR", paths.base().to_owned()),
        ("FALCO_SOCKET", paths.falco_socket()),
        ("UNBOUND_ABLY_SOCKET", paths.ably_socket()),
        ("UNBOUND_ABLY_BROKER_SOCKET", paths.broker_socket()),
    ]
}

fn object(places: &[(&str, PathBuf)]) -> Result<serde_json::Value, Failure> {
    let mut variables = serde_json::Map::new();
    for (name, path) in places {
        let text = output::path_text(path)?;
        variables.insert((*name).to_owned(), text.into());
    }
    Ok(serde_json::json!({"schema": 1, "variables": variables}))
}
