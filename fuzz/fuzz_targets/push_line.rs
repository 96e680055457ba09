//! A line that somebody's script pushes.
#![no_main]

libfuzzer_sys::fuzz_target!(|line: &[u8]| {
    _ = kwapi_drivers::push::parse_line(line);
});
