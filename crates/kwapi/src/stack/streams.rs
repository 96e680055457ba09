//! The streams of NATS that a process publishes to and receives from, as they are reported.

use std::sync::Arc;

use kwapi_bus::{NatsLink, Publisher, Subscriber};
use kwapi_core::{Timestamp, WallClock};
use serde::{Deserialize, Serialize};

/// The two ends that a process may have.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    pub(super) publisher: Option<Arc<Publisher>>,
    pub(super) subscriber: Option<Arc<Subscriber>>,
    pub(super) clock: WallClock,
}

impl Streams {
    pub(super) fn reports(&self) -> Vec<StreamReport> {
        let published = self.publisher.iter().flat_map(|publisher| publisher.nats_links());
        let received = self.subscriber.iter().flat_map(|subscriber| subscriber.nats_links());
        let now = self.clock.now();
        published.chain(received).map(|link| StreamReport::new(link, now)).collect()
    }
}

/// One connection to a stream, as `/streams` shows it and `kwapi status` reads it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct StreamReport {
    pub(crate) endpoint: String,
    /// `publish`, `subscribe`, or `live`: what shows present power beside a backlog.
    pub(crate) side: String,
    pub(crate) is_up: bool,
    pub(crate) problem: Option<String>,
    /// Stored, or received, since this process began.
    pub(crate) messages: u64,
    /// Here until they are stored, or there until they are received.
    pub(crate) waiting: u64,
    /// Dropped by the stream before they were received.
    pub(crate) lost: u64,
    /// How far the history is behind.
    pub(crate) lag_seconds: Option<f64>,
}

impl StreamReport {
    fn new(link: NatsLink, now: Timestamp) -> Self {
        Self {
            side: link.side.name().to_owned(),
            is_up: link.problem.is_none(),
            problem: link.problem,
            messages: link.messages,
            waiting: link.waiting,
            lost: link.lost,
            lag_seconds: link.read_until.map(|until| now.since(until).as_secs_f64()),
            endpoint: link.endpoint,
        }
    }
}
