//! How far publishers' clocks are from ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use kwapi_core::Timestamp;

use super::clocks::ArrivalTime;

/// A skew or an origin not measured yet.
const UNKNOWN: i64 = i64::MIN;
/// Each message moves the skew shown by this part of the difference.
const SMOOTHING: i64 = 16;

/// What is known of the clocks of one source's publishers.
#[derive(Debug)]
pub(crate) struct Skews {
    url: String,
    /// One for each key, or one for all without signatures.
    publishers: Vec<Publisher>,
}

#[derive(Debug)]
struct Publisher {
    key: Option<Arc<str>>,
    /// See [`Skew::micros`].
    skew: AtomicI64,
    /// By its newest message, what its clock showed when our monotonic clock began, in microseconds.
    origin: AtomicI64,
}

impl Publisher {
    fn new(key: Option<Arc<str>>) -> Self {
        Self { key, skew: AtomicI64::new(UNKNOWN), origin: AtomicI64::new(UNKNOWN) }
    }
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

impl Skews {
    pub(super) fn new<'a>(url: String, keys: impl Iterator<Item = &'a Arc<str>>) -> Self {
        let mut publishers: Vec<_> = keys.map(|id| Publisher::new(Some(id.clone()))).collect();
        if publishers.is_empty() {
            publishers.push(Publisher::new(None));
        }
        Self { url, publishers }
    }

    /// Takes note of a message of the publisher at `index`.
    pub(super) fn observe(&self, index: usize, present: &ArrivalTime, stamped: Timestamp) {
        let Some(Publisher { skew, origin, .. }) = self.publishers.get(index) else { return };
        // None of them is negative: no difference overflows.
        origin.store(micros(stamped) - since_origin(present.monotonic), Ordering::Relaxed);
        let seen = micros(present.wall) - micros(stamped);
        let before = skew.load(Ordering::Relaxed);
        let after = if before == UNKNOWN { seen } else { before - before / SMOOTHING + seen / SMOOTHING };
        skew.store(after, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Vec<Skew> {
        let known = self.publishers.iter().filter_map(|publisher| {
            let micros = known(&publisher.skew)?;
            Some(Skew { url: self.url.clone(), key: publisher.key.clone(), micros })
        });
        known.collect()
    }

    /// What most of the publishers received from so far give as the time, when our monotonic clock shows `monotonic`;
    /// of two that differ the earlier. Publishers that share a key count as one.
    pub(crate) fn agreed<'a>(all: impl Iterator<Item = &'a Self>, monotonic: Duration) -> Option<Timestamp> {
        let publishers = all.flat_map(|skews| &skews.publishers);
        let mut origins: Vec<_> = publishers.filter_map(|publisher| known(&publisher.origin)).collect();
        origins.sort_unstable();
        let origin = origins.get(origins.len().saturating_sub(1) / 2)?;
        let now = origin.saturating_add(since_origin(monotonic));
        Some(Timestamp::from_micros(u64::try_from(now).unwrap_or(0)))
    }
}

fn known(micros: &AtomicI64) -> Option<i64> {
    Some(micros.load(Ordering::Relaxed)).filter(|micros| *micros != UNKNOWN)
}

fn micros(stamp: Timestamp) -> i64 {
    i64::try_from(stamp.micros()).unwrap_or(i64::MAX)
}

fn since_origin(monotonic: Duration) -> i64 {
    i64::try_from(monotonic.as_micros()).unwrap_or(i64::MAX)
}
