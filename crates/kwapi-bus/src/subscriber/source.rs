//! One socket of a subscriber: the endpoints that are verified alike.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use kwapi_core::{Measurement, Pattern, Timestamp};
use zmq::SocketType;

use super::{SourceConfig, SubscriberConfig};
use crate::context::BusContext;
use crate::endpoint::{Attach, BusError, OpenSocket};
use crate::message::Verifier;
use crate::refusal::Refusal;

/// A skew not measured yet.
const UNKNOWN: i64 = i64::MIN;
/// Each message moves the skew shown by this part of the difference.
const SMOOTHING: i64 = 16;

pub(super) struct Source {
    pub(super) open: OpenSocket,
    pub(super) skews: Arc<Skews>,
    verifier: Verifier,
}

/// What is known of the clocks of one source's publishers.
#[derive(Debug)]
pub(crate) struct Skews {
    url: String,
    /// One for each key, or one for all without signatures.
    publishers: Vec<(Option<Arc<str>>, AtomicI64)>,
}

/// How far a publisher's clock seems to be from ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skew {
    /// The first endpoint of those its messages come from.
    pub url: String,
    /// The key that signs them; `None` for all publishers of an endpoint without signatures.
    pub key: Option<Arc<str>>,
    /// Arrival less the stamp in the message, smoothed: positive when the publisher's clock is behind, or its
    /// messages are late.
    pub micros: i64,
}

impl Source {
    /// Opens a socket for each group of endpoints that are verified alike, so that a thousand drivers take one.
    pub(super) fn open_all(
        context: &BusContext,
        config: &SubscriberConfig,
        high_water: i32,
    ) -> Result<Vec<Self>, BusError> {
        let mut groups: Vec<(&SourceConfig, Self)> = Vec::new();
        let prefixes: BTreeSet<_> = config.probes.iter().map(Pattern::topic_prefix).collect();
        for endpoint in &config.endpoints {
            if let Some((_, source)) = groups.iter_mut().find(|(first, _)| first.is_like(endpoint)) {
                source.open.attach(&endpoint.url)?;
                continue;
            }
            let source = Self::open(context, endpoint, high_water)?;
            for prefix in &prefixes {
                let system = |source| BusError::System { url: endpoint.url.clone(), source };
                source.open.socket.set_subscribe(prefix.as_bytes()).map_err(system)?;
            }
            groups.push((endpoint, source));
        }
        Ok(groups.into_iter().map(|(_, source)| source).collect())
    }

    fn open(context: &BusContext, endpoint: &SourceConfig, high_water: i32) -> Result<Self, BusError> {
        let url = endpoint.url.clone();
        let verifier = Verifier::new(endpoint.signature, endpoint.keys.iter().cloned())
            .map_err(|source| BusError::Key { url: url.clone(), source })?;
        let mut publishers: Vec<_> =
            verifier.key_ids().map(|id| (Some(id.clone()), AtomicI64::new(UNKNOWN))).collect();
        if publishers.is_empty() {
            publishers.push((None, AtomicI64::new(UNKNOWN)));
        }
        let open =
            OpenSocket::open(context, SocketType::SUB, &endpoint.endpoint(), Attach::Connect, high_water)?;
        Ok(Self { open, skews: Arc::new(Skews { url, publishers }), verifier })
    }

    /// Reads one message; its publisher's skew is measured before its age is judged.
    pub(super) fn verify(
        &self,
        topic: &[u8],
        payload: &[u8],
        arrived: Timestamp,
        max_age: Duration,
        ahead_max: Duration,
    ) -> Result<(Measurement, Option<Arc<str>>), Refusal> {
        let verified = self.verifier.decode(&[topic, payload])?;
        let (index, key) = verified.key.map_or((0, None), |(index, key)| (index, Some(key)));
        if let Some(accounting) = &verified.measurement.accounting {
            self.skews.observe(index, arrived, accounting.timestamp);
            if accounting.timestamp.since(arrived) > ahead_max {
                return Err(Refusal::Future);
            }
            if arrived.since(accounting.timestamp) > max_age {
                return Err(Refusal::Stale);
            }
        }
        Ok((verified.measurement, key))
    }
}

impl Skews {
    fn observe(&self, index: usize, arrived: Timestamp, stamped: Timestamp) {
        let Some((_, skew)) = self.publishers.get(index) else { return };
        let micros = |stamp: Timestamp| i64::try_from(stamp.micros()).unwrap_or(i64::MAX);
        let seen = micros(arrived) - micros(stamped); // Neither is negative: it cannot overflow.
        let before = skew.load(Ordering::Relaxed);
        let after = if before == UNKNOWN { seen } else { before - before / SMOOTHING + seen / SMOOTHING };
        skew.store(after, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> Vec<Skew> {
        let known = self.publishers.iter().filter_map(|(key, skew)| match skew.load(Ordering::Relaxed) {
            UNKNOWN => None,
            micros => Some(Skew { url: self.url.clone(), key: key.clone(), micros }),
        });
        known.collect()
    }
}
