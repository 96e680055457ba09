//! A request as it reaches the simulated rack's agent.

#![no_main]

use kwapi_simulators::snmp::parse_request;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    _ = parse_request(bytes);
});
