//! A Watts up? record, as it comes off the serial line.
#![no_main]

libfuzzer_sys::fuzz_target!(|record: &[u8]| {
    _ = kwapi_drivers::wattsup::parse_record(record);
});
