//! `falco version`: which falco this is.

use super::exit::Failure;
use super::output;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    if !args.json {
        return output::line(&format!("falco {version}"));
    }
    let object = serde_json::json!({
        "schema": 1,
        "version": version,
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
    });
    output::line(&object.to_string())
}
