//! Energy, decided once, with its status: from a meter's readings to the totals people are billed by.
//!
//! Left of the bus an [`Integrator`] turns watts and a meter's register ([`MeterCounter`]) into running totals; right of
//! it an [`Account`] takes differences of what it receives. Both halves are here so that one property can hold them:
//! readings → source → a delivery that loses, repeats, reorders and restarts → account = what was used.

mod account;
mod counter;
mod integrator;
mod register;
mod rows;
#[cfg(test)]
#[allow(dead_code, reason = "each half reads what concerns it")]
mod scenarios;
mod session;
mod status;
#[cfg(test)]
#[allow(dead_code, reason = "each half needs what concerns it")]
mod worlds;

pub use account::{
    Account, Credit, Decision, Refused, SegmentKind, SnapshotError, Standing, StandingOrder, Stretch, Trace,
    Traced,
};
pub use counter::{CounterChange, CounterTracker, MeterCounter};
pub use integrator::{Integrator, Limits};
pub use register::Register;
pub use rows::{Cause, Increment, OpenRows, Piece, Row, RowStep, WrittenRow};
pub use session::{Clocks, Keep, NotBridged, Sample, SampleOutcome, Session, SessionEntry};
pub use status::Totals;
