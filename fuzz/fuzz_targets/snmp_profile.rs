//! A profile of an operator's own directory.

#![no_main]

use kwapi_drivers::snmp::Profile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    _ = Profile::parse("fuzz.toml", text);
});
