//! What energy costs: rates, each a price that may change by date, weekday, hour or quarter hour. The PUE and the CO2 of a
//! kilowatt-hour are configured in the same way.
//!
//! Everything is whole quarter hours: one quarter hour has one price of a rate. Zones are offset from UTC by whole quarter
//! hours, so that a quarter hour of the ledger (UTC) is one of the zone as well, also on the days when its clock is set.

mod decimal;
mod hours;
mod quarter;
mod rate;

pub use decimal::{Decimal, DecimalError};
pub use hours::{HoursError, WeekHours};
pub(crate) use quarter::QuarterOfWeek;
pub use rate::{Rate, RateEntry, RateError, RateSeries, RateUnit, RateValue};

/// A quarter hour in milliseconds.
pub(crate) const QUARTER_MS: u64 = 900_000;
