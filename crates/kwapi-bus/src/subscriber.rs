//! Receives measurements from drivers and forwarders, verifies them and hands them on in batches.

mod ack;
mod config;
mod intake;
mod stored;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kwapi_core::{Pattern, ProcessClocks, Timestamp};
use parking_lot::Mutex;

pub use ack::Ack;
use ack::Acknowledged;
pub use config::{SourceConfig, SubscriberConfig};
use intake::{Ahead, Counts, Intake, Queued};

use crate::endpoint::EndpointConfig;
use crate::error::BusError;
use crate::key::Key;
use crate::queue::{self, DropOldest};
use crate::received::{Batch, Received};
use crate::refusal::Refusal;
use crate::transport::Inlet;
use crate::transport::inlets::Inlets;
use crate::transport::nats::{Aside, Link, NatsInlet, NatsLink, PositionKeys, is_nats};
use crate::transport::wake::Alarm;
use crate::transport::zeromq::{BusContext, ClientLists, Sockets, high_water_at};
use crate::verify::{AgeLimits, ClockWatch, Skew, Skews, Verification};
use crate::worker::Worker;

/// The most measurements in a batch.
const BATCH_MAX: usize = 512;

/// A running subscriber; dropping it closes its sockets.
#[derive(Debug)]
pub struct Subscriber {
    shared: Arc<Shared>,
    sources: Mutex<Vec<Vec<SourceConfig>>>,
    age_max: AgeLimits,
    client_lists: ClientLists,
    links: Vec<Arc<Link>>,
    /// Of each stream, in their order among the sources.
    position_keys: Vec<Arc<PositionKeys>>,
    /// What of their consumers was set aside.
    asides: Vec<Option<Arc<Aside>>>,
    /// Those of them that keep messages.
    keeping: Vec<Arc<Link>>,
    ahead: Vec<Ahead>,
    bound: Vec<String>,
    worker: Worker,
}

#[derive(Debug)]
struct Shared {
    queue: DropOldest<Queued>,
    /// What shows the present while what is kept is read.
    ahead: DropOldest<Received>,
    skews: Mutex<Vec<Arc<Skews>>>,
    /// How sources are verified from now on, where that has changed: each by its place.
    new_verifications: Mutex<Vec<(usize, Verification)>>,
    counts: Counts,
    acknowledged: Arc<Acknowledged>,
}

/// What a subscriber has met since it was started: `received` is the sum of `verified`, `unwanted`, `reserved` and
/// all of `refused`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriberCounters {
    /// Messages that came, of any kind.
    pub received: u64,
    /// Messages that became measurements.
    pub verified: u64,
    /// Messages of probes nobody subscribed to, received through the transport's prefix match, or in a batch with others.
    pub unwanted: u64,
    /// Messages on topics that begin with NUL, which are the bus's own.
    pub reserved: u64,
    /// Messages refused, by cause.
    pub refused: Vec<(Refusal, u64)>,
    /// Measurements dropped, oldest first, because the plugin did not keep up.
    pub dropped: u64,
}

impl Subscriber {
    /// Opens the endpoints and starts the thread that owns them. `clocks` are the process's own;
    /// `messages_per_interval` is what to expect: about as many as there are probes.
    ///
    /// # Errors
    /// When an endpoint cannot be opened or a key is unfit; nothing stays open then.
    pub fn start(
        context: &BusContext,
        config: &SubscriberConfig,
        clocks: &ProcessClocks,
        messages_per_interval: usize,
    ) -> Result<Self, BusError> {
        if config.endpoints.is_empty() || config.probes.is_empty() {
            return Err(BusError::config("subscriber", "no endpoints, or no probes"));
        }
        let mut groups: Vec<Vec<SourceConfig>> = Vec::new();
        for source in &config.endpoints {
            let alike =
                |group: &&mut Vec<SourceConfig>| group.first().is_some_and(|first| first.is_like(source));
            match groups.iter_mut().find(alike) {
                Some(group) => group.push(source.clone()),
                None => groups.push(vec![source.clone()]),
            }
        }
        // Sockets before streams, as they are read.
        groups.sort_by_key(|group| group.first().is_some_and(|source| is_nats(&source.url)));
        let age_max = AgeLimits {
            live: Duration::from_secs(config.max_age_seconds),
            stored: Duration::from_secs(config.stored_age_max_seconds),
        };
        let mut verifications: Vec<_> = groups
            .iter()
            .filter_map(|group| group.first())
            .map(|source| verification(source, age_max))
            .collect::<Result<_, _>>()?;
        // Beside each consumer a source of the present, last of all.
        let kept = groups.iter().enumerate().filter_map(|(of, group)| Some((of, group.first()?.clone())));
        let kept: Vec<_> = kept.filter(|(_, source)| source.consumer.is_some()).collect();
        let mut ahead = Vec::new();
        for (of, source) in kept {
            let shared = verifications.get(of).map(Verification::skews).cloned();
            ahead.push(Ahead { of, live: groups.len() });
            let verification = verification(&source, age_max)?;
            verifications.push(match shared {
                Some(skews) => verification.with_skews(skews),
                None => verification,
            });
            groups.push(vec![source]);
        }
        let all: Vec<Vec<_>> =
            groups.iter().map(|group| group.iter().map(SourceConfig::endpoint).collect()).collect();
        let is_socket = |group: &Vec<EndpointConfig>| !group.first().is_some_and(EndpointConfig::is_nats);
        let endpoints: Vec<_> = all.into_iter().filter(is_socket).collect();
        let prefixes: BTreeSet<_> = config.probes.iter().map(Pattern::topic_prefix).collect();
        let high_water = |url: &str| high_water_at(url, config.high_water, messages_per_interval);
        let sockets = Sockets::open(context, &endpoints, &prefixes, high_water)?;
        let bound = sockets.bound();
        let queue_length = messages_per_interval.saturating_mul(2).max(queue::LENGTH_MIN);
        let watched = ClockWatch::new(clocks.clone(), config.clock_not_before);
        let client_lists = sockets.client_lists();
        let probes = config.probes.clone();
        let alarm = Alarm::new()?;
        let is_ahead = |place: usize| ahead.iter().any(|ahead| ahead.live == place);
        let streams =
            groups.iter().enumerate().flat_map(|(place, group)| group.iter().map(move |it| (place, it)));
        let streams: Vec<_> = streams
            .filter(|(_, source)| is_nats(&source.url))
            .map(|(place, source)| {
                NatsInlet::start(source.stream(config, clocks, is_ahead(place))?, alarm.waker())
            })
            .collect::<Result<_, _>>()?;
        let links = streams.iter().map(NatsInlet::link).collect();
        let keeping = streams.iter().filter(|stream| stream.keeps()).map(NatsInlet::link).collect();
        let position_keys = streams.iter().map(NatsInlet::keys).collect();
        let asides = streams.iter().map(NatsInlet::aside).collect();
        let inlets = Inlets::new(sockets, streams, alarm);
        let subscriber = Self::read(inlets, verifications, &ahead, probes, watched, queue_length, bound)?;
        let sources = Mutex::new(groups);
        Ok(Self {
            sources,
            age_max,
            client_lists,
            links,
            position_keys,
            asides,
            keeping,
            ahead,
            ..subscriber
        })
    }

    /// Applies the keys that `endpoints` name now, whose URLs are those it was started with: what messages may be signed
    /// with from now on, and who may connect where it is bound. An endpoint that is not among them continues as it was.
    ///
    /// # Errors
    /// When a key is unfit, or endpoints that had the same keys have no longer, which takes a restart; nothing has changed
    /// then.
    pub fn verify_with(&self, endpoints: &[SourceConfig]) -> Result<(), BusError> {
        let mut groups = self.sources.lock();
        let mut changed: Vec<(usize, Vec<Key>, Verification)> = Vec::new();
        for (place, group) in groups.iter().enumerate() {
            let mut now = group.iter().map(|source| {
                let new =
                    endpoints.iter().find(|new| new.url == source.url && new.signature == source.signature);
                (source, new.map_or(&source.keys, |new| &new.keys))
            });
            let Some((first, keys)) = now.next() else { continue };
            if let Some((other, _)) = now.find(|(_, others)| *others != keys) {
                let reason = format!("its keys are no longer those of {}; restart to apply this", first.url);
                return Err(BusError::config(&other.url, reason));
            }
            if *keys != first.keys {
                let source = SourceConfig { keys: keys.clone(), ..first.clone() };
                changed.push((place, keys.clone(), verification(&source, self.age_max)?));
            }
        }
        let plain: Vec<_> = endpoints.iter().map(SourceConfig::endpoint).collect();
        self.client_lists.replace(&plain)?;
        self.links.iter().for_each(|link| link.log_in_with(&plain));
        let mut new = self.shared.new_verifications.lock();
        for (place, keys, mut verification) in changed {
            if let Some(ahead) = self.ahead.iter().find(|ahead| ahead.live == place) {
                // Those of the source beside it, which comes before it and has the same keys.
                let skews = self.shared.skews.lock().get(ahead.of).cloned();
                verification = match skews {
                    Some(skews) => verification.with_skews(skews),
                    None => verification,
                };
            } else if let Some(skews) = self.shared.skews.lock().get_mut(place) {
                *skews = verification.skews().clone();
            }
            groups.get_mut(place).into_iter().flatten().for_each(|source| source.keys.clone_from(&keys));
            new.push((place, verification));
        }
        let streams = || groups.iter().flatten().filter(|source| is_nats(&source.url));
        for (source, aside) in streams().zip(&self.asides) {
            if let Some(aside) = aside {
                aside.accept(source.keys.iter().map(Key::print).collect());
            }
        }
        drop(new);
        for (source, keys) in streams().zip(&self.position_keys) {
            // Those that have verified messages are fit.
            let unfit = |error| BusError::Key { url: source.url.clone(), source: error };
            keys.replace(&source.keys).map_err(unfit)?;
        }
        Ok(())
    }

    /// Reads from `inlet`, each source by its verification.
    fn read(
        inlet: impl Inlet,
        verifications: Vec<Verification>,
        ahead: &[Ahead],
        probes: Vec<Pattern>,
        clocks: ClockWatch,
        queue_length: usize,
        bound: Vec<String>,
    ) -> Result<Self, BusError> {
        let shared = Arc::new(Shared {
            queue: DropOldest::new(queue_length),
            ahead: DropOldest::new(queue_length),
            skews: Mutex::new(
                verifications
                    .iter()
                    .take(verifications.len().saturating_sub(ahead.len()))
                    .map(|verification| verification.skews().clone())
                    .collect(),
            ),
            new_verifications: Mutex::default(),
            counts: Counts::default(),
            acknowledged: Arc::default(),
        });
        let mut intake = Intake::new(shared.clone(), inlet, verifications, ahead, probes, clocks);
        let worker = Worker::start("bus-subscriber", move |stop| intake.run(stop))?;
        let (sources, client_lists) = (Mutex::default(), ClientLists::default());
        let age_max = AgeLimits { live: Duration::ZERO, stored: Duration::ZERO };
        let ahead = ahead.to_vec();
        let (links, position_keys, keeping) = (Vec::new(), Vec::new(), Vec::new());
        let asides = Vec::new();
        Ok(Self {
            shared,
            sources,
            age_max,
            client_lists,
            links,
            position_keys,
            asides,
            keeping,
            ahead,
            bound,
            worker,
        })
    }

    /// The next verified measurements, some hundreds at most; `None` when the subscriber has ended. Dropping the
    /// future loses nothing.
    pub async fn recv(&self) -> Option<(Batch, Ack)> {
        let queued = self.shared.queue.take(BATCH_MAX).await?;
        let mut ack = Ack::new(&self.shared.acknowledged);
        let measurements = queued.into_iter().map(|Queued { received, place }| {
            if let Some((source, token)) = place {
                ack.cover(source, token);
            }
            received
        });
        Some((Batch { measurements: measurements.collect() }, ack))
    }

    /// What shows the present ahead of what [`Subscriber::recv`] returns, while a source that keeps its messages is
    /// behind: verified, of no account, and kept by that source as well. `None` when the subscriber has ended. Dropping
    /// the future loses nothing.
    pub async fn recv_ahead(&self) -> Option<Batch> {
        Some(Batch { measurements: self.shared.ahead.take(BATCH_MAX).await? })
    }

    /// The addresses it is bound to, with the ports the system chose.
    pub fn bound(&self) -> &[String] {
        &self.bound
    }

    /// How the connections to NATS are doing.
    pub fn nats_links(&self) -> Vec<NatsLink> {
        // Who keeps its messages drops none here.
        self.links.iter().map(|link| link.snapshot(0)).collect()
    }

    /// Up to when all that sources keep for it is safe here; where that is not known of one of them, the beginning of time.
    /// `None` where nothing is kept.
    pub fn stored_until(&self) -> Option<Timestamp> {
        self.keeping.iter().map(|link| link.read_until().unwrap_or(Timestamp::EPOCH)).min()
    }

    /// Whether its thread runs; it ends by itself only when the bus fails as a whole, which is logged.
    pub fn is_running(&self) -> bool {
        self.worker.is_running()
    }

    /// What it has met.
    pub fn counters(&self) -> SubscriberCounters {
        let counts = &self.shared.counts;
        SubscriberCounters {
            received: counts.received.load(Ordering::Relaxed),
            verified: counts.verified.load(Ordering::Relaxed),
            unwanted: counts.unwanted.load(Ordering::Relaxed),
            reserved: counts.reserved.load(Ordering::Relaxed),
            refused: counts.refused.snapshot(),
            dropped: self.shared.queue.dropped(),
        }
    }

    /// How far the clock of each publisher received from so far is from ours, transit included.
    pub fn skews(&self) -> Vec<Skew> {
        self.shared.skews.lock().iter().flat_map(|skews| skews.snapshot()).collect()
    }
}

fn verification(source: &SourceConfig, age_max: AgeLimits) -> Result<Verification, BusError> {
    Verification::new(source.url.clone(), source.signature, source.keys.iter().cloned(), age_max)
        .map_err(|error| BusError::Key { url: source.url.clone(), source: error })
}

#[cfg(test)]
mod tests;
