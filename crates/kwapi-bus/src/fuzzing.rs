//! What the fuzz targets call: the parsers of what strangers and operators send, each of which must return, whatever it is given.

use kwapi_core::Secret;

use crate::{CurveConfig, EndpointConfig};

/// The keys of an encrypted endpoint, a line each: secret, public, the server's, then clients'.
pub fn curve_keys(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.lines().map(str::to_owned);
    let secret_key = Secret::new(lines.next().unwrap_or_default());
    let (public_key, server_key, clients) = (lines.next(), lines.next(), lines.collect());
    _ = CurveConfig::public_of(&secret_key);
    _ = CurveConfig { secret_key, public_key, server_key, clients }.check();
}

/// The address of an endpoint.
pub fn endpoint_url(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    _ = EndpointConfig::new(text).check();
}

/// A message of NATS: a line with its subject, then its payload, which may be a batch.
pub fn nats_batch(bytes: &[u8]) {
    let subject_end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (subject, payload) = bytes.split_at(subject_end);
    let Ok(subject) = std::str::from_utf8(subject) else { return };
    crate::transport::nats::exercise_batch(subject, payload.get(1..).unwrap_or_default());
}

/// A request of libzmq's about a client, in frames: a byte holds the length of each.
pub fn zap_request(mut bytes: &[u8]) {
    let mut frames = Vec::new();
    while let Some((length, rest)) = bytes.split_first() {
        let (frame, after) = rest.split_at(usize::from(*length).min(rest.len()));
        frames.push(frame.to_vec());
        bytes = after;
    }
    crate::transport::zeromq::exercise_zap(&frames);
}
