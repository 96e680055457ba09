//! The machine a simulated card sits in, and what the card has of it.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::{BmcFault, CardOptions};

/// What the card's clock showed when it started: 2020-01-01, which it takes for right.
const CLOCK_AT_START: u32 = 1_577_836_800;

/// The statistics and stamp a card gives with its watts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Power {
    pub(super) watts: u16,
    pub(super) minimum: u16,
    pub(super) maximum: u16,
    /// Seconds of the card's own clock.
    pub(super) stamp: u32,
    pub(super) period_ms: u32,
}

/// What a card answers its commands from.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) options: CardOptions,
    pub(super) fault: BmcFault,
    pub(super) reservation: u16,
    pub(super) record_reads: u64,
    /// Sensors that report that they have no reading.
    pub(super) unavailable: BTreeSet<u8>,
    watts: u16,
    minimum: u16,
    maximum: u16,
    started: Instant,
    /// What it reported last, for [`BmcFault::Stale`].
    last: Option<Power>,
}

impl Machine {
    pub(super) fn new(options: CardOptions) -> Self {
        let unavailable = options.sensors.iter().filter(|sensor| sensor.is_unavailable);
        let unavailable = unavailable.map(|sensor| sensor.number).collect();
        Self {
            options,
            fault: BmcFault::None,
            reservation: 0,
            record_reads: 0,
            unavailable,
            watts: 0,
            minimum: u16::MAX,
            maximum: 0,
            started: Instant::now(),
            last: None,
        }
    }

    pub(super) fn set_watts(&mut self, watts: u16) {
        self.watts = watts;
        self.minimum = self.minimum.min(watts);
        self.maximum = self.maximum.max(watts);
    }

    /// What the card reports of its machine now.
    pub(super) fn power(&mut self) -> Power {
        if let (BmcFault::Stale, Some(last)) = (self.fault, self.last) {
            return last;
        }
        let elapsed = self.started.elapsed();
        let power = Power {
            watts: self.watts,
            minimum: self.minimum,
            maximum: self.maximum,
            stamp: CLOCK_AT_START.saturating_add(u32::try_from(elapsed.as_secs()).unwrap_or(u32::MAX)),
            period_ms: u32::try_from(elapsed.as_millis()).unwrap_or(u32::MAX),
        };
        self.last = Some(power);
        power
    }
}
