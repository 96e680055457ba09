//! Devices that are not there, for tests and for `kwapi simulate`; no codec is shared with a driver.

mod http;

pub use http::{HttpAnswer, HttpDevice, HttpRequest};
