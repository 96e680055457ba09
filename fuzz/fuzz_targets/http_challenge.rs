//! Digest challenges of HTTP devices.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    _ = kwapi_drivers::http::parse_challenge(text);
});
