//! Where measurements leave the manager, and the clocks they are stamped by.

use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Measurement, WallClock};
use parking_lot::RwLock;
use tokio::time::Instant;

use super::lateness::Histogram;
use super::source::Now;
use super::virtual_probes::VirtualProbes;

/// Takes every measurement. It must not block: it queues, and drops its oldest when full.
pub type Sink = Arc<dyn Fn(Measurement) + Send + Sync>;

/// What all meters of a manager have in common.
pub(super) struct Outflow {
    sink: Sink,
    clock: WallClock,
    epoch: Instant,
    pub(super) virtual_probes: RwLock<VirtualProbes>,
    /// How late readings are in hand.
    pub(super) lateness: Histogram,
}

impl Outflow {
    pub(super) fn new(sink: Sink, clock: WallClock) -> Self {
        Self {
            sink,
            clock,
            epoch: Instant::now(),
            virtual_probes: RwLock::default(),
            lateness: Histogram::default(),
        }
    }

    pub(super) fn now(&self) -> Now {
        Now { wall: self.clock.now(), monotonic: self.epoch.elapsed() }
    }

    /// The instant `since_epoch` after the manager began.
    pub(super) fn instant(&self, since_epoch: Duration) -> Instant {
        self.epoch + since_epoch
    }

    /// Sends a measurement, followed by the virtual probes that it completes.
    pub(super) fn send(&self, measurement: Measurement, now: Now) {
        let sums = self.virtual_probes.read().completed_by(&measurement, now);
        (self.sink)(measurement);
        for sum in sums {
            (self.sink)(sum);
        }
    }
}
