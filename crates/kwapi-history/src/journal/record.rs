//! A record: one message as an account credited it, and its bytes in a block.
//!
//! A block can be read with nothing but itself. Inside it a record holds what differs from the record before it, of
//! whatever probe: batches come a publisher at a time, whose probes have similar names, stamps and sessions.
//!
//! In order: the flags (varint); the name, as the bytes it shares with the name before, the count of its own and those;
//! the stamp (µs, change); watts, volts, amperes (decimals, see [`super::codec`]); session (µs, change), sequence
//! (change), totals; curve; meter; decision; register. Energy is in millijoules, time in milliseconds.

use std::collections::HashSet;

use kwapi_core::{
    Accounting, Amperes, CurvePoint, Decision, Energy, Measurement, MeterTotal, ProbeId, Quality,
    SegmentKind, Timestamp, Totals, Volts, Watts,
};

use super::codec::{Input, put, put_change, put_decimal};

/// What a record has; the six commonest first, so that their flags take one byte.
mod flag {
    /// Session, sequence and totals.
    pub(super) const ACCOUNTING: u64 = 1;
    /// A decision and a register.
    pub(super) const TAKEN: u64 = 1 << 1;
    /// The decision is [`Continue`](kwapi_core::Decision::Continue), and is not written.
    pub(super) const CONTINUE: u64 = 1 << 2;
    /// The register is the message's totals, and is not written.
    pub(super) const REGISTER_IS_TOTALS: u64 = 1 << 3;
    pub(super) const VOLTAGE: u64 = 1 << 4;
    pub(super) const CURRENT: u64 = 1 << 5;
    pub(super) const CURVE: u64 = 1 << 6;
    pub(super) const METER: u64 = 1 << 7;
    /// The meter reports when its counter was reset.
    pub(super) const METER_SINCE: u64 = 1 << 8;
    /// The power was estimated.
    pub(super) const ESTIMATED: u64 = 1 << 9;
    /// The totals have estimated or bridged parts.
    pub(super) const TOTALS_HAVE_PARTS: u64 = 1 << 10;
    /// The register has.
    pub(super) const REGISTER_HAS_PARTS: u64 = 1 << 11;
    /// All of them: a record with another was not written by this version.
    pub(super) const ALL: u64 = (1 << 12) - 1;
}

/// Names read from blocks that are remembered, so that a probe's records share one.
const NAMES_MAX: usize = 1 << 18;

/// One message as the journal keeps it: what RRD files, an energy ledger and sample files need, and what an account is
/// folded from.
#[derive(Clone, Debug, PartialEq)]
pub struct Credited {
    /// Whose.
    pub probe: ProbeId,
    /// When it was measured; on a message of the original Kwapi, when it arrived.
    pub at: Timestamp,
    /// Active power.
    pub power: Watts,
    /// Potential, when the meter reports it.
    pub voltage: Option<Volts>,
    /// Current, when the meter reports it.
    pub current: Option<Amperes>,
    /// Session, sequence, totals, curve, the meter's register and quality, on a message that has them.
    pub accounting: Option<Accounting>,
    /// What the account made of it; `None` in what a version before this one wrote.
    pub taken: Option<Taken>,
}

/// How an account took a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// All that was decided by the time of arrival, for the fold.
    pub decision: Decision,
    /// The account's totals with the message. What the message gained is what this has over the register of the
    /// probe's record before.
    pub register: Totals,
}

impl Credited {
    /// What is kept of `measurement`, which arrived at `arrived` and was taken so.
    pub fn of(measurement: &Measurement, arrived: Timestamp, taken: Taken) -> Self {
        Self::named(measurement.probe.clone(), measurement, arrived, taken)
    }

    /// The same, by a name that the probe's other records share.
    pub fn named(probe: ProbeId, measurement: &Measurement, arrived: Timestamp, taken: Taken) -> Self {
        Self {
            probe,
            at: measurement.accounting.map_or(arrived, |accounting| accounting.timestamp),
            power: measurement.power,
            voltage: measurement.voltage,
            current: measurement.current,
            accounting: measurement.accounting,
            taken: Some(taken),
        }
    }
}

/// What both sides remember of the record before, in one block.
#[derive(Debug, Default)]
struct Before {
    at: u64,
    session: u64,
    seq: u64,
}

/// Writes the records of one block.
#[derive(Debug, Default)]
pub(super) struct Encoder<'a> {
    name: &'a str,
    before: Before,
}

impl<'a> Encoder<'a> {
    /// Appends `record` to `out`.
    pub(super) fn push(&mut self, record: &'a Credited, out: &mut Vec<u8>) {
        put(out, flags(record));
        let name = record.probe.as_str();
        let shared = name.bytes().zip(self.name.bytes()).take_while(|(left, right)| left == right).count();
        put(out, shared as u64);
        put(out, (name.len() - shared) as u64);
        out.extend(name.as_bytes().get(shared..).unwrap_or_default());
        let at = record.at.micros();
        put_change(out, at, self.before.at);
        put_decimal(out, record.power.0);
        let quantities = [record.voltage.map(|volts| volts.0), record.current.map(|amperes| amperes.0)];
        for quantity in quantities.into_iter().flatten() {
            put_decimal(out, quantity);
        }
        self.name = name;
        self.before.at = at;
        if let Some(accounting) = &record.accounting {
            self.accounting(accounting, at, out);
        }
        let Some(taken) = &record.taken else { return };
        put_decision(out, &taken.decision);
        let totals = record.accounting.map(|accounting| accounting.totals).unwrap_or_default();
        if taken.register != totals {
            put_change(out, taken.register.energy.millijoules(), totals.energy.millijoules());
            put_change(out, taken.register.measured_ms, totals.measured_ms);
            put_change(out, taken.register.unknown_ms, totals.unknown_ms);
            put_parts(out, &taken.register);
        }
    }

    fn accounting(&mut self, accounting: &Accounting, at: u64, out: &mut Vec<u8>) {
        let (session, totals) = (accounting.session.micros(), &accounting.totals);
        // The stamp of the record is the message's, but for one that another program put together.
        put_change(out, accounting.timestamp.micros(), at);
        put_change(out, session, self.before.session);
        put_change(out, accounting.seq, self.before.seq);
        (self.before.session, self.before.seq) = (session, accounting.seq);
        put(out, totals.energy.millijoules());
        put(out, totals.unknown_ms);
        put_parts(out, totals);
        put_change(out, totals.measured_ms, expected_ms(accounting.timestamp.micros(), session, totals));
        if let Some(CurvePoint { id, run, begin }) = accounting.curve {
            put_change(out, id.micros(), session);
            put(out, u64::from(run));
            put(out, begin.millijoules());
        }
        if let Some(MeterTotal { energy, since }) = accounting.meter {
            put_change(out, energy.millijoules(), totals.energy.millijoules());
            if let Some(since) = since {
                put_change(out, since.micros(), session);
            }
        }
    }
}

/// What of the time since its session began is not in other sums, as a rule: measured.
fn expected_ms(at: u64, session: u64, totals: &Totals) -> u64 {
    let others = [totals.unknown_ms, totals.estimated_ms, totals.bridged_ms];
    let elapsed_ms = at.wrapping_sub(session) / 1_000;
    others.into_iter().fold(elapsed_ms, u64::wrapping_sub)
}

fn has_parts(totals: &Totals) -> bool {
    totals.estimated != Energy::ZERO
        || totals.bridged != Energy::ZERO
        || totals.estimated_ms != 0
        || totals.bridged_ms != 0
}

fn put_parts(out: &mut Vec<u8>, totals: &Totals) {
    if has_parts(totals) {
        for part in [
            totals.estimated.millijoules(),
            totals.bridged.millijoules(),
            totals.estimated_ms,
            totals.bridged_ms,
        ] {
            put(out, part);
        }
    }
}

fn flags(record: &Credited) -> u64 {
    let accounting = record.accounting.as_ref();
    let totals = accounting.map(|accounting| accounting.totals).unwrap_or_default();
    let meter = accounting.and_then(|accounting| accounting.meter);
    let taken = record.taken.as_ref();
    let other_register = taken.map(|taken| taken.register).filter(|register| *register != totals);
    let has = [
        (flag::ACCOUNTING, accounting.is_some()),
        (flag::TAKEN, taken.is_some()),
        (flag::CONTINUE, taken.is_some_and(|taken| taken.decision == Decision::Continue)),
        (flag::REGISTER_IS_TOTALS, taken.is_some() && other_register.is_none()),
        (flag::VOLTAGE, record.voltage.is_some()),
        (flag::CURRENT, record.current.is_some()),
        (flag::CURVE, accounting.is_some_and(|accounting| accounting.curve.is_some())),
        (flag::METER, meter.is_some()),
        (flag::METER_SINCE, meter.is_some_and(|meter| meter.since.is_some())),
        (flag::ESTIMATED, accounting.is_some_and(|accounting| accounting.quality == Quality::Estimated)),
        (flag::TOTALS_HAVE_PARTS, has_parts(&totals)),
        (flag::REGISTER_HAS_PARTS, other_register.is_some_and(|register| has_parts(&register))),
    ];
    has.into_iter().filter(|(_, is_set)| *is_set).fold(0, |flags, (flag, _)| flags | flag)
}

/// How a decision is written, unless it is to continue.
mod decision {
    pub(super) const PRESENT: u8 = 1;
    pub(super) const BEGIN_FIRST: u8 = 2;
    pub(super) const BEGIN_FOLLOWER: u8 = 3;
    pub(super) const BEGIN_RIVAL: u8 = 4;
    pub(super) const INSERT: u8 = 5;
    pub(super) const LEGACY: u8 = 6;
}

fn put_decision(out: &mut Vec<u8>, taken: &Decision) {
    match taken {
        Decision::Continue => {}
        Decision::Present => out.push(decision::PRESENT),
        Decision::Insert => out.push(decision::INSERT),
        Decision::Begin { kind, begin, base } => {
            out.push(match kind {
                SegmentKind::First => decision::BEGIN_FIRST,
                SegmentKind::Follower => decision::BEGIN_FOLLOWER,
                SegmentKind::Rival => decision::BEGIN_RIVAL,
            });
            put(out, begin.micros());
            put(out, base.millijoules());
        }
        Decision::Legacy { gained, covered_ms } => {
            out.push(decision::LEGACY);
            put(out, gained.millijoules());
            put(out, *covered_ms);
        }
    }
}

fn read_decision(input: &mut Input<'_>) -> Option<Decision> {
    let begin = |kind, input: &mut Input<'_>| {
        let begin = Timestamp::from_micros(input.varint()?);
        Some(Decision::Begin { kind, begin, base: Energy::from_millijoules(input.varint()?) })
    };
    Some(match input.byte()? {
        decision::PRESENT => Decision::Present,
        decision::INSERT => Decision::Insert,
        decision::BEGIN_FIRST => begin(SegmentKind::First, input)?,
        decision::BEGIN_FOLLOWER => begin(SegmentKind::Follower, input)?,
        decision::BEGIN_RIVAL => begin(SegmentKind::Rival, input)?,
        decision::LEGACY => {
            let gained = Energy::from_millijoules(input.varint()?);
            Decision::Legacy { gained, covered_ms: input.varint()? }
        }
        _ => return None,
    })
}

/// Reads the records of blocks.
#[derive(Debug, Default)]
pub(super) struct RecordDecoder {
    names: HashSet<ProbeId>,
}

impl RecordDecoder {
    /// Reads the payload of one block, of `count` records. `None` when it is not what an [`Encoder`] writes.
    pub(super) fn block(&mut self, payload: &[u8], count: usize) -> Option<Vec<Credited>> {
        let mut input = Input(payload);
        let (mut name, mut before) = (Vec::new(), Before::default());
        // A record has nine bytes at least; a hostile head may claim any number.
        let mut records = Vec::with_capacity(count.min(payload.len() / 4));
        for _ in 0..count {
            records.push(self.record(&mut input, &mut name, &mut before)?);
        }
        input.0.is_empty().then_some(records)
    }

    fn record(&mut self, input: &mut Input<'_>, name: &mut Vec<u8>, before: &mut Before) -> Option<Credited> {
        let flags = input.varint().filter(|flags| flags & !flag::ALL == 0)?;
        let has = |flag| flags & flag != 0;
        let shared = usize::try_from(input.varint()?).ok().filter(|shared| *shared <= name.len())?;
        name.truncate(shared);
        let own = usize::try_from(input.varint()?).ok()?;
        name.extend(input.bytes(own)?);
        let probe = self.probe(std::str::from_utf8(name).ok()?)?;
        before.at = input.change(before.at)?;
        let at = Timestamp::from_micros(before.at);
        let power = Watts(input.decimal()?);
        Measurement::power_is_valid(power).then_some(())?;
        let voltage = if has(flag::VOLTAGE) { Some(Volts(input.decimal()?)) } else { None };
        let current = if has(flag::CURRENT) { Some(Amperes(input.decimal()?)) } else { None };
        let accounting =
            if has(flag::ACCOUNTING) { Some(read_accounting(input, flags, before)?) } else { None };
        let totals = accounting.map(|accounting| accounting.totals).unwrap_or_default();
        let taken = if has(flag::TAKEN) {
            let decision = if has(flag::CONTINUE) { Decision::Continue } else { read_decision(input)? };
            let register = if has(flag::REGISTER_IS_TOTALS) {
                totals
            } else {
                let energy = Energy::from_millijoules(input.change(totals.energy.millijoules())?);
                let measured_ms = input.change(totals.measured_ms)?;
                let unknown_ms = input.change(totals.unknown_ms)?;
                let register = Totals { energy, measured_ms, unknown_ms, ..Totals::default() };
                read_parts(input, has(flag::REGISTER_HAS_PARTS), register)?
            };
            Some(Taken { decision, register })
        } else {
            None
        };
        Some(Credited { probe, at, power, voltage, current, accounting, taken })
    }

    fn probe(&mut self, name: &str) -> Option<ProbeId> {
        if let Some(probe) = self.names.get(name) {
            return Some(probe.clone());
        }
        let probe = ProbeId::new(name).ok()?;
        if self.names.len() >= NAMES_MAX {
            self.names.clear();
        }
        self.names.insert(probe.clone());
        Some(probe)
    }
}

fn read_accounting(input: &mut Input<'_>, flags: u64, before: &mut Before) -> Option<Accounting> {
    let has = |flag| flags & flag != 0;
    let timestamp = input.change(before.at)?;
    before.session = input.change(before.session)?;
    before.seq = input.change(before.seq)?;
    let energy = Energy::from_millijoules(input.varint()?);
    let totals = Totals { energy, unknown_ms: input.varint()?, ..Totals::default() };
    let mut totals = read_parts(input, has(flag::TOTALS_HAVE_PARTS), totals)?;
    totals.measured_ms = input.change(expected_ms(timestamp, before.session, &totals))?;
    let curve = if has(flag::CURVE) {
        let id = Timestamp::from_micros(input.change(before.session)?);
        let run = u32::try_from(input.varint()?).ok()?;
        Some(CurvePoint { id, run, begin: Energy::from_millijoules(input.varint()?) })
    } else {
        None
    };
    let meter = if has(flag::METER) {
        let energy = Energy::from_millijoules(input.change(energy.millijoules())?);
        let since = if has(flag::METER_SINCE) { Some(input.change(before.session)?) } else { None };
        Some(MeterTotal { energy, since: since.map(Timestamp::from_micros) })
    } else {
        None
    };
    Some(Accounting {
        timestamp: Timestamp::from_micros(timestamp),
        session: Timestamp::from_micros(before.session),
        seq: before.seq,
        totals,
        curve,
        meter,
        quality: if has(flag::ESTIMATED) { Quality::Estimated } else { Quality::Measured },
    })
}

fn read_parts(input: &mut Input<'_>, has_parts: bool, totals: Totals) -> Option<Totals> {
    if !has_parts {
        return Some(totals);
    }
    Some(Totals {
        estimated: Energy::from_millijoules(input.varint()?),
        bridged: Energy::from_millijoules(input.varint()?),
        estimated_ms: input.varint()?,
        bridged_ms: input.varint()?,
        ..totals
    })
}
