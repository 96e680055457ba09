//! Forwards messages between networks, untouched: one copy upstream, one to each listener downstream.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use zmq::{Message, SocketType};

use crate::endpoint::{Attach, EndpointConfig};
use crate::error::BusError;
use crate::transport::zeromq::{BusContext, ListenerQueues, OpenSocket, high_water};
use crate::worker::{STOP_POLL_MS, Worker};

/// How many messages one socket may bring before the next has its turn.
const TURN_MAX: usize = 1_024;
/// A subscription is a byte and a topic of at most 201; a longer one is not passed on.
const SUBSCRIPTION_BYTES_MAX: usize = 256;

/// What a forwarder is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwarderConfig {
    /// Drivers and forwarders it listens to (it connects), or where publishers come to it (`attach = "bind"`).
    pub upstream: Vec<EndpointConfig>,
    /// Where it is listened to (it binds).
    pub downstream: Vec<EndpointConfig>,
    /// How many messages are kept per peer; by default four intervals of all probes, 2 000 at least.
    pub high_water: Option<NonZeroU32>,
}

/// A running forwarder; dropping it closes its sockets.
#[derive(Debug)]
pub struct Forwarder {
    counts: Arc<Counts>,
    bound: Vec<String>,
    worker: Worker,
}

#[derive(Debug, Default)]
struct Counts {
    messages: AtomicU64,
    bytes: AtomicU64,
    failed: AtomicU64,
    subscriptions: AtomicU64,
    refused_subscriptions: AtomicU64,
}

/// What a forwarder has done since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForwarderCounters {
    /// Messages that came from upstream.
    pub messages: u64,
    /// Their bytes, all frames.
    pub bytes: u64,
    /// Sends that a socket refused.
    pub failed: u64,
    /// Subscriptions and their ends passed upstream.
    pub subscriptions: u64,
    /// Frames from downstream that are no subscription, or too long for one.
    pub refused_subscriptions: u64,
}

impl Forwarder {
    /// Opens the endpoints and starts the thread that owns them.
    ///
    /// # Errors
    /// When an endpoint cannot be opened; nothing stays open then.
    pub fn start(
        context: &BusContext,
        config: &ForwarderConfig,
        messages_per_interval: usize,
    ) -> Result<Self, BusError> {
        if config.upstream.is_empty() || config.downstream.is_empty() {
            return Err(BusError::config("forwarder", "no upstream or downstream endpoint"));
        }
        let high_water = high_water(config.high_water, messages_per_interval);
        let open =
            |kind, default| move |endpoint| OpenSocket::open(context, kind, endpoint, default, high_water);
        let downstream: Vec<_> =
            config.downstream.iter().map(open(SocketType::XPUB, Attach::Bind)).collect::<Result<_, _>>()?;
        let upstream = open_upstream(context, &config.upstream, high_water)?;
        let bound = downstream.iter().chain(&upstream).flat_map(OpenSocket::bound).cloned().collect();
        let counts = Arc::new(Counts::default());
        let of_thread = counts.clone();
        let worker =
            Worker::start("bus-forwarder", move |stop| run(&upstream, &downstream, &of_thread, stop))?;
        Ok(Self { counts, bound, worker })
    }

    /// The addresses it is bound to, with the ports the system chose; those downstream first.
    pub fn bound(&self) -> &[String] {
        &self.bound
    }

    /// Whether its thread runs; it ends by itself only when the bus fails as a whole, which is logged.
    pub fn is_running(&self) -> bool {
        self.worker.is_running()
    }

    /// What it has done.
    pub fn counters(&self) -> ForwarderCounters {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ForwarderCounters {
            messages: load(&self.counts.messages),
            bytes: load(&self.counts.bytes),
            failed: load(&self.counts.failed),
            subscriptions: load(&self.counts.subscriptions),
            refused_subscriptions: load(&self.counts.refused_subscriptions),
        }
    }
}

/// One socket for each group of endpoints that differ in their address only.
fn open_upstream(
    context: &BusContext,
    endpoints: &[EndpointConfig],
    high_water: i32,
) -> Result<Vec<OpenSocket>, BusError> {
    let mut groups: Vec<(&EndpointConfig, OpenSocket)> = Vec::new();
    for endpoint in endpoints {
        if let Some((_, open)) = groups.iter_mut().find(|(first, _)| first.is_like(endpoint)) {
            open.attach(&endpoint.url)?;
            continue;
        }
        let open = OpenSocket::open(context, SocketType::XSUB, endpoint, Attach::Connect, high_water)?;
        groups.push((endpoint, open));
    }
    Ok(groups.into_iter().map(|(_, open)| open).collect())
}

fn run(upstream: &[OpenSocket], downstream: &[OpenSocket], counts: &Counts, stop: &AtomicBool) {
    let sockets = || downstream.iter().chain(upstream);
    let mut items: Vec<_> = sockets().map(|open| open.socket.as_poll_item(zmq::POLLIN)).collect();
    let mut queues = ListenerQueues::new();
    while !stop.load(Ordering::Relaxed) {
        queues.share(downstream);
        match zmq::poll(&mut items, STOP_POLL_MS) {
            Ok(_) | Err(zmq::Error::EINTR) => {}
            Err(error) => {
                tracing::error!(%error, "forwarder stopped");
                return;
            }
        }
        for (index, open) in sockets().enumerate() {
            if !items.get(index).is_some_and(zmq::PollItem::is_readable) {
                continue;
            }
            if index < downstream.len() {
                pass_subscriptions(open, upstream, counts);
            } else {
                pass_messages(open, downstream, counts);
            }
        }
    }
}

/// The XPUB socket tells of a topic's first listener and of its last; XSUB counts what several of them want.
fn pass_subscriptions(from: &OpenSocket, upstream: &[OpenSocket], counts: &Counts) {
    for _ in 0..TURN_MAX {
        let Ok(frame) = from.socket.recv_bytes(zmq::DONTWAIT) else { return };
        if !matches!(frame.first(), Some(0 | 1)) || frame.len() > SUBSCRIPTION_BYTES_MAX {
            counts.refused_subscriptions.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        counts.subscriptions.fetch_add(1, Ordering::Relaxed);
        for open in upstream {
            if open.socket.send(frame.as_slice(), zmq::DONTWAIT).is_err() {
                counts.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Passes messages on frame by frame, whatever they are: who listens judges them.
fn pass_messages(from: &OpenSocket, downstream: &[OpenSocket], counts: &Counts) {
    let mut frame = Message::new();
    let (mut messages, mut bytes, mut failed) = (0, 0, 0);
    while messages < TURN_MAX && from.socket.recv(&mut frame, zmq::DONTWAIT).is_ok() {
        let more = frame.get_more();
        let flags = if more { zmq::SNDMORE | zmq::DONTWAIT } else { zmq::DONTWAIT };
        bytes += frame.len() as u64;
        if let Some((last, others)) = downstream.split_last() {
            for open in others {
                failed += u64::from(open.socket.send(&*frame, flags).is_err());
            }
            // The last one gets the frame itself.
            let frame = std::mem::replace(&mut frame, Message::new());
            failed += u64::from(last.socket.send(frame, flags).is_err());
        }
        messages += usize::from(!more);
    }
    counts.messages.fetch_add(messages as u64, Ordering::Relaxed);
    counts.bytes.fetch_add(bytes, Ordering::Relaxed);
    counts.failed.fetch_add(failed, Ordering::Relaxed);
}
