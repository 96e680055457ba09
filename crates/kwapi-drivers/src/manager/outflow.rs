//! Where measurements leave the manager, and the clocks they are stamped by.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kwapi_core::{Accounting, Energy, Measurement, MeterFacts, PROGRAM_DATE, ProbeId, WallClock};
use parking_lot::RwLock;
use tokio::time::Instant;

use super::host::Host;
use super::lateness::Histogram;
use super::published::Now;
use super::state::ManagerState;
use super::virtual_probes::{Completed, PartReport, VirtualProbes};

/// A wall clock this far behind the newest stamp on record was set back, or is not set yet.
const BEHIND_MAX: Duration = Duration::from_secs(2);

/// Looking at all clocks takes no longer than this…
const LOOK_MAX: Duration = Duration::from_micros(50);
/// …or is tried again so often.
const LOOKS_MAX: u32 = 4;

/// Takes every measurement, and what is known of its probe's meter. It must not block: it queues, and drops its oldest when
/// full.
pub type Sink = Arc<dyn Fn(Measurement, MeterFacts) + Send + Sync>;

/// A counter that was read and gives no power yet.
pub(super) struct Standing {
    pub(super) probe: ProbeId,
    pub(super) accounting: Accounting,
    /// What it advances by.
    pub(super) tick: Energy,
}

/// What all meters of a manager have in common.
pub(super) struct Outflow {
    sink: Sink,
    clock: WallClock,
    host: Host,
    epoch: Instant,
    /// What outlives the process.
    pub(super) state: ManagerState,
    pub(super) virtual_probes: RwLock<VirtualProbes>,
    /// How late readings are in hand.
    pub(super) lateness: Histogram,
    /// Whether it has been reported that the wall clock is wrong and messages are held.
    held_is_reported: AtomicBool,
}

impl Outflow {
    pub(super) fn new(sink: Sink, clock: WallClock, host: Host, state: ManagerState) -> Self {
        Self {
            sink,
            clock,
            host,
            state,
            epoch: Instant::now(),
            virtual_probes: RwLock::default(),
            lateness: Histogram::default(),
            held_is_reported: AtomicBool::new(false),
        }
    }

    /// One instant on all clocks. A device's stamps are taken from one clock and integrated by another, so that what
    /// passes between looking at the two would be taken for time: who was kept from the processor just there looks
    /// again.
    pub(super) fn now(&self) -> Now<'_> {
        let mut before = self.host.boottime();
        for _ in 0..LOOKS_MAX {
            let (wall, monotonic, boottime) = (self.clock.now(), self.epoch.elapsed(), self.host.boottime());
            if boottime.saturating_sub(before) <= LOOK_MAX {
                return Now { wall, monotonic, boottime, boot: self.host.boot() };
            }
            before = boottime;
        }
        let (wall, monotonic) = (self.clock.now(), self.epoch.elapsed());
        Now { wall, monotonic, boottime: self.host.boottime(), boot: self.host.boot() }
    }

    /// What is wrong with the wall clock, as far as this process can determine.
    pub(super) fn clock_trouble(&self) -> Option<String> {
        let wall = self.clock.now();
        let newest = self.state.newest();
        if wall < PROGRAM_DATE {
            return Some("the wall clock is earlier than the release date of this program".to_owned());
        }
        if newest.since(wall) > BEHIND_MAX {
            let seconds = newest.since(wall).as_secs();
            return Some(format!("the wall clock is {seconds} s behind the newest recorded measurement"));
        }
        None
    }

    /// Reports, once, that first messages are held.
    pub(super) fn report_held(&self, now: Now<'_>) {
        if !self.held_is_reported.swap(true, Ordering::Relaxed) {
            let cause = self.clock_trouble();
            let cause = cause.as_deref().unwrap_or("a register rose by more than the downtime can explain");
            tracing::error!(
                wall_clock = now.wall.seconds(),
                "{cause}: messages are held for up to 10 minutes after the host's boot; set the clock (NTP)"
            );
        }
    }

    /// The instant `since_epoch` after the manager began.
    pub(super) fn instant(&self, since_epoch: Duration) -> Instant {
        self.epoch + since_epoch
    }

    /// Whether `probe` is part of a sum.
    pub(super) fn is_part(&self, probe: &ProbeId) -> bool {
        self.virtual_probes.read().has_part(probe)
    }

    /// Whether any measurement may complete a sum.
    pub(super) fn has_sums(&self) -> bool {
        !self.virtual_probes.read().is_empty()
    }

    /// Sends a measurement that is part of no sum.
    pub(super) fn pass(&self, measurement: Measurement, facts: MeterFacts) {
        (self.sink)(measurement, facts);
    }

    /// Sends a measurement, followed by the virtual probes that it completes.
    pub(super) async fn send(&self, measurement: Measurement, facts: MeterFacts, now: Now<'_>) {
        let report = PartReport::of(&measurement);
        let sums = report.map(|report| self.virtual_probes.read().completed_by(&report, now, &self.state));
        (self.sink)(measurement, facts);
        self.publish(sums.unwrap_or_default()).await;
    }

    /// Takes a counter that gave no power for the sums that it is a part of.
    pub(super) async fn note(&self, standing: &Standing, now: Now<'_>) {
        let report = PartReport::standing(&standing.probe, standing.accounting, standing.tick);
        let sums = self.virtual_probes.read().completed_by(&report, now, &self.state);
        self.publish(sums).await;
    }

    async fn publish(&self, mut sums: Vec<Completed>) {
        let keeps: Vec<_> = sums.iter_mut().filter_map(|sum| sum.keep.take()).collect();
        self.state.keep(None, keeps).await;
        for sum in sums {
            if let Some((measurement, facts)) = sum.publish(&self.state) {
                (self.sink)(measurement, facts);
            }
        }
    }
}
