//! The journal's bytes: blocks of records, small because each says only what changed since its probe's record before.
//!
//! A segment is a header and blocks. A block is its length (u32), the CRC-32 of its payload (u32) and the payload: a
//! sequence of records, each a tag and varints (LEB128; signed ones zigzag). A segment can be read with nothing but
//! itself: it names each probe before its first sample, and deltas begin at zero.

use std::collections::HashMap;

use kwapi_core::{Accounting, Energy, Measurement, ProbeId, Quality, Timestamp, Totals, Watts};

/// Names a probe: its bytes' count and its bytes; the first named is 0.
const TAG_PROBE: u8 = 0;
/// A sample; the flags below are added.
const TAG_SAMPLE: u8 = 0x80;
/// Watts are whole milliwatts in a varint; else a double.
const FLAG_MILLIWATTS: u8 = 1;
/// Session, sequence and totals follow.
const FLAG_ACCOUNTING: u8 = 2;
/// The session is the one of the record before.
const FLAG_SAME_SESSION: u8 = 4;
/// The power was estimated.
const FLAG_ESTIMATED: u8 = 8;

/// More in one block is refused by reader and writer alike.
pub(super) const BLOCK_BYTES_MAX: usize = 1 << 20;
/// More names in one segment than this begin a new one.
pub(super) const PROBES_MAX: usize = 1 << 20;
/// A length and a CRC.
pub(super) const BLOCK_HEAD_BYTES: usize = 8;

/// One sample as the journal keeps it: what RRD files, an energy ledger and sample files need.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Whose.
    pub probe: ProbeId,
    /// When it was measured; on a message of the original Kwapi, when it arrived.
    pub at: Timestamp,
    /// Active power.
    pub power: Watts,
    /// Session, sequence, totals and quality, on a message that has them. The meter's own counter is not kept.
    pub accounting: Option<Accounting>,
}

impl Record {
    /// What is kept of `measurement`, which arrived at `arrived`.
    pub fn of(measurement: &Measurement, arrived: Timestamp) -> Self {
        let accounting = measurement.accounting.map(|accounting| Accounting { meter: None, ..accounting });
        let at = accounting.map_or(arrived, |accounting| accounting.timestamp);
        Self { probe: measurement.probe.clone(), at, power: measurement.power, accounting }
    }
}

/// What both sides of a segment remember of one probe.
#[derive(Clone, Copy, Debug, Default)]
struct Before {
    session: u64,
    seq: u64,
    totals: Totals,
}

/// Writes records of one segment.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    probes: HashMap<ProbeId, usize>,
    before: Vec<Before>,
    at: u64,
}

impl Encoder {
    /// How many probes this segment has named.
    pub(super) fn probes(&self) -> usize {
        self.before.len()
    }

    pub(super) fn push(&mut self, record: &Record, out: &mut Vec<u8>) {
        let number = match self.probes.get(&record.probe) {
            Some(number) => *number,
            None => self.name(&record.probe, out),
        };
        let milliwatts = whole_milliwatts(record.power.0);
        let before = self.before.get(number).copied().unwrap_or_default();
        let mut tag = TAG_SAMPLE;
        if milliwatts.is_some() {
            tag |= FLAG_MILLIWATTS;
        }
        if let Some(accounting) = &record.accounting {
            tag |= FLAG_ACCOUNTING;
            if accounting.session.micros() == before.session {
                tag |= FLAG_SAME_SESSION;
            }
            if accounting.quality == Quality::Estimated {
                tag |= FLAG_ESTIMATED;
            }
        }
        out.push(tag);
        put(out, number as u64);
        put_signed(out, record.at.micros().wrapping_sub(self.at).cast_signed());
        self.at = record.at.micros();
        match milliwatts {
            Some(milliwatts) => put(out, milliwatts),
            None => out.extend(record.power.0.to_le_bytes()),
        }
        let Some(accounting) = &record.accounting else { return };
        let session = accounting.session.micros();
        if session != before.session {
            put_signed(out, session.wrapping_sub(before.session).cast_signed());
        }
        let delta = |now: u64, then: u64| now.wrapping_sub(then).cast_signed();
        put_signed(out, delta(accounting.seq, before.seq.wrapping_add(1)));
        for (now, then) in fields(&accounting.totals).into_iter().zip(fields(&before.totals)) {
            put_signed(out, delta(now, then));
        }
        if let Some(slot) = self.before.get_mut(number) {
            *slot = Before { session, seq: accounting.seq, totals: accounting.totals };
        }
    }

    fn name(&mut self, probe: &ProbeId, out: &mut Vec<u8>) -> usize {
        let number = self.before.len();
        self.probes.insert(probe.clone(), number);
        self.before.push(Before::default());
        out.push(TAG_PROBE);
        put(out, probe.as_str().len() as u64);
        out.extend(probe.as_str().as_bytes());
        number
    }
}

/// Reads records of one segment.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    probes: Vec<ProbeId>,
    before: Vec<Before>,
    at: u64,
}

impl Decoder {
    /// Reads one block's payload. `None` when it is damaged: what follows it in the segment cannot be read either.
    pub(super) fn block(&mut self, payload: &[u8], records: &mut Vec<Record>) -> Option<()> {
        let mut input = Input(payload);
        while let Some(tag) = input.byte() {
            if tag == TAG_PROBE {
                let length = usize::try_from(input.varint()?).ok()?;
                let name = std::str::from_utf8(input.bytes(length)?).ok()?;
                if self.probes.len() >= PROBES_MAX {
                    return None;
                }
                self.probes.push(ProbeId::new(name).ok()?);
                self.before.push(Before::default());
            } else {
                records.push(self.sample(tag, &mut input)?);
            }
        }
        Some(())
    }

    fn sample(&mut self, tag: u8, input: &mut Input<'_>) -> Option<Record> {
        let flags = tag.checked_sub(TAG_SAMPLE)?;
        let number = usize::try_from(input.varint()?).ok()?;
        let probe = self.probes.get(number)?.clone();
        let before = self.before.get_mut(number)?;
        self.at = self.at.wrapping_add(input.signed()?.cast_unsigned());
        let power = if flags & FLAG_MILLIWATTS != 0 {
            input.varint()? as f64 / 1e3
        } else {
            f64::from_le_bytes(input.bytes(8)?.try_into().ok()?)
        };
        let mut accounting = None;
        if flags & FLAG_ACCOUNTING != 0 {
            if flags & FLAG_SAME_SESSION == 0 {
                before.session = before.session.wrapping_add(input.signed()?.cast_unsigned());
            }
            before.seq = before.seq.wrapping_add(1).wrapping_add(input.signed()?.cast_unsigned());
            let mut totals = fields(&before.totals);
            for field in &mut totals {
                *field = field.wrapping_add(input.signed()?.cast_unsigned());
            }
            let [energy, measured_ms, estimated_ms, unknown_ms] = totals;
            let energy = Energy::from_millijoules(energy);
            before.totals = Totals { energy, measured_ms, estimated_ms, unknown_ms, ..Totals::default() };
            let estimated = flags & FLAG_ESTIMATED != 0;
            accounting = Some(Accounting {
                timestamp: Timestamp::from_micros(self.at),
                session: Timestamp::from_micros(before.session),
                seq: before.seq,
                totals: before.totals,
                curve: None,
                meter: None,
                quality: if estimated { Quality::Estimated } else { Quality::Measured },
            });
        }
        Measurement::power_is_valid(Watts(power)).then_some(())?;
        Some(Record { probe, at: Timestamp::from_micros(self.at), power: Watts(power), accounting })
    }
}

fn fields(totals: &Totals) -> [u64; 4] {
    [totals.energy.millijoules(), totals.measured_ms, totals.estimated_ms, totals.unknown_ms]
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range checked in the same line")]
fn whole_milliwatts(watts: f64) -> Option<u64> {
    let milliwatts = (watts * 1e3).round();
    let fits = (0.0..1e12).contains(&milliwatts) && (milliwatts / 1e3).to_bits() == watts.to_bits();
    fits.then_some(milliwatts as u64)
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// Bytes yet to be read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }
}
