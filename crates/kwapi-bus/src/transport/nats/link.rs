//! What is known of the connection to a server, for metrics, readiness and the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kwapi_core::{Loss, Losses, Timestamp};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::login::NatsConfig;
use crate::endpoint::EndpointConfig;

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
    /// What keeps it from working, if anything does: also that the server takes nothing that it is sent.
    pub problem: Option<String>,
    /// That some messages are being lost on their way to the server.
    pub loss: Option<Loss>,
    /// How often it was connected.
    pub connections: u64,
    /// Messages that the server has confirmed, or delivered: of a batch each.
    pub messages: u64,
    /// Batches, of several messages each, that the server has confirmed, or delivered.
    pub batches: u64,
    /// Messages that wait: here for the server, or there for us, where the server counts a batch as one.
    pub waiting: u64,
    /// Messages sent or delivered more than once.
    pub repeated: u64,
    /// Messages dropped here: the oldest, because too many waited for the server; of [`NatsSide::Live`], because too many
    /// waited to be shown.
    pub dropped: u64,
    /// Messages that the server will never take.
    pub rejected: u64,
    /// Messages delivered that had been accepted already, and went no further; a batch counts as one.
    pub known: u64,
    /// Messages delivered that went no further since one before them was missing: both are delivered again. A batch counts as one.
    pub early: u64,
    /// Messages whose place at their site is not signed by a key that is accepted.
    pub misplaced: u64,
    /// Messages that the stream dropped, by its limits or since it was purged, before they were delivered; a batch counts as
    /// one.
    pub lost: u64,
    /// Measurements that no accepted key verifies, left in the stream until their key is accepted…
    pub aside: u64,
    /// …and since when there are any.
    pub aside_since: Option<Timestamp>,
    /// Why they cannot be read again, although a key is accepted that may verify some.
    pub aside_problem: Option<String>,
    /// When the message after the last of those that were lost was stored.
    pub lost_until: Option<Timestamp>,
    /// Where messages are kept for us: up to when all of them are safe here, as far as is known. `None` before the first
    /// connection, and where nothing is kept.
    pub read_until: Option<Timestamp>,
    /// The sites whose streams it takes from, where it does.
    pub sites: Vec<NatsSiteLink>,
}

/// What the stream at the centre has of a site that stores for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsSiteLink {
    /// The JetStream domain of its server.
    pub name: String,
    /// Messages that it has and the centre has not, by what the centre's server last received, which counts a batch as
    /// one.
    pub waiting: u64,
    /// For how long something may be lacking: zero where all of it is there; `None` where it was never all there while this
    /// process has run.
    pub lacking_for: Option<Duration>,
}

/// The same as it was looked up.
#[derive(Clone, Debug)]
pub(super) struct NatsSiteState {
    pub(super) name: String,
    pub(super) waiting: u64,
    pub(super) is_complete: bool,
    /// When it was last.
    pub(super) complete_at: Option<Instant>,
}

impl NatsSiteState {
    fn lacking_for(&self, now: Instant) -> Option<Duration> {
        if self.is_complete {
            Some(Duration::ZERO)
        } else {
            Some(now.saturating_duration_since(self.complete_at?))
        }
    }

    fn link(&self, now: Instant) -> NatsSiteLink {
        NatsSiteLink { name: self.name.clone(), waiting: self.waiting, lacking_for: self.lacking_for(now) }
    }
}

/// The same as it is kept.
#[derive(Debug)]
pub(crate) struct Link {
    endpoint: String,
    side: NatsSide,
    problem: Mutex<Option<String>>,
    losses: Mutex<Losses>,
    /// Instead of the login that it began with.
    login: Mutex<Option<NatsConfig>>,
    connections: AtomicU64,
    pub(super) messages: AtomicU64,
    pub(super) batches: AtomicU64,
    pub(super) waiting: AtomicU64,
    pub(super) repeated: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) known: AtomicU64,
    pub(super) early: AtomicU64,
    pub(super) misplaced: AtomicU64,
    pub(super) dropped: AtomicU64,
    lost: AtomicU64,
    aside: AtomicU64,
    /// Unix time in microseconds; 0: not known.
    aside_since: AtomicU64,
    aside_problem: Mutex<Option<String>>,
    lost_until: AtomicU64,
    read_until: AtomicU64,
    sites: Mutex<Vec<NatsSiteState>>,
}

impl Link {
    pub(super) fn new(endpoint: &str, side: NatsSide) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            side,
            problem: Mutex::new(Some("not connected yet".to_owned())),
            losses: Mutex::default(),
            login: Mutex::default(),
            connections: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            known: AtomicU64::new(0),
            early: AtomicU64::new(0),
            misplaced: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            aside: AtomicU64::new(0),
            aside_since: AtomicU64::new(0),
            aside_problem: Mutex::default(),
            lost_until: AtomicU64::new(0),
            read_until: AtomicU64::new(0),
            sites: Mutex::default(),
        }
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Notes that a connection stands; what keeps it from working may still be found.
    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Has the next connection log in like this. One that stands stays: a server ends those of a login that it revokes.
    pub(crate) fn log_in_with(&self, endpoints: &[EndpointConfig]) {
        if let Some(endpoint) = endpoints.iter().find(|endpoint| endpoint.url == self.endpoint) {
            *self.login.lock() = Some(endpoint.nats.clone());
        }
    }

    /// How to log in, if that has changed since it began.
    pub(super) fn login(&self) -> Option<NatsConfig> {
        self.login.lock().clone()
    }

    /// Notes that messages pass.
    pub(super) fn works(&self) {
        if self.problem.lock().take().is_some() {
            tracing::info!(endpoint = self.endpoint, side = self.side.name(), "connected to NATS");
        }
    }

    /// Notes what keeps messages from passing; reported once.
    pub(super) fn fails(&self, problem: impl Into<String>) {
        let problem = problem.into();
        let mut now = self.problem.lock();
        if now.as_ref() != Some(&problem) {
            tracing::warn!(endpoint = self.endpoint, side = self.side.name(), "NATS: {problem}");
            *now = Some(problem);
        }
    }

    /// Notes how the sites are doing that the stream takes from.
    pub(super) fn note_sites(&self, states: Vec<NatsSiteState>) {
        *self.sites.lock() = states;
    }

    /// Whether it takes from any.
    pub(super) fn has_sites(&self) -> bool {
        !self.sites.lock().is_empty()
    }

    /// For how long something of a site may be lacking in the stream; `None` where nothing is.
    pub(super) fn lacking_for(&self, now: Instant) -> Option<Duration> {
        let sites = self.sites.lock();
        let lacking = sites.iter().filter(|site| !site.is_complete);
        lacking.map(|site| site.lacking_for(now).unwrap_or(Duration::MAX)).max()
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
        stamp(&self.read_until)
    }

    /// Notes that the stream has dropped messages before they were delivered; the next one was stored at `until`.
    pub(super) fn note_lost(&self, count: u64, until: Timestamp) {
        self.lost.fetch_add(count, Ordering::Relaxed);
        self.lost_until.store(until.micros(), Ordering::Relaxed);
    }

    /// Notes how many measurements no accepted key verifies, which are left in the stream since `since`.
    pub(super) fn note_aside(&self, count: u64, since: Timestamp) {
        self.aside.store(count, Ordering::Relaxed);
        self.aside_since.store(since.micros(), Ordering::Relaxed);
    }

    /// Notes why they cannot be read again, if anything keeps them from it; reported once.
    pub(super) fn note_aside_problem(&self, problem: Option<String>) {
        let mut now = self.aside_problem.lock();
        if let Some(problem) = problem.as_ref().filter(|_| *now != problem) {
            tracing::warn!(endpoint = self.endpoint, "NATS: {problem}");
        }
        *now = problem;
    }

    /// Notes that messages were lost on their way to the server.
    pub(super) fn loses(&self, count: u64, why: &'static str) {
        self.losses.lock().lose(count, why, Instant::now().into_std());
    }

    /// Notes that the server has stored something.
    pub(super) fn stores(&self) {
        self.losses.lock().pass();
    }

    /// How it is doing; `dropped` by a queue of its own.
    pub(crate) fn snapshot(&self, dropped: u64) -> NatsLink {
        let loss = self.losses.lock().present(Instant::now().into_std());
        let of_all = loss.as_ref().filter(|loss| loss.is_all).map(|loss| loss.text("messages"));
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        NatsLink {
            endpoint: self.endpoint.clone(),
            side: self.side,
            problem: self.problem.lock().clone().or(of_all),
            loss,
            connections: read(&self.connections),
            messages: read(&self.messages),
            batches: read(&self.batches),
            waiting: read(&self.waiting),
            repeated: read(&self.repeated),
            dropped: read(&self.dropped).saturating_add(dropped),
            rejected: read(&self.rejected),
            known: read(&self.known),
            early: read(&self.early),
            misplaced: read(&self.misplaced),
            lost: read(&self.lost),
            aside: read(&self.aside),
            aside_since: stamp(&self.aside_since),
            aside_problem: self.aside_problem.lock().clone(),
            lost_until: stamp(&self.lost_until),
            read_until: self.read_until(),
            sites: self.sites.lock().iter().map(|site| site.link(Instant::now())).collect(),
        }
    }
}

/// A time that is kept in microseconds, 0 where it is not known.
fn stamp(micros: &AtomicU64) -> Option<Timestamp> {
    let micros = micros.load(Ordering::Relaxed);
    (micros > 0).then(|| Timestamp::from_micros(micros))
}
