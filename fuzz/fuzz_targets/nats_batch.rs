#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kwapi_fuzz::nats_batch(bytes));
