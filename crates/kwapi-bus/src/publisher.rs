//! Publishes measurements to whoever subscribes.

mod describer;
mod signers;

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use describer::Describer;
use kwapi_core::{Measurement, MeterFacts};
use parking_lot::Mutex;
use signers::Signers;
use zmq::SocketType;

pub use describer::Describe;

use crate::endpoint::{Attach, EndpointConfig, require_signature};
use crate::error::BusError;
use crate::key::{Key, KeyError, Scheme};
use crate::message::Wire;
use crate::queue::{self, DropOldest};
use crate::spool::{SpoolConfig, SpoolCounters, SpoolWriter};
use crate::transport::nats::{NatsLink, NatsOutlet, Outgoing, PositionKeys, SpoolReader};
use crate::transport::zeromq::{BusContext, ClientLists, ListenerQueues, OpenSocket, high_water_at};
use crate::worker::Worker;

/// How often an idle publisher lets its sockets take note of new subscribers.
const IDLE: Duration = Duration::from_millis(100);

/// How often is looked whether all is stored.
const STORED_POLL: Duration = Duration::from_millis(20);

/// How a publisher is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublisherConfig {
    /// Where subscribers find it (bound), or the forwarders it goes to (`attach = "connect"`).
    pub endpoints: Vec<EndpointConfig>,
    /// How it signs.
    pub signature: Scheme,
    /// What it signs with: of the keys that are valid when a measurement was taken, the one that began last. None under
    /// `signature = "none"`.
    pub keys: Vec<Key>,
    /// How many messages are kept for a slow subscriber; by default four intervals of all probes, 2 000 at least.
    pub high_water: Option<NonZeroU32>,
}

/// A running publisher; dropping it closes its sockets.
pub struct Publisher {
    shared: Arc<Shared>,
    signature: Scheme,
    client_lists: ClientLists,
    bound: Vec<String>,
    worker: CloseThenJoin,
    /// After the thread that fills them.
    outlets: Arc<Vec<NatsOutlet>>,
    /// What positions in the spool are signed with.
    position_keys: Arc<PositionKeys>,
    /// After those that read it.
    spool: Option<Arc<SpoolWriter>>,
}

/// A measurement to be sent, and what is known of its meter.
type Queued = (Measurement, Option<MeterFacts>);

struct Shared {
    queue: DropOldest<Queued>,
    /// What to sign with from now on, where that has changed.
    new_signers: Mutex<Option<Signers>>,
    /// What the configuration has of probes from now on, where that may have changed.
    new_describe: Mutex<Option<Describe>>,
    published: AtomicU64,
    described: AtomicU64,
    unsigned: AtomicU64,
    failed: AtomicU64,
}

/// What a publisher has done since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublisherCounters {
    /// Measurements signed and handed to the sockets.
    pub published: u64,
    /// Those of them that describe their probe.
    pub described: u64,
    /// Measurements dropped, oldest first, because the publisher's thread did not keep up.
    pub dropped: u64,
    /// Measurements not sent, because no key was valid when they were taken.
    pub unsigned: u64,
    /// Sends that a socket refused.
    pub failed: u64,
}

/// Ends the queue before the thread that reads it is waited for.
struct CloseThenJoin {
    shared: Arc<Shared>,
    worker: Worker,
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("bound", &self.bound).finish_non_exhaustive()
    }
}

impl Drop for CloseThenJoin {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

impl Publisher {
    /// Opens the endpoints and starts the thread that owns them. `messages_per_interval` is what to expect: about as
    /// many as there are probes.
    ///
    /// # Errors
    /// When an endpoint cannot be opened or the key is unfit, or one has `consumers`, for which it takes
    /// [`Publisher::start_with_spool`]; nothing stays open then.
    pub fn start(
        context: &BusContext,
        config: &PublisherConfig,
        messages_per_interval: usize,
    ) -> Result<Self, BusError> {
        let has_consumers = |endpoint: &&EndpointConfig| !endpoint.consumers.is_empty();
        if let Some(endpoint) = config.endpoints.iter().find(has_consumers) {
            return Err(BusError::config(&endpoint.url, "`consumers` is for `publish` in [drivers]"));
        }
        Self::open(context, config, messages_per_interval, None)
    }

    /// As [`Publisher::start`]. What goes to endpoints with `consumers` is kept in a spool until each of them has it on its
    /// disk; where there is no such endpoint, nothing is.
    ///
    /// # Errors
    /// When an endpoint cannot be opened or the key is unfit; nothing stays open then. A spool that cannot be written is no
    /// error: see [`Publisher::spool`].
    pub fn start_with_spool(
        context: &BusContext,
        config: &PublisherConfig,
        messages_per_interval: usize,
        spool: SpoolConfig,
    ) -> Result<Self, BusError> {
        Self::open(context, config, messages_per_interval, Some(spool))
    }

    fn open(
        context: &BusContext,
        config: &PublisherConfig,
        messages_per_interval: usize,
        spool: Option<SpoolConfig>,
    ) -> Result<Self, BusError> {
        let first = config.endpoints.first().map_or("publisher", |endpoint| &endpoint.url);
        if config.endpoints.is_empty() {
            return Err(BusError::config(first, "no endpoints"));
        }
        let mut signers = Signers::new(config.signature, &config.keys)
            .map_err(|source| BusError::Key { url: first.to_owned(), source })?;
        let (streams, endpoints): (Vec<_>, Vec<_>) =
            config.endpoints.iter().partition(|endpoint| endpoint.is_nats());
        let addresses: Vec<_> = streams
            .iter()
            .map(|endpoint| {
                require_signature(&endpoint.url, config.signature)?;
                Ok(((endpoint.nats()?, endpoint.batch_max()), endpoint.consumers.as_slice()))
            })
            .collect::<Result<_, BusError>>()?;
        let open = |endpoint: &EndpointConfig| {
            let high_water = high_water_at(&endpoint.url, config.high_water, messages_per_interval);
            OpenSocket::open(context, SocketType::PUB, endpoint, Attach::Bind, high_water)
        };
        let mut sockets: Vec<_> = endpoints.into_iter().map(open).collect::<Result<_, _>>()?;
        let length = messages_per_interval.saturating_mul(2).max(queue::LENGTH_MIN);
        let (kept, queued): (Vec<_>, Vec<_>) =
            addresses.into_iter().partition(|(_, consumers)| !consumers.is_empty());
        let spool = spool.filter(|_| !kept.is_empty()).map(|spool| SpoolWriter::start(spool, kept.len()));
        let spool = spool.transpose()?.map(Arc::new);
        // Streams take messages that are signed so alone.
        let signing = if streams.is_empty() { &[] } else { config.keys.as_slice() };
        let position_keys = PositionKeys::new(signing);
        let position_keys =
            Arc::new(position_keys.map_err(|source| BusError::Key { url: first.to_owned(), source })?);
        let queued = queued
            .into_iter()
            .map(|((address, batch_max), _)| NatsOutlet::start(address, batch_max, length, &position_keys));
        let mut outlets = queued.collect::<Result<Vec<_>, _>>()?;
        if let Some(spool) = &spool {
            for (reader, (address, consumers)) in kept.into_iter().enumerate() {
                let spool = spool.spool();
                outlets.push(NatsOutlet::start_with_spool(
                    address,
                    consumers,
                    spool,
                    reader,
                    &position_keys,
                )?);
            }
        }
        let outlets = Arc::new(outlets);
        let bound = sockets.iter().flat_map(OpenSocket::bound).cloned().collect();
        let shared = Arc::new(Shared {
            queue: DropOldest::new(length),
            new_signers: Mutex::new(None),
            new_describe: Mutex::new(None),
            published: AtomicU64::new(0),
            described: AtomicU64::new(0),
            unsigned: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        let client_lists = ClientLists::new(sockets.iter().filter_map(OpenSocket::client_list));
        let of_thread = shared.clone();
        let to = (outlets.clone(), spool.clone());
        let worker =
            Worker::start("bus-publisher", move |_| run(&of_thread, &mut signers, &mut sockets, &to))?;
        let signature = config.signature;
        Ok(Self {
            shared: shared.clone(),
            signature,
            client_lists,
            bound,
            worker: CloseThenJoin { shared, worker },
            outlets,
            position_keys,
            spool,
        })
    }

    /// Signs with these keys from the next measurement on.
    ///
    /// # Errors
    /// When one is unfit, or the scheme needs keys and there are none; nothing has changed then.
    pub fn sign_with(&self, keys: &[Key]) -> Result<(), KeyError> {
        let signers = Signers::new(self.signature, keys)?;
        if !self.outlets.is_empty() {
            self.position_keys.replace(keys)?;
        }
        *self.shared.new_signers.lock() = Some(signers);
        Ok(())
    }

    /// Admits the clients that these endpoints name now: see [`crate::Forwarder::let_in`]. What connects to NATS next
    /// logs in with their credentials.
    ///
    /// # Errors
    /// When a key is none; nothing has changed then.
    pub fn let_in(&self, endpoints: &[EndpointConfig]) -> Result<(), BusError> {
        self.client_lists.replace(endpoints)?;
        self.outlets.iter().for_each(|outlet| outlet.log_in_with(endpoints));
        Ok(())
    }

    /// Hands over a measurement; never waits. When the queue is full its oldest is dropped and counted.
    pub fn publish(&self, measurement: Measurement) {
        self.shared.queue.push((measurement, None));
    }

    /// As [`Publisher::publish`], of a probe of whose meter this is known: some of its messages carry that, see
    /// [`Publisher::describe_with`].
    pub fn publish_described(&self, measurement: Measurement, facts: MeterFacts) {
        self.shared.queue.push((measurement, Some(facts)));
    }

    /// Has `describe` add what the configuration has of probes to their descriptions, from the next measurements on:
    /// the first of each, and then one every half minute.
    pub fn describe_with(&self, describe: Describe) {
        *self.shared.new_describe.lock() = Some(describe);
    }

    /// The addresses it is bound to, with the ports the system chose.
    pub fn bound(&self) -> &[String] {
        &self.bound
    }

    /// Whether its thread runs; it ends by itself only when it panics, which is logged.
    pub fn is_running(&self) -> bool {
        self.worker.worker.is_running()
    }

    /// How the streams of NATS it publishes to are doing.
    pub fn nats_links(&self) -> Vec<NatsLink> {
        self.outlets.iter().map(NatsOutlet::link).collect()
    }

    /// What the spool has, and how the consumers are doing that it is kept for, by their streams; `None` where none are listed.
    pub fn spool(&self) -> Option<(SpoolCounters, Vec<SpoolReader>)> {
        let counters = self.spool.as_ref()?.spool().counters();
        Some((counters, self.outlets.iter().filter_map(NatsOutlet::spool_reader).collect()))
    }

    /// Waits until the streams of NATS have stored what was published by now, for so long at most; returns whether they
    /// have.
    pub async fn stored(&self, limit: Duration) -> bool {
        let is_stored = || {
            self.shared.queue.length() == 0 && self.outlets.iter().all(|outlet| outlet.link().waiting == 0)
        };
        let wait = async {
            // Twice: between two queues a message is in neither.
            while !(is_stored() && {
                tokio::time::sleep(STORED_POLL).await;
                is_stored()
            }) {
                tokio::time::sleep(STORED_POLL).await;
            }
        };
        self.outlets.is_empty() || tokio::time::timeout(limit, wait).await.is_ok()
    }

    /// What it has done.
    pub fn counters(&self) -> PublisherCounters {
        PublisherCounters {
            published: self.shared.published.load(Ordering::Relaxed),
            described: self.shared.described.load(Ordering::Relaxed),
            dropped: self.shared.queue.dropped(),
            unsigned: self.shared.unsigned.load(Ordering::Relaxed),
            failed: self.shared.failed.load(Ordering::Relaxed),
        }
    }
}

/// Until the queue is closed, and then what is left in it.
fn run(
    shared: &Shared,
    signers: &mut Signers,
    sockets: &mut [OpenSocket],
    (outlets, spool): &(Arc<Vec<NatsOutlet>>, Option<Arc<SpoolWriter>>),
) {
    let mut outgoing: Vec<Outgoing> = Vec::new();
    let mut wire = Wire::default();
    let mut measurements = VecDeque::new();
    let mut queues = ListenerQueues::new();
    let mut describer = Describer::default();
    while shared.queue.take_all(&mut measurements, IDLE) {
        queues.share(sockets.iter());
        sockets.iter_mut().for_each(OpenSocket::drop_removed);
        if let Some(new) = shared.new_signers.lock().take() {
            *signers = new;
        }
        if let Some(describe) = shared.new_describe.lock().take() {
            describer.describe_with(describe);
        }
        if measurements.is_empty() {
            for open in sockets.iter() {
                _ = open.socket.get_events(); // Has the socket read its subscriptions.
            }
        }
        let (mut published, mut described, mut unsigned, mut failed) = (0, 0, 0, 0);
        for (measurement, facts) in measurements.drain(..) {
            let stamp = measurement.accounting.as_ref().map(|it| it.timestamp);
            let Some(signer) = signers.at(stamp) else {
                unsigned += 1;
                continue;
            };
            let description =
                facts.zip(stamp).and_then(|(facts, at)| describer.due(&measurement.probe, facts, at));
            signer.encode_described(&measurement, description.as_ref(), &mut wire);
            described += u64::from(description.is_some());
            if !outlets.is_empty() {
                outgoing.push(Outgoing::new(&wire));
            }
            for open in sockets.iter() {
                // A PUB socket drops at the high-water mark of each subscriber and never waits.
                let sent = open
                    .socket
                    .send(wire.topic.as_slice(), zmq::SNDMORE | zmq::DONTWAIT)
                    .and_then(|()| open.socket.send(wire.payload.as_slice(), zmq::DONTWAIT));
                failed += u64::from(sent.is_err());
            }
            published += 1;
        }
        if let Some(spool) = spool {
            spool.spool().extend(outgoing.iter().cloned());
        }
        let queued = outlets.iter().filter(|outlet| outlet.has_queue());
        queued.for_each(|outlet| outlet.extend(outgoing.iter().cloned()));
        outgoing.clear();
        shared.published.fetch_add(published, Ordering::Relaxed);
        shared.described.fetch_add(described, Ordering::Relaxed);
        shared.unsigned.fetch_add(unsigned, Ordering::Relaxed);
        shared.failed.fetch_add(failed, Ordering::Relaxed);
    }
}
