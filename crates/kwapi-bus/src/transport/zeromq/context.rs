//! The process's one ZeroMQ context.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use zmq::Context;
use zmq_sys::bounds;

use super::curve::CurveKey;
use super::zap::{Admission, ZapHandler};
use crate::error::BusError;

/// Threads that move bytes; one carries over a million of our messages a second in the clear.
const IO_THREADS: i32 = 2;
/// A bound endpoint lets in no more connections than this part of the descriptors the process may have, so that
/// strangers cannot take those of meters and files…
const DESCRIPTORS_SHARE: u64 = 4;
/// …and no fewer than this.
const CONNECTIONS_MIN: u64 = 64;
/// Where the system does not report a limit of descriptors.
const CONNECTIONS_USUAL: u64 = 512;
/// Each takes memory as well.
const CONNECTIONS_MAX: u64 = 4_096;

/// The process's ZeroMQ context. Make one and hand out clones; it ends with the last of them.
#[derive(Clone)]
pub struct BusContext(Arc<Inner>);

struct Inner {
    handler: Mutex<Option<Arc<ZapHandler>>>,
    names: AtomicU64,
    context: Context,
}

/// What the bus has refused to hold since the process began, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BusCounters {
    /// Connections that came to a bound endpoint and still stand.
    pub connections: u64,
    /// Connections closed at once, since there were as many as there may be.
    pub connections_refused: u64,
    /// Messages of more frames than any honest one, each of which cost its sender the connection.
    pub messages_refused: u64,
    /// Subscriptions beyond what a listener, or all of an endpoint together, may have.
    pub subscriptions_refused: u64,
}

impl BusContext {
    /// A new context. One a process is enough, and `inproc` needs it shared. How many connections are let in follows
    /// from the descriptors the process may have by now.
    pub fn new() -> Self {
        let context = Context::new();
        if let Err(error) = context.set_io_threads(IO_THREADS) {
            tracing::warn!(%error, "the bus runs on one I/O thread");
        }
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        bounds::limit_connections(connections_max(descriptors_max(&limits)));
        Self(Arc::new(Inner { handler: Mutex::new(None), names: AtomicU64::new(0), context }))
    }

    /// Lets in as many connections at the bound endpoints of this process together, instead of a quarter of the
    /// descriptors.
    pub fn limit_connections(&self, count: usize) {
        bounds::limit_connections(count as u64);
    }

    /// What has been refused. It is of the process: all of its contexts count together.
    pub fn counters(&self) -> BusCounters {
        BusCounters {
            connections: bounds::connections(),
            connections_refused: bounds::connections_refused(),
            messages_refused: bounds::messages_refused(),
            subscriptions_refused: bounds::subscriptions_refused(),
        }
    }

    pub(super) fn zmq(&self) -> &Context {
        &self.0.context
    }

    /// A name no other in this context has.
    pub(super) fn unique(&self, what: &str) -> String {
        format!("{what}-{}", self.0.names.fetch_add(1, Ordering::Relaxed))
    }

    /// Admits `clients` wherever the domain of the answer is set. The handler answers before this returns: without one,
    /// libzmq admits everybody.
    pub(super) fn admit(&self, clients: HashSet<CurveKey>) -> Result<Admission, BusError> {
        let mut handler = self.0.handler.lock();
        let handler = match &*handler {
            Some(handler) => handler.clone(),
            None => handler.insert(Arc::new(ZapHandler::start(&self.0.context)?)).clone(),
        };
        Ok(handler.admit(self.unique("kwapi"), clients))
    }
}

impl Default for BusContext {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for BusContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BusContext")
    }
}

fn connections_max(descriptors: Option<u64>) -> u64 {
    descriptors.map_or(CONNECTIONS_USUAL, |count| {
        (count / DESCRIPTORS_SHARE).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX)
    })
}

/// The soft limit on open files, of `/proc/self/limits`: proc(5).
fn descriptors_max(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_most_descriptors_to_others() {
        let limits = |soft: &str| {
            format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max processes             31381                31381                processes \n\
                 Max open files            {soft:<20} 524288               files     \n"
            )
        };
        let max = |soft: &str| connections_max(descriptors_max(&limits(soft)));
        assert_eq!([max("1024"), max("100"), max("524288"), max("unlimited")], [256, 64, 4_096, 512]);
        assert_eq!(connections_max(descriptors_max("")), 512);
    }
}
