//! Forwards messages between networks, untouched: one copy upstream, one to each listener downstream.

mod beacon;
mod link;
mod relay;
mod subscriptions;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kwapi_core::WallClock;
use zmq::SocketType;

pub use link::{LinkCounters, LinkSide};
use link::{LinkCounts, Upstream};
use relay::{Downstream, Relay};

use crate::endpoint::{Attach, EndpointConfig};
use crate::error::BusError;
use crate::transport::zeromq::{BusContext, ClientLists, OpenSocket, high_water};
use crate::worker::Worker;

/// How many upstream endpoints have a socket and counts of their own; those beyond share one with others like them.
const LINKS_MAX: usize = 128;

/// How a forwarder is configured.
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
    links: Vec<Arc<LinkCounts>>,
    client_lists: ClientLists,
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
    /// Opens the endpoints and starts the thread that owns them. `wall` is the clock by which delays are measured.
    ///
    /// # Errors
    /// When an endpoint cannot be opened or stands there twice; nothing stays open then.
    pub fn start(
        context: &BusContext,
        config: &ForwarderConfig,
        wall: &WallClock,
        messages_per_interval: usize,
    ) -> Result<Self, BusError> {
        if config.upstream.is_empty() || config.downstream.is_empty() {
            return Err(BusError::config("forwarder", "no upstream or downstream endpoint"));
        }
        let high_water = high_water(config.high_water, messages_per_interval);
        let open = |endpoint: &EndpointConfig| {
            let open = OpenSocket::open(context, SocketType::XPUB, endpoint, Attach::Bind, high_water)?;
            let counts = LinkCounts::new(endpoint.url.clone(), LinkSide::Downstream);
            Ok::<_, BusError>(Downstream { open, counts, receives_beacons: false })
        };
        let downstream: Vec<_> = config.downstream.iter().map(open).collect::<Result<_, _>>()?;
        let upstream: Vec<_> = shared(&config.upstream)?
            .into_iter()
            .map(|endpoints| Upstream::open(context, endpoints, high_water))
            .collect::<Result<_, _>>()?;
        let bound =
            downstream.iter().map(|link| &link.open).chain(upstream.iter().filter_map(Upstream::socket));
        let bound = bound.flat_map(OpenSocket::bound).cloned().collect();
        let links =
            upstream.iter().map(|link| &link.counts).chain(downstream.iter().map(|link| &link.counts));
        let links = links.cloned().collect();
        let sockets =
            downstream.iter().map(|link| &link.open).chain(upstream.iter().filter_map(Upstream::socket));
        let client_lists = ClientLists::new(sockets.filter_map(OpenSocket::client_list));
        let counts = Arc::new(Counts::default());
        let mut relay = Relay::new(upstream, downstream, counts.clone(), wall.clone());
        let worker = Worker::start("bus-forwarder", move |stop| relay.run(stop))?;
        Ok(Self { counts, links, client_lists, bound, worker })
    }

    /// What each link has done: those upstream first, as configured.
    pub fn links(&self) -> Vec<LinkCounters> {
        self.links.iter().map(|link| link.snapshot()).collect()
    }

    /// Lets in the clients that these endpoints name now, whose URLs are those it was started with. Who was removed is
    /// disconnected within a fraction of a second, and with them, for a moment, all others of the endpoint.
    ///
    /// # Errors
    /// When a key is none; nothing has changed then.
    pub fn let_in(&self, endpoints: &[EndpointConfig]) -> Result<(), BusError> {
        self.client_lists.replace(endpoints)
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

/// The upstream endpoints by the socket that serves them: one each, and beyond [`LINKS_MAX`] one for all that are alike, so
/// that a thousand drivers don't take a thousand. One that stands there twice is opened once: each message would come twice.
fn shared(endpoints: &[EndpointConfig]) -> Result<Vec<Vec<EndpointConfig>>, BusError> {
    let mut sockets: Vec<Vec<EndpointConfig>> = Vec::new();
    for endpoint in endpoints {
        match sockets.iter().flatten().find(|other| other.url == endpoint.url) {
            Some(other) if other == endpoint => continue,
            Some(_) => {
                return Err(BusError::config(&endpoint.url, "configured twice, with different settings"));
            }
            None => {}
        }
        if sockets.len() >= LINKS_MAX {
            let alike = |socket: &&mut Vec<EndpointConfig>| {
                socket.first().is_some_and(|first| first.is_like(endpoint))
            };
            if let Some(socket) = sockets.iter_mut().skip(LINKS_MAX - 1).find(alike) {
                socket.push(endpoint.clone());
                continue;
            }
        }
        sockets.push(vec![endpoint.clone()]);
    }
    Ok(sockets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_has_a_socket_of_its_own_until_there_are_too_many() {
        let mut endpoints: Vec<_> =
            (0..LINKS_MAX + 9).map(|host| EndpointConfig::new(format!("tcp://host{host}:5556"))).collect();
        endpoints.push(EndpointConfig { ipv6: true, ..EndpointConfig::new("tcp://other:5556") });
        endpoints.push(EndpointConfig::new("tcp://host0:5556"));
        let sockets = shared(&endpoints).unwrap();
        let sizes: Vec<_> = sockets.iter().map(Vec::len).collect();
        assert_eq!(sizes[..LINKS_MAX - 1], [1; LINKS_MAX - 1]);
        assert_eq!(sizes[LINKS_MAX - 1..], [10, 1]);
        endpoints.push(EndpointConfig { ipv6: true, ..EndpointConfig::new("tcp://host0:5556") });
        let error = shared(&endpoints).unwrap_err().to_string();
        assert_eq!(error, "tcp://host0:5556: configured twice, with different settings");
    }
}
