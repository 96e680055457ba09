//! The API against programs we did not write: Keystone, Ceilometer, Prometheus, schemathesis.

#![allow(
    clippy::disallowed_methods,
    reason = "these tests start programs, wait for them, and take their time from the system"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is test code, helpers included"
)]

mod ceilometer;
mod cloud;
mod keystone;
mod others;
mod stand;
