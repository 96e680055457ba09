//! Kwapi's vocabulary, and the arithmetic people are billed by.
//!
//! Pure by manifest and by lint: this crate does no I/O, reads no clock and uses no async runtime. Every other
//! crate uses these types.
//!
//! The data's way through them: a driver fills a [`Reading`]; the driver manager derives what the meter left out,
//! feeds an [`Integrator`] and sends a [`Measurement`]; a plugin credits it to a probe's [`Account`].

#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        clippy::unchecked_time_subtraction,
        reason = "the sizes of numbers in tests are known"
    )
)]

mod bill;
mod chain;
mod description;
mod energy;
mod gaps;
mod groups;
pub mod hex;
mod measurement;
mod pattern;
mod period;
mod probe;
pub mod ranges;
mod reading;
mod secret;
mod series;
mod silence;
mod succession;
mod tariff;
mod units;

pub use bill::{
    Bill, BillCharge, BillChargeKind, BillError, BillLine, BillLineKind, BillMaker, BillPeak, BillProbe,
    BillQuarterSum, BillTerms, BillValue, BilledProbe, BilledQuarter, QuarterStatus, Share, Shares,
    SharesError,
};
pub use chain::{chain, with_causes};
pub use description::{Description, MeterFacts};
pub use energy::{
    Account, Cause, Clocks, CounterChange, CounterTracker, Credit, Decision, Increment, Integrator, Keep,
    Limits, MeterCounter, NotBridged, OpenRows, Piece, Refused, Register, Row, RowStep, Sample,
    SampleOutcome, SegmentKind, Session, SessionEntry, SnapshotError, Standing, StandingOrder, Stretch,
    Totals, Trace, Traced, WrittenRow,
};
pub use gaps::{ConfiguredGaps, GapSource, Gaps};
pub use groups::{groups_of, meters_above};
pub use measurement::{Accounting, CurvePoint, Measurement, MeterTotal, Quality, WATTS_MAX};
pub use pattern::{Pattern, PatternError};
pub use period::{NoSuchPeriod, Period};
pub use probe::{PROBE_ID_BYTES_MAX, ProbeId, ProbeIdError};
pub use reading::{NoReading, Reading};
pub use secret::Secret;
pub use series::Series;
pub use silence::{is_silent, silent_after};
pub use succession::Succession;
pub use tariff::{
    Decimal, DecimalError, HoursError, Rate, RateEntry, RateError, RateSeries, RateUnit, RateValue, WeekHours,
};
pub use units::{
    Amperes, Energy, MonotonicClock, PROGRAM_DATE, ProcessClocks, Timestamp, Volts, WallClock, Watts,
};
