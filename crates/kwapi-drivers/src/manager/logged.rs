//! A meter whose readings were written down elsewhere: the rows of a file take the place of a device. They go the way of
//! all readings, so that a register has the last word here as well.

use std::time::Duration;

use kwapi_core::{Limits, Measurement, NoReading, ProbeId, Reading, SessionEntry, Timestamp};

use super::derive::Assumptions;
use super::place::RegisterPlace;
use super::published::{Now, Outcome, PublishedProbe};
use crate::value::{self, Decimals, EnergyUnit, PowerUnit};

/// The stamps of a log run like the clock of one boot, which no other has.
const LOG_BOOT: &str = "log";

/// In what a log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LogUnits {
    /// The unit of power.
    pub power: PowerUnit,
    /// The unit of the register.
    pub energy: EnergyUnit,
    /// A tick of the register in its unit; `None`: the finest decimal seen so far.
    pub tick: Option<f64>,
    /// Where the register starts again from zero, in its unit, if that is known.
    pub range: Option<f64>,
}

/// What one row holds, in the units of its log.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LogRow<'a> {
    /// Active power.
    pub power: Option<f64>,
    /// The register, as it is printed: its digits show how fine it is.
    pub register: Option<&'a str>,
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Logged {
    /// A measurement.
    New(Measurement),
    /// Nothing yet: the register has not advanced enough to derive the power. The next measurement has its energy.
    Waits,
}

/// One probe of a log.
#[derive(Debug)]
pub struct LoggedMeter {
    source: PublishedProbe,
    place: RegisterPlace,
    units: LogUnits,
    decimals: Decimals,
    is_upset: bool,
    has_begun: bool,
}

impl LoggedMeter {
    /// A probe that continues from `past`, as far as its register does.
    pub fn new(probe: ProbeId, limits: Limits, past: Vec<SessionEntry>, units: LogUnits) -> Self {
        // A log may be of any time.
        let source = PublishedProbe::from_date(probe, limits, past, Timestamp::EPOCH);
        let decimals = Decimals::default();
        Self { source, place: RegisterPlace::of_log(), units, decimals, is_upset: false, has_begun: false }
    }

    /// Takes a row that was measured `at`, after all rows before it.
    ///
    /// # Errors
    /// When a value cannot be; nothing of the row counts then.
    pub fn take(&mut self, at: Timestamp, row: LogRow<'_>) -> Result<Logged, NoReading> {
        let reading = self.reading(row)?;
        let since_epoch = Duration::from_micros(at.micros());
        let now = Now { wall: at, monotonic: since_epoch, boottime: since_epoch, boot: LOG_BOOT };
        match self.source.take(&reading, now, &Assumptions::default(), &self.place) {
            Outcome::New(draft, keep) => {
                self.is_upset |= self.has_begun && keep.is_some_and(|keep| keep.sync);
                self.has_begun = true;
                Ok(self.source.publish(draft, true).map_or(Logged::Waits, Logged::New))
            }
            Outcome::Nothing(NoReading::NotReady(_), _) | Outcome::Held(..) | Outcome::Unchanged => {
                Ok(Logged::Waits)
            }
            Outcome::Nothing(no_reading, _) => Err(no_reading),
        }
    }

    /// Whether the register was reset, jumped or was no longer trusted since the last call: what is kept of it from
    /// before must not be continued from.
    pub fn take_upset(&mut self) -> bool {
        std::mem::take(&mut self.is_upset)
    }

    /// What is to be kept, so that the next log of this probe continues where this one ends.
    pub fn entry(&self) -> Option<SessionEntry> {
        self.source.entry(LOG_BOOT)
    }

    fn reading(&mut self, row: LogRow<'_>) -> Result<Reading, NoReading> {
        let power = row.power.map(|power| value::power(power, self.units.power)).transpose()?;
        let counter = match row.register {
            None => None,
            Some(printed) => {
                let number: f64 = printed
                    .parse()
                    .map_err(|_| NoReading::Implausible(format!("{printed:?} is no number")))?;
                let tick = self.units.tick.unwrap_or_else(|| self.decimals.resolution(printed));
                let mut counter = value::counter(number, tick, self.units.energy)?;
                if let Some(range) = self.units.range {
                    counter.range = Some(value::counter(range, tick, self.units.energy)?.value);
                }
                Some(counter)
            }
        };
        Ok(Reading { power, counter, ..Reading::default() })
    }
}

#[cfg(test)]
mod tests;
