//! What of a session outlives its process, and whether a register read after a stop continues from there.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::integrator::{Anchor, Integrator, Limits, microjoules};
use super::super::status::microjoules as of_energy;
use super::{Clocks, Sample};
use crate::{Energy, MeterCounter, ProbeId, Register, Timestamp, Watts};

/// Meters and their registers disagree by some percent, and an outlet of constant load draws what it ever drew: so much
/// more than the largest power seen may have been used over a stop.
const DISAGREEMENT: f64 = 1.1;

/// What is kept of one probe: all of it as of one reading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionEntry {
    /// Whose.
    pub probe: ProbeId,
    /// The newest session id or stamp: the ids of a probe rise for ever.
    pub newest: Timestamp,
    /// The boot of the host that `boottime` is of.
    pub boot: Arc<str>,
    /// When the reading was measured, on the clock that runs since boot, and on the wall clock.
    pub boottime: Duration,
    /// See `boottime`.
    pub wall: Timestamp,
    /// The largest power that two successive readings agreed on, in watts.
    pub watts_max: f64,
    /// The register, where there is one that is on a curve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub register: Option<Box<KeptRegister>>,
    /// The curve, and the run that this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curve: Option<Timestamp>,
    /// See `curve`.
    #[serde(default)]
    pub run: u32,
    /// The curve so far, in microjoules.
    pub total_uj: u128,
}

/// A register as it stood, and where the total was last known to agree with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRegister {
    path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(default)]
    is_in_host: bool,
    value: Energy,
    resolution: Energy,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    range: Option<Energy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reset_at: Option<Timestamp>,
    /// Whether it still had the last word.
    #[serde(rename = "is_believed")]
    is_trusted: bool,
    /// How long before the entry's reading it was read.
    #[serde(default, skip_serializing_if = "Duration::is_zero")]
    unread: Duration,
    /// Total, counted, integrated, slack: see the integrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    anchor_uj: Option<[u128; 4]>,
}

/// Why the time between two processes is not bridged by the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotBridged {
    /// Nothing is kept of this register: it is new, or the state was lost.
    NoState,
    /// The register contradicted the meter's watts.
    NotTrusted,
    /// Another serial number.
    AnotherMeter,
    /// A register in the host, which has been booted since.
    HostBooted,
    /// The device reports that it was reset or restarted.
    Reset,
    /// The register may have passed its range more than once.
    StopTooLong,
    /// It rose by more than the outlet can have used.
    Jumped,
    /// It fell, and not by a plausible wrap.
    Fell,
    /// The wall clock was wrong when the process before ended, or for too long after a boot.
    Clock,
}

impl NotBridged {
    /// The cause in one word, for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoState => "no_state",
            Self::NotTrusted => "not_believed",
            Self::AnotherMeter => "another_meter",
            Self::HostBooted => "host_booted",
            Self::Reset => "reset",
            Self::StopTooLong => "stop_too_long",
            Self::Jumped => "jumped",
            Self::Fell => "fell",
            Self::Clock => "clock",
        }
    }
}

impl fmt::Display for NotBridged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoState => "no saved state for this register",
            Self::NotTrusted => "the register contradicted the meter's watts",
            Self::AnotherMeter => "the serial number changed; the meter was replaced",
            Self::HostBooted => "the register is reset when the host boots",
            Self::Reset => "the device reports a reset or restart",
            Self::StopTooLong => "the register may have wrapped more than once",
            Self::Jumped => "the register rose by more than the outlet can have used",
            Self::Fell => "the register fell",
            Self::Clock => "the wall clock was wrong when the previous process ended, or for too long after the host's boot",
        })
    }
}

impl KeptRegister {
    pub(super) fn new(register: &Register, counter: &MeterCounter, integrator: &Integrator) -> Self {
        Self {
            path: register.path.clone(),
            serial: register.serial.clone(),
            started_at: register.started_at,
            is_in_host: register.is_in_host,
            value: counter.value,
            resolution: counter.resolution,
            range: counter.range,
            reset_at: counter.reset_at.or(integrator.tracker.last().and_then(|last| last.reset_at)),
            is_trusted: integrator.register_trusted,
            unread: integrator.tracker.unread(),
            anchor_uj: integrator
                .anchor
                .as_deref()
                .map(|anchor| [anchor.total_uj, anchor.counted_uj, anchor.integrated_uj, anchor.slack_uj]),
        }
    }

    /// Where in the device it is.
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// The serial number of its device, as last stated.
    pub(super) fn serial(&self) -> Option<&str> {
        self.serial.as_deref()
    }

    pub(super) fn counter(&self) -> MeterCounter {
        MeterCounter {
            value: self.value,
            resolution: self.resolution,
            range: self.range,
            reset_at: self.reset_at,
        }
    }

    pub(super) fn anchor(&self) -> Option<Anchor> {
        self.anchor_uj.map(|[total_uj, counted_uj, integrated_uj, slack_uj]| Anchor {
            total_uj,
            counted_uj,
            integrated_uj,
            slack_uj,
        })
    }

    fn register(&self) -> Register {
        Register { started_at: self.started_at, ..Register::default() }
    }
}

impl SessionEntry {
    /// Where in the device its register is, if it has one.
    pub fn path(&self) -> Option<&str> {
        self.register.as_deref().and_then(KeptRegister::path)
    }

    /// The largest power trusted so far, in watts.
    pub(super) fn largest(&self) -> f64 {
        if self.watts_max.is_finite() { self.watts_max.max(0.0) } else { 0.0 }
    }

    /// When the process that left this ended, by a wall clock that shows `now` after a boot. A clock that was behind stamps
    /// on record, and is past them now, was mended over the boot: by how much is not known, but the stop is no longer than
    /// from the newest of these stamps.
    fn ended(&self, now: Timestamp) -> Timestamp {
        if self.newest <= now { self.wall.max(self.newest) } else { self.wall }
    }

    /// How far the register, which is the one read now, advanced over the stop between this entry and the reading.
    ///
    /// # Errors
    /// Why the curve does not continue.
    pub(super) fn advance(
        &self,
        sample: &Sample,
        counter: &MeterCounter,
        clocks: &Clocks<'_>,
        limits: &Limits,
        not_before: Timestamp,
    ) -> Result<Energy, NotBridged> {
        let (Some(kept), Some(_)) = (&self.register, self.curve) else { return Err(NotBridged::NoState) };
        let is_same_boot = *self.boot == *clocks.boot;
        let length = if is_same_boot {
            sample.at.saturating_sub(self.boottime)
        } else {
            let now = clocks.wall.before(clocks.boottime.saturating_sub(sample.at));
            now.since(self.ended(now))
        };
        let register = &sample.register;
        if !kept.is_trusted {
            return Err(NotBridged::NotTrusted);
        }
        if register.is_of_another_device(kept.serial.as_deref()) {
            return Err(NotBridged::AnotherMeter);
        }
        if (kept.is_in_host || register.is_in_host) && !is_same_boot {
            return Err(NotBridged::HostBooted);
        }
        if kept.reset_at != counter.reset_at || !register.is_of_same_start(&kept.register()) {
            return Err(NotBridged::Reset);
        }
        if !is_same_boot && self.wall < not_before {
            return Err(NotBridged::Clock); // How long the stop was is not known.
        }
        // It counts since it was read; and it is refreshed in steps of its own: an interval more.
        let refreshed = length.saturating_add(kept.unread).saturating_add(limits.interval);
        let most_uj = match limits.max_watts {
            Some(Watts(max_watts)) => microjoules(max_watts, refreshed),
            None => microjoules(self.largest() * DISAGREEMENT, refreshed),
        };
        let range = counter.range.into_iter().chain(kept.range).min();
        if range.is_some_and(|range| most_uj >= of_energy(range)) {
            return Err(NotBridged::StopTooLong);
        }
        // One tick on top: a coarse register that ticks in a short stop has not jumped.
        let bound_uj = most_uj.saturating_add(of_energy(counter.resolution));
        let not_bridged = if counter.value >= kept.value { NotBridged::Jumped } else { NotBridged::Fell };
        counter.advance_since(&kept.counter(), bound_uj).ok_or(not_bridged)
    }
}
