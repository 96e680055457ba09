//! The policy file. Whatever is in it, it is read or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    _ = kwapi_plugins::api::parse_policy(text);
});
