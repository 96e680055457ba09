//! The exposition formats of Prometheus and OpenMetrics.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for line in text.lines() {
        _ = kwapi_drivers::prometheus::exposition::parse_sample(line, false);
        _ = kwapi_drivers::prometheus::exposition::parse_sample(line, true);
    }
});
