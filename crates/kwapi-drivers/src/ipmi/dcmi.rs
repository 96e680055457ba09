//! DCMI's power reading: the whole machine's watts in one command.
//!
//! Source: DCMI 1.5 rev. 1.0, 6.6.1 (Get Power Reading), and what cards were seen to do beyond it.

use std::time::{Duration, Instant};

use kwapi_core::{NoReading, Quality, Reading, Watts};

use super::reader::ByteReader;
use crate::value::Sentinel;

/// Marks a DCMI message in the group extension network function, in requests and answers: DCMI 1.5, 6.1.
const GROUP: u8 = 0xDC;
/// Mode 01h, "System Power Statistics", and two reserved bytes.
pub(super) const REQUEST: [u8; 4] = [GROUP, 0x01, 0x00, 0x00];
/// Bit of the state byte: power measurement is active.
const STATE_ACTIVE: u8 = 0x40;
/// The field of the present power; cards that have no value show that at its end (xen-api#5561).
const CURRENT: Sentinel = Sentinel::Unsigned(16);
/// A present power this many times above the card's own maximum is a card's mistake (seen, and refused likewise, by EAR).
const RATIO_MAX: u32 = 10;

/// A card's response to Get Power Reading, unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PowerReading {
    /// Watts, as all four.
    pub(super) current: u16,
    pub(super) minimum: u16,
    pub(super) maximum: u16,
    pub(super) average: u16,
    /// Seconds of a clock that is often the local time, or near 1970. Never taken for a date: see [`Freshness`].
    pub(super) stamp: u32,
    /// Milliseconds the statistics cover; 0 on cards that keep none.
    pub(super) period_ms: u32,
    pub(super) is_active: bool,
}

/// Reads the answer's data; `None` when it is cut or no DCMI answer. Bytes after the reading are ignored.
pub(super) fn parse(data: &[u8]) -> Option<PowerReading> {
    let mut reader = ByteReader::new(data);
    if reader.u8()? != GROUP {
        return None;
    }
    Some(PowerReading {
        current: reader.u16()?,
        minimum: reader.u16()?,
        maximum: reader.u16()?,
        average: reader.u16()?,
        stamp: reader.u32()?,
        period_ms: reader.u32()?,
        is_active: reader.u8()? & STATE_ACTIVE != 0,
    })
}

impl std::fmt::Display for PowerReading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { current, minimum, maximum, average, period_ms, .. } = self;
        let state = if self.is_active { "active" } else { "not active" };
        let seconds = period_ms / 1_000;
        write!(
            f,
            "{current} W, {state} (minimum {minimum}, maximum {maximum}, average {average} W over {seconds} s)"
        )
    }
}

impl PowerReading {
    /// The reading proper, or why there is none.
    ///
    /// Cards that report "not active" give right watts nevertheless (phosphor-host-ipmid#167): kept, as an estimate. A
    /// zero that is not being measured is no zero.
    pub(super) fn reading(&self) -> Result<Reading, NoReading> {
        if CURRENT.is(self.current.into()) {
            return Err(NoReading::Implausible("65535 W, a placeholder for no value".to_owned()));
        }
        if self.current == 0 && !self.is_active {
            return Err(NoReading::NotAvailable(
                "the BMC reports 0 W and that power measurement is not active".to_owned(),
            ));
        }
        if self.current == 0 && self.stamp == 0 && self.period_ms == 0 {
            return Err(NoReading::NotAvailable(
                "the BMC reports 0 W over a period of 0 s; power is not measured".to_owned(),
            ));
        }
        if self.maximum > 0 && u32::from(self.current) > RATIO_MAX * u32::from(self.maximum) {
            return Err(NoReading::Implausible(format!(
                "{} W is over {RATIO_MAX} times the BMC's own maximum of {} W",
                self.current, self.maximum
            )));
        }
        let quality = if self.is_active { Quality::Measured } else { Quality::Estimated };
        Ok(Reading { power: Some(Watts(f64::from(self.current))), quality, ..Reading::default() })
    }
}

/// Distinguishes a card whose power measurement has stopped from one whose machine draws the same power for long.
///
/// Some cards continue to respond with the last value they had. On a card whose stamp moves from reading to reading, a
/// stamp that stands still for long gives it away; of a card whose stamp seldom moves nothing is concluded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Freshness {
    last: Option<(PowerReading, Instant)>,
    moves: u8,
    /// The longest time between two moves of the stamp so far.
    pause_max: Duration,
}

impl Freshness {
    /// Moves to see before a standstill means anything.
    const MOVES_MIN: u8 = 3;
    /// No standstill shorter than this is one: cards renew their value every 1 to 10 s or so.
    const STANDSTILL_MIN: Duration = Duration::from_secs(60);
    /// A standstill is this many times the longest pause before it.
    const PAUSES: u32 = 10;

    /// Notes a reading; returns how long the card has been reporting exactly this, when that is too long.
    pub(super) fn observe(&mut self, reading: PowerReading, now: Instant) -> Option<Duration> {
        let Some((last, since)) = self.last else {
            self.last = Some((reading, now));
            return None;
        };
        let still = now.saturating_duration_since(since);
        if last != reading {
            if last.stamp != reading.stamp {
                self.moves = self.moves.saturating_add(1);
                self.pause_max = self.pause_max.max(still);
            }
            self.last = Some((reading, now));
            return None;
        }
        let limit = Self::STANDSTILL_MIN.max(self.pause_max.saturating_mul(Self::PAUSES));
        (self.moves >= Self::MOVES_MIN && still > limit).then_some(still)
    }
}

#[cfg(test)]
pub(super) mod tests;
