//! What all parts of a process have in common.

use std::time::Instant;

use kwapi_bus::BusContext;
use kwapi_core::{MonotonicClock, ProcessClocks, Timestamp, WallClock};
use kwapi_plugins::http::Seats;

use super::Descriptors;

/// The bus, the clocks and the connections that the parts of a process share.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) bus: BusContext,
    pub(crate) clock: WallClock,
    /// The one clock that silence is measured on.
    pub(crate) monotonic: MonotonicClock,
    pub(crate) seats: Seats,
}

impl Process {
    /// One a process, with HTTP connections as far as its descriptors go.
    pub(crate) fn new(descriptors: &Descriptors) -> Self {
        let seats = Seats::new(descriptors.connections);
        let ProcessClocks { wall, monotonic } = clocks();
        Self { bus: BusContext::new(), clock: wall, monotonic, seats }
    }

    /// Both clocks, for whoever compares what others measured.
    pub(crate) fn clocks(&self) -> ProcessClocks {
        ProcessClocks { wall: self.clock.clone(), monotonic: self.monotonic.clone() }
    }
}

/// The system's clock; below the binary, nobody else asks it.
#[expect(clippy::disallowed_methods, reason = "the one place that asks the wall clock")]
pub(crate) fn wall_clock() -> WallClock {
    WallClock::new(|| {
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX))
    })
}

/// The system's clocks. The monotonic one begins now: ask once a process.
pub(crate) fn clocks() -> ProcessClocks {
    let origin = Instant::now();
    ProcessClocks { wall: wall_clock(), monotonic: MonotonicClock::new(move || origin.elapsed()) }
}

/// Tells systemd, if it started us, that the service is up.
pub(crate) fn notify_ready() {
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::debug!(%error, "systemd was not told");
    }
}
