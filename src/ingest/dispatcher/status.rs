//! What there is to say of it.

use std::time::Duration;

use tokio::time::Instant;

use super::Dispatcher;
use super::keeper::Keeper;
use crate::protocol::control::{IngestStatus, RouteStatus};

impl Dispatcher {
    pub(super) fn status(&self) -> IngestStatus {
        let now = Instant::now().into_std();
        let mut status = IngestStatus {
            connections: self.outboxes.len() as u64,
            transport_connected: *self.ways.linked().borrow(),
            outbox: self.keeper.as_ref().map(Keeper::status),
            ..self.sums.status()
        };
        self.add_parked(&mut status);
        status.stuck = self.longest_stuck(now);
        status.routes = self
            .ways
            .names()
            .map(|name| RouteStatus {
                name: name.to_owned(),
                ..RouteStatus::default()
            })
            .collect();
        for (route, way) in self.ways.by_route() {
            let depth = way.lanes.depth(now);
            status.lanes += depth.lanes as u64;
            status.retries += depth.retries;
            status.doubtful += depth.doubtful;
            status.late += depth.late;
            let route = &mut status.routes[route];
            let oldest = ms(depth.oldest);
            route.connected |= way.link.is_up();
            if !way.is_spare() {
                route.socket = way.link.socket().display().to_string();
                route.down_ms = ms(way.link.down_for());
            }
            route.queued += (depth.effects - depth.in_flight) as u64;
            route.in_flight += depth.in_flight as u64;
            route.oldest_age_ms = route.oldest_age_ms.max(oldest);
        }
        let oldest = status.routes.iter().map(|route| route.oldest_age_ms);
        status.oldest_age_ms = oldest.max().unwrap_or(0);
        status.queued = status.routes.iter().map(|route| route.queued).sum();
        status.in_flight = status.routes.iter().map(|route| route.in_flight).sum();
        status
    }
}

pub(super) fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
