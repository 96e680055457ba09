//! Devices that are not there, for tests and for `kwapi simulate`; no codec is shared with a driver.

#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod http;
pub mod ipmi;
pub mod snmp;
pub mod wattsup;

pub use http::{HttpAnswer, HttpDevice, HttpRequest};
