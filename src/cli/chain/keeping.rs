//! Where effects are kept, and over which transports they leave.

use super::super::config::{Config, Delivery, OnJournalFailure, OnRejected, Sync};
use super::Ingredients;
use crate::delivery;
use crate::ingest;
use crate::journal;
use crate::paths::Paths;

/// The usual length of a segment.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// An outbox of full size has at least so many segments. It gives space back by
/// whole ones: with a few long ones, most of it would be what nobody needs.
const SEGMENTS_MIN: u64 = 8;

/// Where effects are kept. Without an outbox, what an earlier run has left in
/// one is published all the same.
pub(super) fn outbox(with: &Ingredients) -> Option<ingest::Outbox> {
    let records = with.config.delivery == Delivery::Outbox;
    opens_outbox(&with.paths, &with.config).then(|| ingest::Outbox {
        directory: with.paths.outbox(),
        journal: journal(&with.config),
        effects_max: usize::try_from(with.config.outbox.max_effects).unwrap_or(usize::MAX),
        home: with.handles.home.clone(),
        records,
        resume_grace: with.config.outbox.resume_grace,
    })
}

/// Whether a start opens the outbox.
pub(in crate::cli) fn opens_outbox(paths: &Paths, config: &Config) -> bool {
    config.delivery == Delivery::Outbox || paths.outbox().is_dir()
}

/// How effects are delivered.
pub(super) fn delivery(config: &Config) -> delivery::Config {
    delivery::Config {
        on_rejected: match config.on_rejected {
            OnRejected::Skip => delivery::OnRejected::Skip,
            OnRejected::Park => delivery::OnRejected::Park,
        },
        ..delivery::Config::with_attempt_timeout(config.publish_timeout)
    }
}

/// How the journal behaves.
pub(in crate::cli) fn journal(config: &Config) -> journal::Config {
    let sync = match config.outbox.sync {
        Sync::Always => journal::Sync::Always,
        Sync::Interval => journal::Sync::INTERVAL,
    };
    journal::Config {
        bytes_max: config.outbox.max_bytes,
        segment_bytes_max: SEGMENT_BYTES_MAX.min(config.outbox.max_bytes / SEGMENTS_MIN),
        on_failure: match config.outbox.on_journal_failure {
            OnJournalFailure::Bypass => journal::OnFailure::Bypass,
            OnJournalFailure::Exit => journal::OnFailure::Exit,
        },
        ..journal::Config::with_sync(sync)
    }
}

/// The transports that effects may name.
pub(super) fn routes(with: &Ingredients) -> Vec<ingest::Route> {
    let routes = with.config.routes.iter();
    let route = routes.map(|route| ingest::Route {
        name: route.name.as_str().into(),
        socket: route.socket.clone(),
    });
    route.collect()
}
