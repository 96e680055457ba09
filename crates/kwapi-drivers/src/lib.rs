//! Wattmeter drivers and the manager that keeps them alive. Never sees the bus: measurements leave through a sink.

mod blocking;
pub mod cleanup;
pub mod deadline;
mod driver;
pub mod dummy;
pub mod http;
pub mod http_json;
pub mod hwmon;
pub mod ipmi;
pub mod json_values;
mod last_value;
pub mod manager;
pub mod modbus;
pub mod mqtt;
pub mod nut;
pub mod nvml;
#[doc(hidden)]
pub mod obis;
mod outlets;
pub mod p1;
mod parts;
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
pub mod tls;
pub mod value;
pub mod wattsup;

pub use driver::{Cadence, Driver, DriverError, Finding, Readings};
pub use outlets::{Outlet, Outlets};
