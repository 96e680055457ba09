//! End to end: the binary as an operator runs it, between real devices and real readers.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    unreachable_pub,
    reason = "a test starts the binary and its peers, waits for them, and fails by panicking; it is no library"
)]

mod backup;
mod bill;
mod ceilometer;
mod clock;
mod commands;
mod container;
mod demonstration;
mod descriptions;
mod devices;
mod discover;
mod disk;
mod docs;
mod energy;
mod fake_clock;
mod fast;
mod fuzz;
mod gnocchi;
mod grafana;
mod groups;
mod harness;
mod history;
mod hours;
mod import;
mod import_config;
mod keys;
mod killed;
mod logins;
mod manual;
mod measure;
mod nats;
mod objects;
mod one_kwh;
mod package;
mod publishers;
mod readiness;
mod reload;
mod remote_write;
mod scopes;
mod sites;
mod spine;
mod survival;
mod two_apis;
mod upgrade;
mod version;
mod wiring;
