//! Receives measurements from drivers and forwarders, verifies them and hands them on in batches.

mod source;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kwapi_core::{Pattern, WallClock};
use serde::Deserialize;
use zmq::Message;

use crate::context::BusContext;
use crate::curve::CurveConfig;
use crate::endpoint::{Attach, BusError, EndpointConfig, high_water};
use crate::key::{Key, Scheme};
use crate::queue::DropOldest;
use crate::received::{Batch, Received};
use crate::refusal::{Refusal, RefusalCounters};
use crate::worker::{STOP_POLL_MS, Worker};
pub use source::Skew;
use source::Source;

/// The most measurements in a batch.
const BATCH_MAX: usize = 512;
/// The fewest verified measurements that wait for the plugin before the oldest is dropped.
const QUEUE_MIN: usize = 10_000;
/// How many messages one source may bring before the next has its turn.
const TURN_MAX: usize = 1_024;
/// How old a measurement may be where nothing stores messages on the way.
const MAX_AGE_SECONDS: u64 = 300;
/// One stamp far ahead ends an RRD, and hides the present until its time has come.
const AHEAD_MAX: Duration = Duration::from_secs(60);

/// What a subscriber is told: `[bus.subscriber]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscriberConfig {
    /// Drivers and forwarders to listen to. A message that comes on two ways is credited once, by the account.
    pub endpoints: Vec<SourceConfig>,
    /// Which probes: `*` (the default), ids, `lyon.*`.
    #[serde(default = "all_probes")]
    pub probes: Vec<Pattern>,
    /// An older measurement is refused as `stale`.
    #[serde(default = "max_age_seconds")]
    pub max_age_seconds: u64,
    /// How many messages are kept per peer; by default four intervals of all probes, 2 000 at least.
    #[serde(default)]
    pub high_water: Option<NonZeroU32>,
}

/// An endpoint to listen to, and how its messages are verified: `[[bus.subscriber.endpoints]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// As [`EndpointConfig::url`].
    pub url: String,
    /// As [`EndpointConfig::attach`]; a subscriber connects.
    #[serde(default)]
    pub attach: Option<Attach>,
    /// As [`EndpointConfig::ipv6`].
    #[serde(default)]
    pub ipv6: bool,
    /// As [`EndpointConfig::curve`].
    #[serde(default)]
    pub curve: Option<CurveConfig>,
    /// How its messages are signed.
    #[serde(default)]
    pub signature: Scheme,
    /// The keys they may be signed with; none under `signature = "none"`.
    #[serde(default)]
    pub keys: Vec<Key>,
}

fn all_probes() -> Vec<Pattern> {
    vec![Pattern::All]
}

fn max_age_seconds() -> u64 {
    MAX_AGE_SECONDS
}

impl SubscriberConfig {
    /// All probes of `endpoints`.
    pub fn new(endpoints: Vec<SourceConfig>) -> Self {
        Self { endpoints, probes: all_probes(), max_age_seconds: MAX_AGE_SECONDS, high_water: None }
    }
}

impl SourceConfig {
    /// An endpoint in the clear, to connect to.
    pub fn new(url: impl Into<String>, signature: Scheme, keys: Vec<Key>) -> Self {
        Self { url: url.into(), attach: None, ipv6: false, curve: None, signature, keys }
    }

    pub(crate) fn endpoint(&self) -> EndpointConfig {
        EndpointConfig {
            url: self.url.clone(),
            attach: self.attach,
            ipv6: self.ipv6,
            curve: self.curve.clone(),
        }
    }

    /// Whether one socket can serve both.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let Self { url: _, attach, ipv6, curve, signature, keys } = self;
        let own = (*attach, *ipv6, curve, *signature, keys);
        own == (other.attach, other.ipv6, &other.curve, other.signature, &other.keys)
            && self.url.contains('[') == other.url.contains('[')
    }
}

/// A running subscriber; dropping it closes its sockets.
#[derive(Debug)]
pub struct Subscriber {
    shared: Arc<Shared>,
    worker: Worker,
}

/// To be called once a batch is where it will not be lost. On ZeroMQ, which keeps nothing, it does nothing.
#[derive(Debug)]
#[must_use = "a transport that stores messages sends them again until they are acknowledged"]
pub struct Ack(());

impl Ack {
    /// Says that the batch is safe.
    pub fn confirm(self) {}
}

#[derive(Debug)]
pub(crate) struct Shared {
    queue: DropOldest<Received>,
    sources: Vec<Arc<source::Skews>>,
    counts: Counts,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    received: AtomicU64,
    verified: AtomicU64,
    unwanted: AtomicU64,
    reserved: AtomicU64,
    refused: RefusalCounters,
}

/// What a subscriber has met since it was started: `received` is the sum of `verified`, `unwanted`, `reserved` and
/// all of `refused`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriberCounters {
    /// Messages that came, of any kind.
    pub received: u64,
    /// Messages that became measurements.
    pub verified: u64,
    /// Messages of probes nobody asked for, which came by the transport's prefix match.
    pub unwanted: u64,
    /// Messages on topics that begin with NUL, which are the bus's own.
    pub reserved: u64,
    /// Messages refused, by cause.
    pub refused: Vec<(Refusal, u64)>,
    /// Measurements dropped, oldest first, because the plugin did not keep up.
    pub dropped: u64,
}

impl Subscriber {
    /// Opens the endpoints and starts the thread that owns them. `messages_per_interval` is what to expect: about as
    /// many as there are probes.
    ///
    /// # Errors
    /// When an endpoint cannot be opened or a key is unfit; nothing stays open then.
    pub fn start(
        context: &BusContext,
        config: &SubscriberConfig,
        clock: WallClock,
        messages_per_interval: usize,
    ) -> Result<Self, BusError> {
        if config.endpoints.is_empty() || config.probes.is_empty() {
            return Err(BusError::config("subscriber", "no endpoints, or no probes"));
        }
        let high_water = high_water(config.high_water, messages_per_interval);
        let sources = Source::open_all(context, config, high_water)?;
        let shared = Arc::new(Shared {
            queue: DropOldest::new(messages_per_interval.saturating_mul(2).max(QUEUE_MIN)),
            sources: sources.iter().map(|source| source.skews.clone()).collect(),
            counts: Counts::default(),
        });
        let mut intake = Intake {
            shared: shared.clone(),
            probes: config.probes.clone(),
            max_age: Duration::from_secs(config.max_age_seconds),
            clock,
            start: Instant::now(),
            fresh: Vec::with_capacity(TURN_MAX),
        };
        let worker = Worker::start("bus-subscriber", move |stop| {
            intake.run(&sources, stop);
            intake.shared.queue.close();
        })?;
        Ok(Self { shared, worker })
    }

    /// The next verified measurements, some hundreds at most; `None` when the subscriber has ended. Dropping the
    /// future loses nothing.
    pub async fn recv(&self) -> Option<(Batch, Ack)> {
        let measurements = self.shared.queue.take(BATCH_MAX).await?;
        Some((Batch { measurements }, Ack(())))
    }

    /// Whether its thread runs; it ends by itself only when the bus fails as a whole, which is logged.
    pub fn is_running(&self) -> bool {
        self.worker.is_running()
    }

    /// What it has met.
    pub fn counters(&self) -> SubscriberCounters {
        let counts = &self.shared.counts;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SubscriberCounters {
            received: load(&counts.received),
            verified: load(&counts.verified),
            unwanted: load(&counts.unwanted),
            reserved: load(&counts.reserved),
            refused: counts.refused.snapshot(),
            dropped: self.shared.queue.dropped(),
        }
    }

    /// How far the clock of each publisher heard so far is from ours, journey included.
    pub fn skews(&self) -> Vec<Skew> {
        self.shared.sources.iter().flat_map(|source| source.snapshot()).collect()
    }
}

/// What the thread works with.
struct Intake {
    shared: Arc<Shared>,
    probes: Vec<Pattern>,
    max_age: Duration,
    clock: WallClock,
    start: Instant,
    /// Verified in this round and not handed over yet.
    fresh: Vec<Received>,
}

impl Intake {
    fn run(&mut self, sources: &[Source], stop: &AtomicBool) {
        let mut items: Vec<_> =
            sources.iter().map(|source| source.open.socket.as_poll_item(zmq::POLLIN)).collect();
        let mut frames = [Message::new(), Message::new()];
        while !stop.load(Ordering::Relaxed) {
            match zmq::poll(&mut items, STOP_POLL_MS) {
                Ok(_) | Err(zmq::Error::EINTR) => {}
                Err(error) => {
                    tracing::error!(%error, "the subscriber ends");
                    return;
                }
            }
            for (source, item) in sources.iter().zip(&items) {
                if item.is_readable() {
                    self.turn(source, &mut frames);
                }
            }
        }
    }

    /// Takes what a source has, up to its turn.
    fn turn(&mut self, source: &Source, frames: &mut [Message; 2]) {
        let arrived = self.clock.now();
        let heard = self.start.elapsed();
        let counts = &self.shared.counts;
        for _ in 0..TURN_MAX {
            let Ok(count) = receive(&source.open.socket, frames) else { break };
            counts.received.fetch_add(1, Ordering::Relaxed);
            let [topic, payload] = frames;
            if count > 0 && topic.first() == Some(&0) {
                counts.reserved.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            if count == 2 && !self.is_wanted(topic) {
                counts.unwanted.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let verified = match count {
                2 => source.verify(topic, payload, arrived, self.max_age, AHEAD_MAX),
                _ => Err(Refusal::Frames),
            };
            match verified {
                Ok((measurement, key)) => {
                    counts.verified.fetch_add(1, Ordering::Relaxed);
                    self.fresh.push(Received { measurement, key, arrived, heard });
                }
                Err(cause) => counts.refused.count(cause),
            }
        }
        self.shared.queue.extend(self.fresh.drain(..));
    }

    /// Whether anybody asked for this probe: ZeroMQ's prefix match on `C.` also brings `C.1.`.
    fn is_wanted(&self, topic: &[u8]) -> bool {
        let Some(id) = topic.strip_suffix(b".") else { return true }; // Refused, by its cause.
        self.probes.iter().any(|pattern| match pattern {
            Pattern::All => true,
            Pattern::Exact(probe) => probe.as_str().as_bytes() == id,
            Pattern::Below(root) => {
                id.strip_prefix(root.as_str().as_bytes()).is_some_and(|rest| rest.first() == Some(&b'.'))
            }
        })
    }
}

/// Receives one message and says how many frames it had; those past the second are let go.
fn receive(socket: &zmq::Socket, frames: &mut [Message; 2]) -> Result<usize, zmq::Error> {
    let [topic, payload] = frames;
    socket.recv(topic, zmq::DONTWAIT)?;
    if !topic.get_more() {
        return Ok(1);
    }
    socket.recv(payload, zmq::DONTWAIT)?;
    let mut count = 2;
    let mut more = payload.get_more();
    let mut excess = Message::new();
    while more {
        socket.recv(&mut excess, zmq::DONTWAIT)?;
        more = excess.get_more();
        count += 1;
    }
    Ok(count)
}
