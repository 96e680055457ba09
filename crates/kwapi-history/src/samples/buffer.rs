//! Samples in memory, on their way to a file: a short queue of bytes for each probe, six or seven bytes a sample of watts.

mod chains;

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};

use kwapi_core::{Amperes, Energy, ProbeId, Quality, Succession, Timestamp, Volts, Watts};

use super::sample::{Hour, SampleRow, held_mj, hour_of};
use super::table::PartWriter;
use crate::journal::codec::{Input, put, put_change, put_decimal_change, unzigzag, zigzag};
use chains::{Chain, Chains};

/// What a sample has besides time and power.
mod flag {
    pub(super) const VOLTAGE: u8 = 1;
    pub(super) const CURRENT: u8 = 1 << 1;
    pub(super) const REGISTER: u8 = 1 << 2;
    pub(super) const ESTIMATED: u8 = 1 << 3;
    pub(super) const TOTAL: u8 = 1 << 4;
}

/// In the head of a sample: a byte of other flags than those of the sample before follows.
const OTHER_FLAGS: u64 = 1;
/// The change of the time between samples stands above that. What does not fit follows as a stamp.
const STAMP: u64 = 1 << 1;
const HEAD_BITS: u32 = 2;

#[derive(Debug, Default)]
pub(super) struct SampleBuffer {
    index: HashMap<ProbeId, u32>,
    succession: Succession,
    queues: Vec<SampleQueue>,
    chains: Chains,
    rows: u64,
    hours: BTreeSet<Hour>,
    newest_hour: Hour,
    packed: Vec<u8>,
}

/// What one probe has.
#[derive(Debug)]
struct SampleQueue {
    id: ProbeId,
    chain: Chain,
    before: SampleBefore,
}

/// The sample before, which the next is written over.
#[derive(Clone, Copy, Debug, Default)]
struct SampleBefore {
    flags: u8,
    at: u64,
    spacing: u64,
    power_thousandths: u64,
    register: u64,
    total: u64,
}

impl SampleBuffer {
    /// What the samples take in memory.
    pub(super) fn bytes(&self) -> usize {
        self.chains.bytes()
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// The hours that samples are of.
    pub(super) fn hours(&self) -> &BTreeSet<Hour> {
        &self.hours
    }

    pub(super) fn push(&mut self, probe: &ProbeId, sample: &SampleRow) {
        let at = self.place(probe);
        let Some(queue) = self.queues.get_mut(at as usize) else { return };
        self.packed.clear();
        queue.before.write(sample, &mut self.packed);
        self.chains.extend(&mut queue.chain, &self.packed);
        self.rows += 1;
        let hour = hour_of(sample.at.micros());
        if self.newest_hour != hour || self.hours.is_empty() {
            self.newest_hour = hour;
            self.hours.insert(hour);
        }
    }

    fn place(&mut self, probe: &ProbeId) -> u32 {
        let guess = self.succession.guess();
        let is_right = self.queues.get(guess as usize).is_some_and(|queue| queue.id == *probe);
        let at = if is_right {
            guess
        } else if let Some(at) = self.index.get(probe) {
            *at
        } else {
            let at = u32::try_from(self.queues.len()).unwrap_or(u32::MAX);
            self.index.insert(probe.clone(), at);
            let (id, chain, before) = (probe.clone(), Chain::default(), SampleBefore::default());
            self.queues.push(SampleQueue { id, chain, before });
            at
        };
        self.succession.note(at);
        at
    }

    /// What a probe has, in the order in which it came.
    pub(super) fn samples_of(&self, probe: &ProbeId) -> Vec<SampleRow> {
        let queue = self.index.get(probe).and_then(|at| self.queues.get(*at as usize));
        queue.map_or_else(Vec::new, |queue| self.samples(queue))
    }

    /// Writes what is wanted of it into a file, in order of probes and of time.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn write<W: Write + Send>(
        &self,
        output: W,
        is_wanted: impl Fn(&SampleRow) -> bool,
    ) -> io::Result<()> {
        let mut writer = PartWriter::new(output);
        for queue in self.queues() {
            let mut samples = self.samples(queue);
            samples.retain(&is_wanted);
            samples.sort_by_key(|sample| sample.at);
            samples.iter().try_for_each(|sample| writer.push(&queue.id, sample))?;
        }
        writer.finish()
    }

    /// All queues with something in them, in order of their ids.
    fn queues(&self) -> Vec<&SampleQueue> {
        let mut queues: Vec<&SampleQueue> =
            self.queues.iter().filter(|queue| !queue.chain.is_empty()).collect();
        queues.sort_unstable_by(|left, right| left.id.cmp(&right.id));
        queues
    }

    /// What a queue has, in the order in which it came.
    fn samples(&self, queue: &SampleQueue) -> Vec<SampleRow> {
        let bytes = self.chains.joined(&queue.chain);
        let (mut input, mut before) = (Input(&bytes), SampleBefore::default());
        std::iter::from_fn(|| before.read(&mut input)).collect()
    }

    /// Forgets all samples.
    pub(super) fn clear(&mut self) {
        for queue in &mut self.queues {
            (queue.chain, queue.before) = (Chain::default(), SampleBefore::default());
        }
        self.chains.clear();
        self.hours.clear();
        self.rows = 0;
    }
}

impl SampleBefore {
    fn write(&mut self, sample: &SampleRow, out: &mut Vec<u8>) {
        let flags = [
            (flag::VOLTAGE, sample.voltage.is_some()),
            (flag::CURRENT, sample.current.is_some()),
            (flag::REGISTER, sample.register.is_some()),
            (flag::ESTIMATED, sample.quality == Quality::Estimated),
            (flag::TOTAL, sample.total.is_some()),
        ];
        let flags = flags.into_iter().filter(|(_, is_set)| *is_set).fold(0, |flags, (flag, _)| flags | flag);
        let at = sample.at.micros();
        let spacing = at.wrapping_sub(self.at);
        let change = zigzag(spacing.wrapping_sub(self.spacing).cast_signed());
        let is_near = change >> (u64::BITS - HEAD_BITS) == 0;
        let head = if is_near { change << HEAD_BITS } else { STAMP };
        put(out, head | if flags == self.flags { 0 } else { OTHER_FLAGS });
        if flags != self.flags {
            out.push(flags);
        }
        if !is_near {
            put(out, at);
        }
        put_decimal_change(out, sample.power.0, &mut self.power_thousandths);
        // Of these most meters report none, and the others not much else.
        let quantities = [sample.voltage.map(|volts| volts.0), sample.current.map(|amperes| amperes.0)];
        quantities.into_iter().flatten().for_each(|quantity| put_decimal_change(out, quantity, &mut 0));
        if let Some(register) = sample.register.map(Energy::millijoules) {
            put_change(out, register, self.register);
            self.register = register;
        }
        if let Some(total) = sample.total.map(Energy::millijoules) {
            put_change(out, total, self.expected(sample.power, spacing));
            self.total = total;
        }
        (self.flags, self.at, self.spacing) = (flags, at, spacing);
    }

    fn read(&mut self, input: &mut Input<'_>) -> Option<SampleRow> {
        let head = input.varint()?;
        let flags = if head & OTHER_FLAGS == 0 { self.flags } else { input.byte()? };
        let spacing = if head & STAMP == 0 {
            self.spacing.wrapping_add(unzigzag(head >> HEAD_BITS).cast_unsigned())
        } else {
            input.varint()?.wrapping_sub(self.at)
        };
        let has = |flag| flags & flag != 0;
        let power = Watts(input.decimal_change(&mut self.power_thousandths)?);
        let voltage = if has(flag::VOLTAGE) { Some(Volts(input.decimal_change(&mut 0)?)) } else { None };
        let current = if has(flag::CURRENT) { Some(Amperes(input.decimal_change(&mut 0)?)) } else { None };
        if has(flag::REGISTER) {
            self.register = input.change(self.register)?;
        }
        if has(flag::TOTAL) {
            self.total = input.change(self.expected(power, spacing))?;
        }
        (self.flags, self.at, self.spacing) = (flags, self.at.wrapping_add(spacing), spacing);
        let energy = |flag, millijoules| has(flag).then_some(Energy::from_millijoules(millijoules));
        Some(SampleRow {
            at: Timestamp::from_micros(self.at),
            power,
            voltage,
            current,
            register: energy(flag::REGISTER, self.register),
            quality: if has(flag::ESTIMATED) { Quality::Estimated } else { Quality::Measured },
            total: energy(flag::TOTAL, self.total),
        })
    }

    /// The total of a sample whose power has held since the one before.
    fn expected(&self, power: Watts, spacing: u64) -> u64 {
        self.total.wrapping_add(held_mj(power, spacing).cast_unsigned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_put_comes_out_as_it_was(
            rows in prop::collection::vec(
                (0_u64..1 << 52, 0.0_f64..1e7, prop::option::of(-1e3_f64..1e3), prop::option::of(any::<u64>()),
                 prop::option::of(0_u64..1 << 60), any::<bool>()), 0..40)
        ) {
            let probe = ProbeId::new("lyon.a").unwrap();
            let rows: Vec<SampleRow> = rows.into_iter().map(|(at, power, volts, register, total, is_estimated)| SampleRow {
                at: Timestamp::from_micros(at),
                power: Watts(power),
                voltage: volts.map(Volts),
                current: volts.map(|volts| Amperes(-volts)),
                register: register.map(Energy::from_millijoules),
                quality: if is_estimated { Quality::Estimated } else { Quality::Measured },
                total: total.map(Energy::from_millijoules),
            }).collect();
            let mut buffer = SampleBuffer::default();
            for _ in 0..2 {
                rows.iter().for_each(|row| buffer.push(&probe, row));
                prop_assert_eq!(&buffer.samples_of(&probe), &rows);
                prop_assert_eq!(buffer.rows(), rows.len() as u64);
                buffer.clear();
            }
        }
    }

    /// The bytes that a sample takes of a course of power at 1 Hz, as timers wake.
    #[track_caller]
    fn check_bytes(watts: impl Fn(u64) -> f64, most: f64) {
        let mut packed = Vec::new();
        let (mut before, mut at, mut total) = (SampleBefore::default(), 1_700_000_000_000_000, 0.0);
        let count = 1_000;
        for second in 0..count {
            let spacing = 1_000_000 + second * 7_919 % 1_000 - 500;
            at += spacing;
            let power = watts(second);
            total += power * spacing as f64 / 1e3;
            let row = SampleRow {
                at: Timestamp::from_micros(at),
                power: Watts(power),
                voltage: None,
                current: None,
                register: None,
                quality: Quality::Measured,
                total: Some(Energy::from_millijoules(total as u64)),
            };
            before.write(&row, &mut packed);
        }
        let bytes = packed.len() as f64 / count as f64;
        assert!(bytes <= most, "{bytes} a sample");
    }

    #[test]
    fn a_sample_takes_few_bytes() {
        let pseudo_random = |second: u64| second * 7_919 % 10_007;
        check_bytes(|_| 230.0, 4.1);
        check_bytes(|second| 200.0 + (pseudo_random(second) % 6) as f64, 5.2);
        check_bytes(|second| (2_000 + pseudo_random(second) % 60) as f64 / 10.0, 5.2);
        check_bytes(|second| (15_000 + pseudo_random(second)) as f64 / 100.0, 6.2);
    }
}
