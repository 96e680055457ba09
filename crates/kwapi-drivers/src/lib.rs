//! Wattmeter drivers and the manager that keeps them alive. Never sees the bus: measurements leave through a sink.

mod driver;
mod outlets;
pub mod snmp;

pub use driver::{Cadence, Driver, DriverError, Finding, Readings};
pub use outlets::{Outlet, Outlets};
