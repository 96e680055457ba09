//! Wattmeter drivers and the manager that keeps them alive. Never sees the bus: measurements leave through a sink.

mod driver;
pub mod dummy;
pub mod manager;
mod outlets;
pub mod push;
pub mod rapl;
pub mod registry;
pub mod wattsup;

pub use driver::{Cadence, Driver, DriverError, Finding, Readings};
pub use outlets::{Outlet, Outlets};
