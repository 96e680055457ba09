//! What is kept for histories that messages reach over NATS, as it is reported.

use std::time::Duration;

use kwapi_bus::Publisher;
use kwapi_core::Timestamp;
use serde::{Deserialize, Serialize};

/// What is kept for consumers at NATS, as `/spool` shows it and `kwapi status` reads it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct SpoolReport {
    pub(crate) bytes: u64,
    /// Age of the oldest file.
    pub(crate) oldest_seconds: Option<f64>,
    pub(crate) messages: u64,
    pub(crate) dropped: u64,
    pub(crate) unwritten: u64,
    pub(crate) consumers: Vec<SpoolConsumerReport>,
}

/// One consumer that messages are kept for.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct SpoolConsumerReport {
    pub(crate) endpoint: String,
    pub(crate) consumer: String,
    /// Messages that it has not confirmed to have on its disk.
    pub(crate) lacking: u64,
    /// How long ago it reported its position.
    #[serde(rename = "heard_seconds_ago")]
    pub(crate) received_seconds_ago: Option<f64>,
    /// Messages sent again to its stream.
    pub(crate) repeated: u64,
}

/// A consumer that reports nothing for so long is reported.
const CONSUMER_SILENT: Duration = Duration::from_secs(60);

impl SpoolReport {
    pub(super) fn new(publisher: &Publisher, now: Timestamp) -> Option<Self> {
        let (counters, readers) = publisher.spool()?;
        let mut consumers = Vec::new();
        for reader in readers {
            consumers.extend(reader.consumers.into_iter().map(|consumer| SpoolConsumerReport {
                endpoint: reader.endpoint.clone(),
                consumer: consumer.name,
                lacking: consumer.lacking,
                received_seconds_ago: consumer.received_at.map(|at| now.since(at).as_secs_f64()),
                repeated: reader.repeated,
            }));
        }
        Some(Self {
            bytes: counters.bytes,
            oldest_seconds: counters.oldest.map(|at| now.since(at).as_secs_f64()),
            messages: counters.messages,
            dropped: counters.dropped,
            unwritten: counters.unwritten,
            consumers,
        })
    }

    /// The consumers that messages are kept for and that report nothing.
    pub(super) fn troubles(&self) -> impl Iterator<Item = String> {
        // One that never reported may not have had the time.
        let never = self.oldest_seconds.unwrap_or_default();
        let is_silent = move |consumer: &&SpoolConsumerReport| {
            consumer.lacking > 0
                && consumer.received_seconds_ago.unwrap_or(never) > CONSUMER_SILENT.as_secs_f64()
        };
        self.consumers.iter().filter(is_silent).map(|consumer| {
            let SpoolConsumerReport { endpoint, consumer, lacking, received_seconds_ago, .. } = consumer;
            let since = received_seconds_ago.map_or_else(
                || "has never reported what it has on its disk".to_owned(),
                |ago| format!("last reported {ago:.0} s ago what it has on its disk"),
            );
            format!("{endpoint}: consumer `{consumer}` {since}; {lacking} messages are kept for it")
        })
    }
}
