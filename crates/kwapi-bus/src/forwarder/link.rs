//! The links of a forwarder, each an endpoint it is configured with: what they carry, and those cut for a loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kwapi_core::Timestamp;
use zmq::SocketType;

use super::beacon;
use crate::endpoint::{Attach, EndpointConfig};
use crate::error::BusError;
use crate::transport::zeromq::{BusContext, ClientList, OpenSocket};

/// How long a link stays cut before it is looked at again.
const CUT_FOR: Duration = Duration::from_secs(60);
/// How long only beacons are listened to then. Five of ours have gone round by the end of it.
const TRIAL: Duration = Duration::from_secs(5);
/// No lag was measured yet.
const UNKNOWN: i64 = i64::MIN;

/// The side of a forwarder that a link is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkSide {
    /// It listens there.
    Upstream,
    /// It is listened to there.
    Downstream,
}

impl LinkSide {
    /// Its name among the metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Downstream => "downstream",
        }
    }
}

/// What one link of a forwarder has done since it was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkCounters {
    /// Its endpoint, as configured; of many that share a socket the first, and how many more.
    pub endpoint: String,
    /// Which side it is on.
    pub side: LinkSide,
    /// Upstream: messages that came. Downstream: messages offered to its listeners, each of whom gets what it subscribed to.
    pub messages: u64,
    /// Their bytes, all frames.
    pub bytes: u64,
    /// Topics that are subscribed to at present.
    pub subscriptions: u64,
    /// Upstream: when the newest message came, by the wall clock.
    pub last_message: Option<Timestamp>,
    /// Upstream: how long the newest message that carries when it was measured was in transit, in microseconds;
    /// negative where its publisher's clock is ahead of ours.
    pub lag_micros: Option<i64>,
    /// Upstream: whether it is cut at present, since it closes a loop of forwarders.
    pub is_cut: bool,
    /// Upstream: how often it was.
    pub cuts: u64,
}

/// The same, as it is counted.
#[derive(Debug)]
pub(super) struct LinkCounts {
    endpoint: String,
    side: LinkSide,
    pub(super) messages: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) subscriptions: AtomicU64,
    last_message: AtomicU64,
    lag: AtomicI64,
    is_cut: AtomicBool,
    cuts: AtomicU64,
}

impl LinkCounts {
    pub(super) fn new(endpoint: String, side: LinkSide) -> Arc<Self> {
        let zero = AtomicU64::default;
        Arc::new(Self {
            endpoint,
            side,
            messages: zero(),
            bytes: zero(),
            subscriptions: zero(),
            last_message: zero(),
            lag: AtomicI64::new(UNKNOWN),
            is_cut: AtomicBool::default(),
            cuts: zero(),
        })
    }

    /// Takes note of a message that was received at `now` and measured at `stamp`, if it carries a stamp.
    pub(super) fn note_message(&self, now: Timestamp, stamp: Option<Timestamp>) {
        let micros = |at: Timestamp| i64::try_from(at.micros()).unwrap_or(i64::MAX);
        self.last_message.store(now.micros(), Ordering::Relaxed);
        if let Some(stamp) = stamp {
            self.lag.store(micros(now) - micros(stamp), Ordering::Relaxed);
        }
    }

    pub(super) fn snapshot(&self) -> LinkCounters {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LinkCounters {
            endpoint: self.endpoint.clone(),
            side: self.side,
            messages: load(&self.messages),
            bytes: load(&self.bytes),
            subscriptions: load(&self.subscriptions),
            last_message: Some(load(&self.last_message)).filter(|at| *at > 0).map(Timestamp::from_micros),
            lag_micros: Some(self.lag.load(Ordering::Relaxed)).filter(|lag| *lag != UNKNOWN),
            is_cut: self.is_cut.load(Ordering::Relaxed),
            cuts: load(&self.cuts),
        }
    }
}

/// A link on which a forwarder listens.
pub(super) struct Upstream {
    context: BusContext,
    /// More than one only where there are more than sockets for each.
    endpoints: Vec<EndpointConfig>,
    high_water: i32,
    /// Who may connect, where it is bound: the same list for as long as the forwarder runs.
    list: Option<ClientList>,
    pub(super) counts: Arc<LinkCounts>,
    state: LinkState,
}

enum LinkState {
    Open(OpenSocket),
    /// Since then.
    Cut(Instant),
    /// Since then it listens to beacons only.
    OnTrial(OpenSocket, Instant),
}

impl Upstream {
    /// Opens a link; it listens to beacons from the start.
    pub(super) fn open(
        context: &BusContext,
        endpoints: Vec<EndpointConfig>,
        high_water: i32,
    ) -> Result<Self, BusError> {
        let first = endpoints.first().map_or("", |endpoint| &endpoint.url);
        let name = match endpoints.len() {
            0 | 1 => first.to_owned(),
            several => format!("{first} and {} more", several - 1),
        };
        let counts = LinkCounts::new(name, LinkSide::Upstream);
        let open = open(context, &endpoints, high_water, None)?;
        let list = open.client_list();
        let (context, state) = (context.clone(), LinkState::Open(open));
        Ok(Self { context, endpoints, high_water, list, counts, state })
    }

    /// The socket, unless the link is cut.
    pub(super) fn socket(&self) -> Option<&OpenSocket> {
        match &self.state {
            LinkState::Open(open) | LinkState::OnTrial(open, _) => Some(open),
            LinkState::Cut(_) => None,
        }
    }

    /// The same, to be changed.
    pub(super) fn socket_mut(&mut self) -> Option<&mut OpenSocket> {
        match &mut self.state {
            LinkState::Open(open) | LinkState::OnTrial(open, _) => Some(open),
            LinkState::Cut(_) => None,
        }
    }

    /// The socket, to subscribe at and to withdraw from.
    pub(super) fn subscribed(&self) -> Option<&OpenSocket> {
        match &self.state {
            LinkState::Open(open) => Some(open),
            LinkState::Cut(_) | LinkState::OnTrial(..) => None,
        }
    }

    /// Whether only beacons are listened to, and one of ours means that the loop still stands.
    pub(super) fn is_on_trial(&self) -> bool {
        matches!(self.state, LinkState::OnTrial(..))
    }

    /// Leaves the link, which closes a loop with so many `others`.
    pub(super) fn cut(&mut self, others: usize, now: Instant) {
        let endpoint = &self.counts.endpoint;
        if self.is_on_trial() {
            tracing::warn!(endpoint, others, "the loop of forwarders is still there; link stays cut");
        } else {
            tracing::error!(
                endpoint,
                others,
                "loop of forwarders: our own beacon came back on this link; link cut. Remove one `subscribe` of the loop"
            );
        }
        self.state = LinkState::Cut(now);
        self.counts.is_cut.store(true, Ordering::Relaxed);
        self.counts.cuts.fetch_add(1, Ordering::Relaxed);
    }

    /// Looks at a link that is cut once it is time. `subscribe` is called when it takes part again.
    pub(super) fn look(&mut self, now: Instant, subscribe: impl FnOnce(&OpenSocket)) {
        let endpoint = &self.counts.endpoint;
        match &self.state {
            LinkState::Cut(since) if now.saturating_duration_since(*since) >= CUT_FOR => {
                let opened = open(&self.context, &self.endpoints, self.high_water, self.list.clone());
                self.state = match opened {
                    Ok(open) => LinkState::OnTrial(open, now),
                    Err(error) => {
                        tracing::error!(endpoint, %error, "link stays cut: cannot open it");
                        LinkState::Cut(now)
                    }
                };
            }
            LinkState::OnTrial(_, since) if now.saturating_duration_since(*since) >= TRIAL => {
                let LinkState::OnTrial(open, _) = std::mem::replace(&mut self.state, LinkState::Cut(now))
                else {
                    return;
                };
                tracing::info!(endpoint, "the loop of forwarders is gone; link open again");
                subscribe(&open);
                self.state = LinkState::Open(open);
                self.counts.is_cut.store(false, Ordering::Relaxed);
            }
            LinkState::Open(_) | LinkState::Cut(_) | LinkState::OnTrial(..) => {}
        }
    }
}

fn open(
    context: &BusContext,
    endpoints: &[EndpointConfig],
    high_water: i32,
    list: Option<ClientList>,
) -> Result<OpenSocket, BusError> {
    let Some((first, others)) = endpoints.split_first() else {
        return Err(BusError::config("forwarder", "no upstream endpoint"));
    };
    let kind = SocketType::XSUB;
    let mut open = OpenSocket::open_with(context, kind, first, Attach::Connect, high_water, list)?;
    for endpoint in others {
        open.attach(&endpoint.url)?;
    }
    let subscription = [&[1], beacon::TOPIC].concat();
    open.socket.send(subscription, zmq::DONTWAIT).map_err(BusError::system(&first.url))?;
    Ok(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_was_cut_listens_to_beacons_before_it_takes_part_again() {
        let endpoints = vec![EndpointConfig::new("inproc://nobody")];
        let mut link = Upstream::open(&BusContext::new(), endpoints, 1_000).unwrap();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let look = |link: &mut Upstream, seconds| {
            let mut has_subscribed = false;
            link.look(at(seconds), |_| has_subscribed = true);
            (link.socket().is_some(), link.subscribed().is_some(), has_subscribed)
        };
        assert_eq!(look(&mut link, 600), (true, true, false), "nothing is wrong with it");
        link.cut(2, at(600));
        assert_eq!(look(&mut link, 659), (false, false, false));
        assert_eq!(look(&mut link, 660), (true, false, false));
        assert_eq!(look(&mut link, 664), (true, false, false));
        link.cut(2, at(664)); // The loop still stands.
        assert_eq!(look(&mut link, 723), (false, false, false));
        assert_eq!(look(&mut link, 724), (true, false, false));
        assert!(link.counts.snapshot().is_cut);
        assert_eq!(look(&mut link, 729), (true, true, true));
        let counters = link.counts.snapshot();
        assert_eq!((counters.is_cut, counters.cuts), (false, 2));
    }

    #[test]
    fn a_link_that_is_opened_again_has_its_list_of_clients_as_it_was_changed_meanwhile() {
        let [server, client] = [(); 2].map(|()| crate::CurvePair::generate().unwrap());
        let curve = crate::CurveConfig {
            secret_key: server.secret_key,
            public_key: None,
            server_key: None,
            clients: vec![client.public_key],
        };
        let url = EndpointConfig::new("tcp://127.0.0.1:*");
        let endpoint = EndpointConfig { attach: Some(Attach::Bind), curve: Some(curve), ..url };
        let mut link = Upstream::open(&BusContext::new(), vec![endpoint], 1_000).unwrap();
        let list = |link: &Upstream| link.socket().and_then(OpenSocket::client_list);
        let (before, start) = (list(&link), Instant::now());
        link.cut(0, start);
        assert!(list(&link).is_none());
        link.look(start + CUT_FOR, |_| ());
        assert!(before.is_some() && list(&link) == before);
    }
}
