//! Devices that are not there, for tests and for `kwapi simulate`; no codec is shared with a driver.

pub mod snmp;
