//! Wattmeter drivers and the manager that keeps them alive. Never sees the bus: measurements leave through a sink.

mod blocking;
pub mod cleanup;
pub mod config;
pub mod deadline;
mod device;
mod driver;
pub mod dummy;
mod error;
pub mod fritz;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod http;
pub mod http_json;
pub mod hwmon;
pub mod ipmi;
pub(crate) mod json_values;
pub mod kasa;
mod last_value;
mod local_sensors;
pub mod manager;
pub mod modbus;
pub mod mqtt;
pub mod nut;
pub mod nvml;
mod obis;
mod outlets;
pub mod p1;
mod parts;
pub mod pm_counters;
mod power_role;
pub mod prometheus;
pub mod push;
pub mod rapl;
pub mod redfish;
pub mod registry;
pub mod serial;
pub mod shelly;
pub mod sml;
pub mod snmp;
pub mod tasmota;
mod tcp;
#[cfg(test)]
mod testing;
pub mod tls;
pub mod value;
pub mod wattsup;
mod words;

pub use driver::{Cadence, Driver, Finding, Readings};
pub use error::DriverError;
pub use outlets::{Outlet, Outlets};
