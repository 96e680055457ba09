//! What an HTTP server counts: requests by route, method and status, how long they took, connections. A request costs a
//! few atomic additions: no lock, no allocation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::{Method, StatusCode};

use super::routes::ServerRoutes;
use crate::metrics::{Exposition, MetricSource};

/// Where a path is counted that leads nowhere.
const OTHER: &str = "other";
/// Where requests are counted whose path could not be read.
const UNREADABLE: &str = "unreadable";

/// Methods counted by name; all others are `OTHER`.
const METHODS: [&str; 5] = ["GET", "HEAD", "OPTIONS", "POST", "OTHER"];
/// Statuses counted by name; all others are `other`.
const STATUSES: [u16; 18] =
    [200, 204, 206, 301, 302, 303, 304, 400, 401, 403, 404, 405, 408, 414, 421, 431, 500, 503];
/// The upper ends of the buckets of the histogram, in nanoseconds, and as they are written.
const BOUNDS: [(u64, &str); 6] = [
    (1_000_000, "0.001"),
    (5_000_000, "0.005"),
    (25_000_000, "0.025"),
    (100_000_000, "0.1"),
    (500_000_000, "0.5"),
    (2_500_000_000, "2.5"),
];

/// The counts of one server.
#[derive(Debug)]
pub(super) struct ServerCounts {
    routes: &'static dyn ServerRoutes,
    /// The paths of its routes.
    paths: Vec<&'static str>,
    /// As the paths, then `other`, then `unreadable`.
    by_route: Vec<Route>,
    accepted: AtomicU64,
    ended: AtomicU64,
    refused_full: AtomicU64,
    refused_handshake: AtomicU64,
    made_room: AtomicU64,
}

#[derive(Debug, Default)]
struct Route {
    answers: [[AtomicU64; STATUSES.len() + 1]; METHODS.len()],
    /// How many took up to each bound but longer than the one before; the last is all that took longer.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Route {
    fn count(&self, method: usize, status: StatusCode) {
        let status = STATUSES.iter().position(|known| *known == status.as_u16()).unwrap_or(STATUSES.len());
        if let Some(count) = self.answers.get(method).and_then(|statuses| statuses.get(status)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Why a connection was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// There are as many as may be.
    Full,
    /// The TLS handshake failed or took too long.
    Handshake,
}

/// A connection that is open.
#[derive(Debug)]
pub(super) struct Open(Arc<ServerCounts>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

impl ServerCounts {
    pub(super) fn new(routes: &'static dyn ServerRoutes) -> Self {
        let paths = routes.paths();
        Self {
            by_route: (0..paths.len() + 2).map(|_| Route::default()).collect(),
            routes,
            paths,
            accepted: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            refused_full: AtomicU64::new(0),
            refused_handshake: AtomicU64::new(0),
            made_room: AtomicU64::new(0),
        }
    }

    /// The place of the route that a path leads to.
    pub(super) fn route(&self, path: &str) -> usize {
        let template = self.routes.template(path);
        let known = template.and_then(|template| self.paths.iter().position(|known| *known == template));
        known.unwrap_or(self.paths.len())
    }

    /// Counts an answer to a request that could be read.
    pub(super) fn answered(&self, route: usize, method: &Method, status: StatusCode, took: Duration) {
        let Some(route) = self.by_route.get(route) else { return };
        let method = METHODS.iter().position(|known| *known == method.as_str());
        route.count(method.unwrap_or(METHODS.len() - 1), status);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|(bound, _)| nanoseconds <= *bound).unwrap_or(BOUNDS.len());
        if let Some(count) = route.buckets.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        route.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Counts an answer to one that could not: it has neither method nor duration.
    pub(super) fn refused_head(&self, status: StatusCode) {
        if let Some(unreadable) = self.by_route.last() {
            unreadable.count(METHODS.len() - 1, status);
        }
    }

    pub(super) fn refused(&self, why: Refused) {
        match why {
            Refused::Full => &self.refused_full,
            Refused::Handshake => &self.refused_handshake,
        }
        .fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an idle connection that was closed for a new one.
    pub(super) fn made_room(&self) {
        self.made_room.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection as open for as long as the answer is there, however it ends.
    pub(super) fn open(self: &Arc<Self>) -> Open {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.paths.iter().copied().chain([OTHER, UNREADABLE])
    }
}

impl MetricSource for ServerCounts {
    fn collect(&self, out: &mut Exposition) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let server = self.routes.server();
        let requests = out.family("kwapi_http_requests");
        for (name, route) in self.names().zip(&self.by_route) {
            for (method, statuses) in METHODS.iter().zip(&route.answers) {
                for (index, count) in statuses.iter().enumerate() {
                    let (count, code) = (load(count), STATUSES.get(index));
                    if count > 0 {
                        let code = code.map_or_else(|| "other".to_owned(), ToString::to_string);
                        let labels =
                            [("server", server), ("route", name), ("method", *method), ("code", &code)];
                        requests.count(&labels, count);
                    }
                }
            }
        }
        let durations = out.family("kwapi_http_request_duration_seconds");
        for (name, route) in self.names().zip(&self.by_route) {
            let buckets = route.buckets.each_ref().map(load);
            if buckets.iter().any(|count| *count > 0) {
                let labels = [("server", server), ("route", name)];
                let seconds = load(&route.nanoseconds) as f64 / 1e9;
                durations.histogram(&labels, &BOUNDS.map(|(_, bound)| bound), &buckets, seconds);
            }
        }
        // Ended first: a connection between the two is counted open rather than less than none.
        let ended = load(&self.ended);
        let open = load(&self.accepted).saturating_sub(ended);
        out.count("kwapi_http_connections", &[("server", server)], open);
        out.family("kwapi_http_connections_refused")
            .count(&[("server", server), ("cause", "full")], load(&self.refused_full))
            .count(&[("server", server), ("cause", "tls_handshake")], load(&self.refused_handshake));
        out.count("kwapi_http_connections_idle_closed", &[("server", server)], load(&self.made_room));
    }
}

#[cfg(test)]
mod tests;
