//! The message: two frames, the topic and one JSON object, signed as its endpoint is configured.
//!
//! ```text
//! lyon.taurus-7.
//! {"probe_id":"lyon.taurus-7","w":97.5,"v":230,"timestamp_us":…,"session":…,"seq":0,"energy_mj":…,
//!  "measured_ms":…,"estimated_ms":…,"unknown_ms":…,"message_signature":"1:<key id>:<64 hex>"}
//! ```
//!
//! `kwapi-1` signs `"kwapi-1\0"`, the topic's length (two bytes, big end first), the topic, and the payload up to the
//! quote that opens the signature's value: every byte that arrives but those of the signature itself, which is last.

mod decode;
mod description;
mod encode;
mod float_text;
mod json;
mod legacy;
mod names;
mod own;

pub use decode::{Verified, Verifier};
pub use description::DescriptionRefusal;
pub use encode::{Signer, Wire};

/// A larger payload is refused as `too_large`: an honest one has 150 to 600 bytes, a Grid'5000 one under 1 000.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 8_192;

const SIGNATURE_MEMBER: &str = "message_signature";
/// What is hashed first, so that a signature made for something else never fits.
const KWAPI_1: &[u8] = b"kwapi-1\0";

/// The length of a topic, as it is hashed.
fn topic_length(topic: &[u8]) -> [u8; 2] {
    u16::try_from(topic.len()).unwrap_or(u16::MAX).to_be_bytes()
}
