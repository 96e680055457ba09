//! Any two frames at an endpoint with `signature = "kwapi-1"`. Byte 0 says how long the topic is.
#![no_main]

use std::sync::LazyLock;

use kwapi_bus::{Key, Scheme, Verifier};
use libfuzzer_sys::fuzz_target;

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    Verifier::new(Scheme::Kwapi1, [Key::new("fuzz", "Change This Or Be Hacked")]).expect("a fit key")
});

fuzz_target!(|data: &[u8]| {
    let Some((length, frames)) = data.split_first() else { return };
    let (topic, payload) = frames.split_at(usize::from(*length).min(frames.len()));
    _ = VERIFIER.decode(&[topic, payload]);
});
