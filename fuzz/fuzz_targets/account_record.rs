//! The record of accounts. Whatever is in it, it is read or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    _ = kwapi_plugins::collector::decode_all(bytes, |_, _| ());
});
