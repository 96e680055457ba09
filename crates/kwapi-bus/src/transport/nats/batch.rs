//! A batch: many signed measurements in one message of NATS, since what servers do for a message costs by the message
//! (ADR 0056).
//!
//! `kwapi-batch-1` and a line end, and then for each measurement: the length of the end of its topic, that end, the length of
//! its payload, and the payload as it was signed. Lengths are two bytes, big end first. What the topics begin with is in
//! the subject: `power.lyon.%batch` has probes below `lyon`, and their topics without `lyon.`. So a batch cannot hold what its
//! subject does not allow: whoever may publish for Lyon alone cannot publish for Paris. On the subject of a probe, a batch
//! is of that probe, and the ends are empty.
//!
//! Pure; nothing here reads or writes.

use bytes::{Buf, Bytes};

use super::outgoing::Outgoing;
use super::subject;

/// What a batch begins with. A measurement by itself begins with a brace.
const BEGIN: &[u8] = b"kwapi-batch-1\n";
pub(super) const BEGIN_BYTES: usize = BEGIN.len();
/// The most measurements in a batch; one with more is refused.
pub(crate) const MEASUREMENTS_MAX: usize = 1_000;
/// The most bytes that are written: with headers, ours and those of servers, less than the streams take that
/// `kwapi nats-setup` has made, 16 KiB a message.
pub(super) const WRITTEN_BYTES_MAX: usize = 14 << 10;
/// A larger one is refused.
const READ_BYTES_MAX: usize = 64 << 10;
/// The length of a part.
const LENGTH_BYTES: usize = 2;

/// What a message of NATS holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contents {
    /// The topic of its probe, or what the topics of its probes begin with; `None` where it is of no probe.
    pub(super) topic: Option<String>,
    pub(super) is_batch: bool,
    /// Topic and payload of each measurement, as they were signed; at least one.
    pub(super) measurements: Vec<(String, Bytes)>,
}

/// A batch that is not of this form, or larger than any honest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Contents {
    /// Takes a message apart that came on a subject of `stream`. What is no batch is one measurement, as it is.
    ///
    /// # Errors
    /// When it is a batch that is none.
    pub(super) fn read(stream: &str, subject: &str, payload: &Bytes) -> Result<Self, Malformed> {
        let (begin, probe) = (subject::batch_begin(stream, subject), subject::topic(stream, subject));
        let is_of_several = begin.is_some();
        let is_batch = is_of_several || (probe.is_some() && payload.starts_with(BEGIN));
        let topic = begin.or(probe);
        if !is_batch {
            // Of no probe, it is for the verification to refuse.
            let own = topic.clone().unwrap_or_else(|| subject.to_owned());
            return Ok(Self { topic, is_batch, measurements: vec![(own, payload.clone())] });
        }
        let begin = topic.clone().unwrap_or_default();
        let mut measurements = Vec::new();
        for part in parts(payload)? {
            let (end, payload) = part?;
            // An end without its dot is refused with the measurement, as any topic.
            if end.is_empty() == is_of_several || measurements.len() == MEASUREMENTS_MAX {
                return Err(Malformed);
            }
            let end = str::from_utf8(&end).map_err(|_| Malformed)?;
            measurements.push((format!("{begin}{end}"), payload));
        }
        if measurements.is_empty() {
            return Err(Malformed);
        }
        Ok(Self { topic, is_batch, measurements })
    }
}

/// How many measurements a message has, as far as it can be read: one at least.
pub(super) fn count(payload: &Bytes) -> u64 {
    let count = parts(payload).map_or(0, |parts| parts.take(MEASUREMENTS_MAX).flatten().count());
    count.max(1) as u64
}

/// The ends of topics and the payloads in a batch, until one is cut off.
fn parts(payload: &Bytes) -> Result<impl Iterator<Item = Result<(Bytes, Bytes), Malformed>>, Malformed> {
    if !payload.starts_with(BEGIN) || payload.len() > READ_BYTES_MAX {
        return Err(Malformed);
    }
    let mut rest = payload.slice(BEGIN.len()..);
    Ok(std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let part = part(&mut rest).and_then(|end| Some((end, part(&mut rest)?)));
        if part.is_none() {
            rest.clear();
        }
        Some(part.ok_or(Malformed))
    }))
}

/// A length, and so many bytes.
fn part(rest: &mut Bytes) -> Option<Bytes> {
    let length = rest.try_get_u16().ok()?;
    (rest.len() >= usize::from(length)).then(|| rest.split_to(usize::from(length)))
}

/// The bytes that a measurement takes in a batch, at most.
pub(super) fn bytes_of(message: &Outgoing) -> usize {
    2 * LENGTH_BYTES + message.bytes()
}

/// Begins a batch.
pub(super) fn begin() -> Vec<u8> {
    let mut out = Vec::with_capacity(WRITTEN_BYTES_MAX);
    out.extend_from_slice(BEGIN);
    out
}

/// Adds a measurement whose topic begins with `begin`. Neither part is longer than a batch.
pub(super) fn push(out: &mut Vec<u8>, begin: &str, message: &Outgoing) {
    let end = message.topic().strip_prefix(begin).unwrap_or_default();
    for part in [end.as_bytes(), message.payload()] {
        out.extend_from_slice(&u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(part);
    }
}

/// For fuzzing: takes a message apart, and puts a batch together again.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn exercise(subject: &str, payload: &[u8]) {
    let payload = Bytes::copy_from_slice(payload);
    let Ok(contents) = Contents::read("power", subject, &payload) else { return };
    assert!(!contents.measurements.is_empty() && contents.measurements.len() <= MEASUREMENTS_MAX);
    assert!(!contents.is_batch || contents.measurements.len() as u64 == count(&payload));
    let (true, Some(topic)) = (contents.is_batch, &contents.topic) else { return };
    let mut again = begin();
    for (of, payload) in &contents.measurements {
        assert!(of.starts_with(topic), "a batch of {topic:?} has {of:?}");
        push(&mut again, topic, &Outgoing::from_parts(of.clone(), payload.clone()));
    }
    assert_eq!(again, payload);
}

#[cfg(test)]
mod tests;
