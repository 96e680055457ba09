#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kwapi_drivers::ipmi::fuzzing::datagram(bytes));
