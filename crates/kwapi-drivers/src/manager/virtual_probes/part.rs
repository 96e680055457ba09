//! One part of a sum: what it last reported, by a measurement or by a counter that gives no power.

use std::time::Duration;

use kwapi_core::{Accounting, Amperes, CurvePoint, Energy, Measurement, ProbeId, Quality, Timestamp, Watts};

use crate::manager::pace::OwnPace;

/// One part, as it last was.
#[derive(Clone, Debug)]
pub(super) struct SumPart {
    pub(super) id: ProbeId,
    pub(super) latest: Option<Latest>,
    /// How often it is received: a part may be read slowly, or reported only when its counter has advanced.
    pub(super) pace: OwnPace,
}

/// What a part last reported.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latest {
    /// The latest there was, and when.
    pub(super) power: Option<(Watts, Duration)>,
    pub(super) current: Option<Amperes>,
    pub(super) quality: Quality,
    pub(super) session: Timestamp,
    pub(super) curve: Option<CurvePoint>,
    pub(super) energy: Energy,
    /// What its register advances by, as far as it matters: one that gives power at each reading has none here.
    pub(super) tick: Energy,
    pub(super) unknown_ms: u64,
    pub(super) received_at: Duration,
    pub(super) is_new: bool,
}

/// What a part has just reported.
#[derive(Clone, Copy, Debug)]
pub(in crate::manager) struct PartReport<'a> {
    pub(super) probe: &'a ProbeId,
    pub(super) power: Option<Watts>,
    pub(super) current: Option<Amperes>,
    pub(super) accounting: Accounting,
    /// One tick of its register, where that is known.
    pub(super) tick: Option<Energy>,
}

impl<'a> PartReport<'a> {
    /// A measurement; `None` of one without an account, of which there is no sum.
    pub(in crate::manager) fn of(measurement: &'a Measurement) -> Option<Self> {
        Some(Self {
            probe: &measurement.probe,
            power: Some(measurement.power),
            current: measurement.current,
            accounting: measurement.accounting?,
            tick: None,
        })
    }

    /// A counter of this tick that gives no power now.
    pub(in crate::manager) fn standing(probe: &'a ProbeId, accounting: Accounting, tick: Energy) -> Self {
        Self { probe, power: None, current: None, accounting, tick: Some(tick) }
    }
}

impl SumPart {
    /// One that has reported nothing yet.
    pub(super) fn new(id: &ProbeId) -> Self {
        Self { id: id.clone(), latest: None, pace: OwnPace::default() }
    }

    /// Takes what it has reported; whether its total continued from what it reported before.
    pub(super) fn take(&mut self, report: &PartReport<'_>, now: Duration) -> bool {
        let PartReport { power, current, accounting, tick, .. } = report;
        let before = self.latest;
        let latest = Latest {
            power: power.map(|power| (power, now)).or_else(|| before.and_then(|before| before.power)),
            current: *current,
            quality: accounting.quality,
            session: accounting.session,
            curve: accounting.curve,
            energy: accounting.totals.energy,
            tick: tick.or(before.map(|before| before.tick)).unwrap_or_default(),
            unknown_ms: accounting.totals.unknown_ms,
            received_at: now,
            is_new: true,
        };
        if power.is_some() {
            self.pace.note_reading(now, None);
        }
        self.latest = Some(latest);
        before.is_some_and(|before| before.is_comparable(&latest))
    }
}

impl Latest {
    /// Whether the part's total continued from `self` to `later`.
    fn is_comparable(&self, later: &Self) -> bool {
        let is_of_one = match (self.curve, later.curve) {
            (Some(before), Some(after)) => before.id == after.id,
            (None, None) => self.session == later.session,
            (Some(_), None) | (None, Some(_)) => false,
        };
        is_of_one && self.unknown_ms == later.unknown_ms
    }
}
