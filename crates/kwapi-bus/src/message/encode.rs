//! From a measurement to its two frames.

use std::io::Write as _;

use kwapi_core::{Description, Measurement, Quality};

use super::description::{self, DESCRIPTION_MEMBER};
use super::{KWAPI_1, SIGNATURE_MEMBER, json, legacy, topic_length};
use crate::key::{Key, KeyError, KeyedMac, Scheme};

/// Room for any message of ours with an id of common length.
const PAYLOAD_BYTES_USUAL: usize = 512;

/// A message as it travels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wire {
    /// First frame.
    pub topic: Vec<u8>,
    /// Second frame.
    pub payload: Vec<u8>,
}

/// Writes messages and signs them, as one endpoint is configured.
#[derive(Clone, Debug)]
pub enum Signer {
    /// See [`Scheme::Kwapi1`].
    #[doc(hidden)]
    Kwapi1(SigningKey),
    /// See [`Scheme::Legacy`].
    #[doc(hidden)]
    Legacy(SigningKey),
    /// See [`Scheme::None`].
    #[doc(hidden)]
    None,
}

/// A key to sign with; it shows its id only.
#[derive(Clone, Debug)]
pub struct SigningKey(KeyedMac);

impl Signer {
    /// A signer of `scheme` with its key.
    ///
    /// # Errors
    /// When the scheme needs a key and there is none (or the other way round), or the key is unfit.
    pub fn new(scheme: Scheme, key: Option<&Key>) -> Result<Self, KeyError> {
        let keyed = |key: Option<&Key>| {
            let key = key.ok_or(KeyError::Count("a key"))?;
            KeyedMac::new(key, scheme).map(SigningKey)
        };
        Ok(match scheme {
            Scheme::Kwapi1 => Self::Kwapi1(keyed(key)?),
            Scheme::Legacy => Self::Legacy(keyed(key)?),
            Scheme::None if key.is_some() => return Err(KeyError::Count("no key")),
            Scheme::None => Self::None,
        })
    }

    /// Writes `measurement` into `wire`, whose buffers are used again.
    pub fn encode(&self, measurement: &Measurement, wire: &mut Wire) {
        self.encode_described(measurement, None, wire);
    }

    /// Writes `measurement` and what its probe is into `wire`. The original's messages, and those without a stamp, carry
    /// no description.
    pub(crate) fn encode_described(
        &self,
        measurement: &Measurement,
        description: Option<&Description>,
        wire: &mut Wire,
    ) {
        wire.topic.clear();
        wire.topic.extend_from_slice(measurement.probe.as_str().as_bytes());
        wire.topic.push(b'.');
        let payload = &mut wire.payload;
        payload.clear();
        payload.reserve(PAYLOAD_BYTES_USUAL);
        write_members(measurement, payload);
        let has_room = measurement.accounting.is_some() && !matches!(self, Self::Legacy(_));
        if let Some(text) = description.filter(|_| has_room).and_then(description::written) {
            write_name(payload, DESCRIPTION_MEMBER);
            payload.extend_from_slice(&text);
        }
        match self {
            Self::Kwapi1(SigningKey(key)) => {
                write_name(payload, SIGNATURE_MEMBER);
                let signature = key.sign(&[KWAPI_1, &topic_length(&wire.topic), &wire.topic, payload]);
                payload.extend_from_slice(b"\"1:");
                payload.extend_from_slice(key.id.as_bytes());
                payload.push(b':');
                payload.extend_from_slice(&signature);
                payload.push(b'"');
            }
            Self::Legacy(SigningKey(key)) => {
                let signature = key.sign(&[legacy_digest(payload).as_bytes()]);
                write_name(payload, SIGNATURE_MEMBER);
                payload.push(b'"');
                payload.extend_from_slice(&signature);
                payload.push(b'"');
            }
            Self::None => {}
        }
        payload.push(b'}');
    }
}

/// What the original's signature covers of the members in `payload`, which lacks its closing brace.
fn legacy_digest(payload: &mut Vec<u8>) -> String {
    let mut digest = String::with_capacity(PAYLOAD_BYTES_USUAL);
    payload.push(b'}');
    // What was just written is JSON in UTF-8 with ASCII names: neither can fail.
    if let Some(members) = std::str::from_utf8(payload).ok().and_then(|text| json::members(text).ok()) {
        _ = legacy::digest(&members, &mut digest);
    }
    payload.pop();
    digest
}

fn write_members(measurement: &Measurement, payload: &mut Vec<u8>) {
    payload.extend_from_slice(b"{\"probe_id\":");
    write_text(payload, measurement.probe.as_str());
    write_number(payload, "w", measurement.power.0);
    if let Some(voltage) = measurement.voltage {
        write_number(payload, "v", voltage.0);
    }
    if let Some(current) = measurement.current {
        write_number(payload, "a", current.0);
    }
    let Some(accounting) = &measurement.accounting else { return };
    write_integer(payload, "timestamp_us", accounting.timestamp.micros());
    write_integer(payload, "session", accounting.session.micros());
    write_integer(payload, "seq", accounting.seq);
    write_integer(payload, "energy_mj", accounting.totals.energy.millijoules());
    write_integer(payload, "measured_ms", accounting.totals.measured_ms);
    write_integer(payload, "estimated_ms", accounting.totals.estimated_ms);
    write_integer(payload, "unknown_ms", accounting.totals.unknown_ms);
    write_count(payload, "estimated_mj", accounting.totals.estimated.millijoules());
    write_count(payload, "bridged_mj", accounting.totals.bridged.millijoules());
    write_count(payload, "bridged_ms", accounting.totals.bridged_ms);
    if let Some(curve) = &accounting.curve {
        write_integer(payload, "curve", curve.id.micros());
        write_integer(payload, "run", curve.run.into());
        write_integer(payload, "curve_mj", curve.begin.millijoules());
    }
    if let Some(meter) = &accounting.meter {
        write_integer(payload, "meter_energy_mj", meter.energy.millijoules());
        if let Some(since) = meter.since {
            write_integer(payload, "meter_since_us", since.micros());
        }
    }
    match accounting.quality {
        Quality::Measured => {}
        Quality::Estimated => {
            write_name(payload, "q");
            payload.extend_from_slice(b"\"estimated\"");
        }
    }
}

fn write_name(payload: &mut Vec<u8>, name: &str) {
    payload.extend_from_slice(b",\"");
    payload.extend_from_slice(name.as_bytes());
    payload.extend_from_slice(b"\":");
}

/// Escapes what JSON must have escaped in a probe id, which has no control character of ASCII.
fn write_text(payload: &mut Vec<u8>, text: &str) {
    payload.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            payload.push(b'\\');
        }
        payload.push(byte);
    }
    payload.push(b'"');
}

fn write_integer(payload: &mut Vec<u8>, name: &str, integer: u64) {
    write_name(payload, name);
    write_digits(payload, integer, 1);
}

/// `integer` in decimal, with zeros before it up to `width`, 20 at most.
fn write_digits(payload: &mut Vec<u8>, mut integer: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut written = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(integer % 10).unwrap_or(0);
        integer /= 10;
        written += 1;
        if integer == 0 {
            break;
        }
    }
    payload.extend_from_slice(digits.get(20 - written.max(width).min(20)..).unwrap_or_default());
}

/// A count that came later than the first message did: none of it is not written, as it never was.
fn write_count(payload: &mut Vec<u8>, name: &str, count: u64) {
    if count > 0 {
        write_integer(payload, name, count);
    }
}

/// The shortest text that reads back; an integer without a point, as the original's drivers send it. A number JSON
/// cannot write is left out, and the message is refused where it arrives rather than read as another.
fn write_number(payload: &mut Vec<u8>, name: &str, number: f64) {
    if !number.is_finite() {
        return;
    }
    write_name(payload, name);
    if write_short(payload, number) {
        return;
    }
    let digits = if number.fract() == 0.0 && number.abs() < 1e15 {
        write!(payload, "{}", number + 0.0) // Minus zero is zero.
    } else {
        write!(payload, "{number:?}")
    };
    debug_assert!(digits.is_ok(), "a vector takes any write");
}

/// Writes what has at most four decimals, as most of what meters report, without the long way round for any number
/// there is. Of numbers below 2^53 in ten-thousandths, the fewest decimals that read back are the shortest text.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked before")]
fn write_short(payload: &mut Vec<u8>, number: f64) -> bool {
    const SCALES: [f64; 5] = [1.0, 10.0, 100.0, 1_000.0, 10_000.0];
    if !(0.0..1e9).contains(&number) {
        return false;
    }
    for (places, scale) in SCALES.into_iter().enumerate() {
        let scaled = (number * scale).round();
        if scaled / scale == number {
            let (scaled, scale) = (scaled as u64, scale as u64);
            write_digits(payload, scaled / scale, 1);
            if places > 0 {
                payload.push(b'.');
                write_digits(payload, scaled % scale, places);
            }
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests;
