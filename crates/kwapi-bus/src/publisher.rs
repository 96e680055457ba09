//! Publishes measurements to whoever subscribes.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kwapi_core::Measurement;
use zmq::SocketType;

use crate::endpoint::{Attach, EndpointConfig};
use crate::error::BusError;
use crate::key::{Key, Scheme};
use crate::message::{Signer, Wire};
use crate::queue::{self, DropOldest};
use crate::transport::zeromq::{BusContext, ListenerQueues, OpenSocket, high_water_at};
use crate::worker::Worker;

/// How often an idle publisher lets its sockets take note of new subscribers.
const IDLE: Duration = Duration::from_millis(100);

/// What a publisher is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublisherConfig {
    /// Where subscribers find it (bound), or the forwarders it goes to (`attach = "connect"`).
    pub endpoints: Vec<EndpointConfig>,
    /// How it signs.
    pub signature: Scheme,
    /// What it signs with; none under `signature = "none"`.
    pub key: Option<Key>,
    /// How many messages are kept for a slow subscriber; by default four intervals of all probes, 2 000 at least.
    pub high_water: Option<NonZeroU32>,
}

/// A running publisher; dropping it closes its sockets.
#[derive(Debug)]
pub struct Publisher {
    shared: Arc<Shared>,
    bound: Vec<String>,
    worker: CloseThenJoin,
}

#[derive(Debug)]
struct Shared {
    queue: DropOldest<Measurement>,
    published: AtomicU64,
    failed: AtomicU64,
}

/// What a publisher has done since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublisherCounters {
    /// Measurements signed and handed to the sockets.
    pub published: u64,
    /// Measurements dropped, oldest first, because the publisher's thread did not keep up.
    pub dropped: u64,
    /// Sends that a socket refused.
    pub failed: u64,
}

/// Ends the queue before the thread that reads it is waited for.
#[derive(Debug)]
struct CloseThenJoin {
    shared: Arc<Shared>,
    worker: Worker,
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
    /// When an endpoint cannot be opened or the key is unfit; nothing stays open then.
    pub fn start(
        context: &BusContext,
        config: &PublisherConfig,
        messages_per_interval: usize,
    ) -> Result<Self, BusError> {
        let first = config.endpoints.first().map_or("publisher", |endpoint| &endpoint.url);
        if config.endpoints.is_empty() {
            return Err(BusError::config(first, "no endpoints"));
        }
        let signer = Signer::new(config.signature, config.key.as_ref())
            .map_err(|source| BusError::Key { url: first.to_owned(), source })?;
        let open = |endpoint: &EndpointConfig| {
            let high_water = high_water_at(&endpoint.url, config.high_water, messages_per_interval);
            OpenSocket::open(context, SocketType::PUB, endpoint, Attach::Bind, high_water)
        };
        let sockets: Vec<_> = config.endpoints.iter().map(open).collect::<Result<_, _>>()?;
        let bound = sockets.iter().flat_map(OpenSocket::bound).cloned().collect();
        let shared = Arc::new(Shared {
            queue: DropOldest::new(messages_per_interval.saturating_mul(2).max(queue::LENGTH_MIN)),
            published: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        let of_thread = shared.clone();
        let worker = Worker::start("bus-publisher", move |_| run(&of_thread, &signer, &sockets))?;
        Ok(Self { shared: shared.clone(), bound, worker: CloseThenJoin { shared, worker } })
    }

    /// Hands over a measurement; never waits. When the queue is full its oldest is dropped and counted.
    pub fn publish(&self, measurement: Measurement) {
        self.shared.queue.push(measurement);
    }

    /// The addresses it is bound to, with the ports the system chose.
    pub fn bound(&self) -> &[String] {
        &self.bound
    }

    /// Whether its thread runs; it ends by itself only when it panics, which is logged.
    pub fn is_running(&self) -> bool {
        self.worker.worker.is_running()
    }

    /// What it has done.
    pub fn counters(&self) -> PublisherCounters {
        PublisherCounters {
            published: self.shared.published.load(Ordering::Relaxed),
            dropped: self.shared.queue.dropped(),
            failed: self.shared.failed.load(Ordering::Relaxed),
        }
    }
}

/// Until the queue is closed, and then what is left in it.
fn run(shared: &Shared, signer: &Signer, sockets: &[OpenSocket]) {
    let mut wire = Wire::default();
    let mut measurements = VecDeque::new();
    let mut queues = ListenerQueues::new();
    while shared.queue.take_all(&mut measurements, IDLE) {
        queues.share(sockets);
        if measurements.is_empty() {
            for open in sockets {
                _ = open.socket.get_events(); // Has the socket read its subscriptions.
            }
        }
        let (mut published, mut failed) = (0, 0);
        for measurement in measurements.drain(..) {
            signer.encode(&measurement, &mut wire);
            for open in sockets {
                // A PUB socket drops at the high-water mark of each subscriber and never waits.
                let sent = open
                    .socket
                    .send(wire.topic.as_slice(), zmq::SNDMORE | zmq::DONTWAIT)
                    .and_then(|()| open.socket.send(wire.payload.as_slice(), zmq::DONTWAIT));
                failed += u64::from(sent.is_err());
            }
            published += 1;
        }
        shared.published.fetch_add(published, Ordering::Relaxed);
        shared.failed.fetch_add(failed, Ordering::Relaxed);
    }
}
