//! What is known of the connection to a server, for metrics, readiness and the log.

use std::sync::atomic::{AtomicU64, Ordering};

use kwapi_core::Timestamp;
use parking_lot::Mutex;

/// Which way messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatsSide {
    /// To the server.
    Publish,
    /// From it.
    Subscribe,
    /// From it as they are published, to show the present while what it has stored is read.
    Live,
}

impl NatsSide {
    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Live => "live",
        }
    }
}

/// A snapshot of the connection of one endpoint. Counts are from the start of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsLink {
    /// The endpoint.
    pub endpoint: String,
    /// Which way messages go.
    pub side: NatsSide,
    /// What keeps it from working, if anything does.
    pub problem: Option<String>,
    /// How often it was connected.
    pub connections: u64,
    /// Messages that the server has confirmed, or brought.
    pub messages: u64,
    /// Messages that wait: here for the server, or there for us.
    pub waiting: u64,
    /// Messages sent or brought more than once.
    pub repeated: u64,
    /// Messages dropped here: the oldest, because too many waited for the server; of [`NatsSide::Live`], because too many
    /// waited to be shown.
    pub dropped: u64,
    /// Messages that the server will never take.
    pub rejected: u64,
    /// Where messages are kept for us: up to when all of them are safe here, as far as is known. `None` before the first
    /// connection, and where nothing is kept.
    pub read_until: Option<Timestamp>,
}

/// The same as it is kept.
#[derive(Debug)]
pub(crate) struct Link {
    endpoint: String,
    side: NatsSide,
    problem: Mutex<Option<String>>,
    connections: AtomicU64,
    pub(super) messages: AtomicU64,
    pub(super) waiting: AtomicU64,
    pub(super) repeated: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) dropped: AtomicU64,
    /// Unix time in microseconds; 0: not known.
    read_until: AtomicU64,
}

impl Link {
    pub(super) fn new(endpoint: &str, side: NatsSide) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            side,
            problem: Mutex::new(Some("not connected yet".to_owned())),
            connections: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            read_until: AtomicU64::new(0),
        }
    }

    /// Notes that a connection stands; what keeps it from working may still be found.
    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that messages pass.
    pub(super) fn works(&self) {
        if self.problem.lock().take().is_some() {
            tracing::info!(endpoint = self.endpoint, side = self.side.name(), "connected to NATS");
        }
    }

    /// Notes what keeps messages from passing; told once.
    pub(super) fn fails(&self, problem: impl Into<String>) {
        let problem = problem.into();
        let mut now = self.problem.lock();
        if now.as_ref() != Some(&problem) {
            tracing::warn!(endpoint = self.endpoint, side = self.side.name(), "NATS: {problem}");
            *now = Some(problem);
        }
    }

    /// Whether messages pass.
    pub(super) fn is_working(&self) -> bool {
        self.problem.lock().is_none()
    }

    /// Notes up to when all that is kept for us is safe here.
    pub(super) fn note_read(&self, until: Timestamp) {
        self.read_until.store(until.micros(), Ordering::Relaxed);
    }

    /// See [`NatsLink::read_until`].
    pub(crate) fn read_until(&self) -> Option<Timestamp> {
        let micros = self.read_until.load(Ordering::Relaxed);
        (micros > 0).then(|| Timestamp::from_micros(micros))
    }

    /// How it is doing; `dropped` by a queue of its own.
    pub(crate) fn snapshot(&self, dropped: u64) -> NatsLink {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        NatsLink {
            endpoint: self.endpoint.clone(),
            side: self.side,
            problem: self.problem.lock().clone(),
            connections: read(&self.connections),
            messages: read(&self.messages),
            waiting: read(&self.waiting),
            repeated: read(&self.repeated),
            dropped: read(&self.dropped).saturating_add(dropped),
            rejected: read(&self.rejected),
            read_until: self.read_until(),
        }
    }
}
