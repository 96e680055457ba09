//! How the consumers that a publisher keeps messages for are doing, for metrics, readiness and status.

use kwapi_core::Timestamp;

use super::outlet::listed::ListedConsumers;
use crate::spool::Spool;

/// The listed consumers of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolReader {
    /// The endpoint of the stream.
    pub endpoint: String,
    /// The consumers.
    pub consumers: Vec<SpoolConsumer>,
    /// Messages that were sent again.
    pub repeated: u64,
    /// Reports of consumers that were refused, by cause.
    pub refused: Vec<(&'static str, u64)>,
    /// What keeps their reports from being received.
    pub trouble: Option<String>,
}

/// A consumer that messages are kept for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConsumer {
    /// Its name.
    pub name: String,
    /// Messages that it has not reported as on its disk, roughly.
    pub lacking: u64,
    /// When it last reported its position, by its own clock.
    pub received_at: Option<Timestamp>,
}

impl SpoolReader {
    pub(super) fn new(endpoint: &str, spool: &Spool, listed: &ListedConsumers) -> Self {
        let consumer = |it: &super::outlet::listed::Listed| SpoolConsumer {
            name: it.name.clone(),
            lacking: spool.count_after(it.durable),
            received_at: (it.reported_us > 0).then(|| Timestamp::from_micros(it.reported_us)),
        };
        Self {
            endpoint: endpoint.to_owned(),
            consumers: listed.all().iter().map(consumer).collect(),
            repeated: listed.repeated,
            refused: listed.refused().collect(),
            trouble: listed.trouble.clone(),
        }
    }
}
