//! The first version's segments, which are read for as long as they are kept.
//!
//! A block is its length (u32), the CRC-32 of its payload (u32) and the payload: a sequence of records, each a tag and
//! varints. Names and deltas go through the whole segment, so that after a damaged block nothing more of it can be
//! read. A record has no volts, amperes, curve, register or decision.

use kwapi_core::{Accounting, Energy, Measurement, ProbeId, Quality, Timestamp, Totals, Watts};

use super::Credited;
use super::codec::Input;

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

/// More in one block was refused by reader and writer alike.
const BLOCK_BYTES_MAX: usize = 1 << 20;
/// More names in one segment began a new one.
const PROBES_MAX: usize = 1 << 20;
/// A length and a CRC.
pub(super) const HEAD_BYTES: usize = 8;

/// A block's length and CRC.
pub(super) fn head(bytes: &[u8]) -> Option<(usize, u32)> {
    let [a, b, c, d, crc @ ..]: [u8; HEAD_BYTES] = bytes.get(..HEAD_BYTES)?.try_into().ok()?;
    let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?;
    (1..=BLOCK_BYTES_MAX).contains(&length).then_some((length, u32::from_le_bytes(crc)))
}

/// What is remembered of one probe through a segment.
#[derive(Clone, Copy, Debug, Default)]
struct Before {
    session: u64,
    seq: u64,
    totals: Totals,
}

/// Reads the records of one segment.
#[derive(Debug, Default)]
pub(super) struct ReleasedDecoder {
    probes: Vec<ProbeId>,
    before: Vec<Before>,
    at: u64,
}

impl ReleasedDecoder {
    /// Reads one block's payload. `None` when it is damaged: what follows it in the segment cannot be read either.
    pub(super) fn block(&mut self, payload: &[u8], crc: u32) -> Option<Vec<Credited>> {
        if crc32fast::hash(payload) != crc {
            return None;
        }
        let mut records = Vec::new();
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
        Some(records)
    }

    fn sample(&mut self, tag: u8, input: &mut Input<'_>) -> Option<Credited> {
        let flags = tag.checked_sub(TAG_SAMPLE)?;
        let number = usize::try_from(input.varint()?).ok()?;
        let probe = self.probes.get(number)?.clone();
        let before = self.before.get_mut(number)?;
        self.at = self.at.wrapping_add(input.signed()?.cast_unsigned());
        let power =
            if flags & FLAG_MILLIWATTS != 0 { input.varint()? as f64 / 1e3 } else { input.double()? };
        let mut accounting = None;
        if flags & FLAG_ACCOUNTING != 0 {
            if flags & FLAG_SAME_SESSION == 0 {
                before.session = input.change(before.session)?;
            }
            before.seq = input.change(before.seq.wrapping_add(1))?;
            let was = before.totals;
            before.totals = Totals {
                energy: Energy::from_millijoules(input.change(was.energy.millijoules())?),
                measured_ms: input.change(was.measured_ms)?,
                estimated_ms: input.change(was.estimated_ms)?,
                unknown_ms: input.change(was.unknown_ms)?,
                ..Totals::default()
            };
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
        Some(Credited {
            probe,
            at: Timestamp::from_micros(self.at),
            power: Watts(power),
            voltage: None,
            current: None,
            accounting,
            taken: None,
        })
    }
}
