//! An access rule's path against a request's: any two texts, in time proportional to their lengths' product.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: (&str, &str)| {
    _ = kwapi_plugins::api::path_matches(texts.0, texts.1);
});
