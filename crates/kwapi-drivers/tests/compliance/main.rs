//! One suite for every driver: it opens, reads, explains itself, and meets a device that hangs, sends garbage or vanishes
//! with the error that determines what the manager does next.
//!
//! A driver joins with one file here: a [`suite::Device`] that starts its simulator and inflicts the faults.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::match_same_arms,
    reason = "helpers of tests state what they expect by failing, and list a protocol answer by answer"
)]

mod dummy;
mod fritz;
mod http;
mod hwmon;
mod ipmi;
mod kasa;
mod modbus;
mod mqtt;
mod nut;
mod nvml;
mod pm_counters;
mod push;
mod rapl;
mod snmp;
mod suite;
mod tcp;
mod telegrams;
mod wattsup;
