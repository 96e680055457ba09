//! How far publishers' clocks are from ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use kwapi_core::Timestamp;

/// A skew not measured yet.
const UNKNOWN: i64 = i64::MIN;
/// Each message moves the skew shown by this part of the difference.
const SMOOTHING: i64 = 16;

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

impl Skews {
    pub(super) fn new<'a>(url: String, keys: impl Iterator<Item = &'a Arc<str>>) -> Self {
        let mut publishers: Vec<_> = keys.map(|id| (Some(id.clone()), AtomicI64::new(UNKNOWN))).collect();
        if publishers.is_empty() {
            publishers.push((None, AtomicI64::new(UNKNOWN)));
        }
        Self { url, publishers }
    }

    /// Takes note of a message of the publisher at `index`.
    pub(super) fn observe(&self, index: usize, arrived: Timestamp, stamped: Timestamp) {
        let Some((_, skew)) = self.publishers.get(index) else { return };
        let micros = |stamp: Timestamp| i64::try_from(stamp.micros()).unwrap_or(i64::MAX);
        let seen = micros(arrived) - micros(stamped); // Neither is negative: it cannot overflow.
        let before = skew.load(Ordering::Relaxed);
        let after = if before == UNKNOWN { seen } else { before - before / SMOOTHING + seen / SMOOTHING };
        skew.store(after, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Vec<Skew> {
        let known = self.publishers.iter().filter_map(|(key, skew)| match skew.load(Ordering::Relaxed) {
            UNKNOWN => None,
            micros => Some(Skew { url: self.url.clone(), key: key.clone(), micros }),
        });
        known.collect()
    }
}
