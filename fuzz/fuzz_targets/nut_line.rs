//! Lines of a NUT server.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for line in text.lines() {
        _ = kwapi_drivers::nut::variables::parse_variable(line);
    }
});
