//! `falco doctor`: everything that can be wrong around a chain, looked at.
//!
//! Every look has a deadline, and they run side by side: the whole takes under
//! five seconds, also without a network. With `--fix` what is ours and left
//! over is put right; each thing that was done is said. Nothing is changed
//! while a chain runs, and a secret is never shown.

mod account;
mod directory;
mod finding;
mod leftovers;
mod machine;
mod outbox;
mod owner;
mod secrets;
mod sidecars;
mod transport;

use std::time::Duration;

use tokio::time::timeout;

use super::chain::{beside, opens_outbox};
use super::config::{self, Outside};
use super::daemon::Setup;
use super::exit::{Exit, Failure};
use super::identity;
use super::output;
use super::runtime::block_on;
use super::settings::Instance;
use crate::paths::Paths;
use finding::{Finding, Level};

/// How long one look may take. They run side by side.
const PATIENCE: Duration = Duration::from_secs(4);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    instance: Instance,
    #[command(flatten)]
    setup: Setup,
    /// Put right what is ours and left over, and say what was done
    #[arg(long)]
    fix: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let paths = args.instance.paths()?;
    block_on(async {
        let findings = Box::pin(examine(&args, &paths)).await;
        print(&args, &findings)?;
        if findings.iter().any(|finding| finding.level == Level::Fail) {
            return Err(Failure::already_printed(Exit::Failed));
        }
        Ok(())
    })
}

async fn examine(args: &Args, paths: &Paths) -> Vec<Finding> {
    let fix = args.fix;
    let loaded = config::load(paths, &args.setup.given());
    let outside = loaded.as_ref().ok().map(|loaded| {
        let variables = config::variables();
        Outside::of(loaded, paths.base(), beside(), variables)
    });
    let config = loaded.as_ref().ok().map(|loaded| &loaded.config);
    let opens_outbox = config.is_some_and(|config| opens_outbox(paths, config));
    let of_files = {
        let paths = paths.clone();
        move || {
            let mut found = directory::examine(&paths, fix);
            found.extend(leftovers::examine(&paths, fix));
            found.extend(machine::examine());
            if opens_outbox {
                found.extend(outbox::unusable(&paths));
            }
            found.extend(outbox::losses(&paths));
            found.extend(identity(&paths));
            found.extend(outside.iter().flat_map(sidecars::examine));
            found
        }
    };
    let secrets = secrets::of(paths, config);
    let program = config.and_then(|config| config.transport.binary.clone());
    let of_account = async {
        // First what is put right here: the others read it.
        let look = tokio::task::spawn_blocking(move || secrets::examine(&secrets, fix));
        let mut found = look.await.unwrap_or_default();
        found.extend(account::examine(paths, loaded).await);
        found
    };
    let (files, owner, transport, account) = tokio::join!(
        in_time("files", async {
            // A directory on a server that is gone blocks for ever.
            tokio::task::spawn_blocking(of_files)
                .await
                .unwrap_or_default()
        }),
        in_time("owner", owner::examine(paths)),
        transport::examine(program.as_deref()),
        in_time("account", of_account),
    );
    let found = [files, owner, vec![transport], account].concat();
    found.into_iter().map(|one| one.at(paths)).collect()
}

/// Who this is, if what is kept of it is no good.
fn identity(paths: &Paths) -> Option<Finding> {
    let failure = identity::check(&paths.identity_file()).err()?;
    let fix = "repair it, or remove it to become another device";
    Some(Finding::of("identity", &failure, fix))
}

async fn in_time(what: &'static str, look: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    timeout(PATIENCE, look).await.unwrap_or_else(|_| {
        let text = format!("not found out within {} s", PATIENCE.as_secs());
        vec![Finding::fail(what, text)]
    })
}

fn print(args: &Args, findings: &[Finding]) -> Result<(), Failure> {
    if args.json {
        let count = |level| findings.iter().filter(|f| f.level == level).count();
        let object = serde_json::json!({
            "schema": 1,
            "failures": count(Level::Fail),
            "warnings": count(Level::Warn),
            "findings": findings,
        });
        return output::line(&object.to_string());
    }
    findings
        .iter()
        .try_for_each(|finding| output::line(&finding.to_string()))?;
    output::line(&finding::sum(findings))
}
