//! Samples that wait to be written: a short queue of bytes for each probe, about ten bytes a sample.

use std::collections::{BTreeSet, HashMap};

use kwapi_core::{Amperes, Energy, ProbeId, Quality, Succession, Timestamp, Volts, Watts};

use super::sample::{Hour, SampleRow, hour_of};
use crate::journal::codec::{Input, put, put_change, put_decimal};

/// What a sample has besides time and power.
mod flag {
    pub(super) const VOLTAGE: u64 = 1;
    pub(super) const CURRENT: u64 = 1 << 1;
    pub(super) const REGISTER: u64 = 1 << 2;
    pub(super) const ESTIMATED: u64 = 1 << 3;
    pub(super) const TOTAL: u64 = 1 << 4;
}

#[derive(Debug, Default)]
pub(super) struct SampleBuffer {
    index: HashMap<ProbeId, u32>,
    succession: Succession,
    queues: Vec<SampleQueue>,
    bytes: usize,
    rows: u64,
    hours: BTreeSet<Hour>,
    newest_hour: Hour,
}

/// What one probe has.
#[derive(Debug)]
pub(super) struct SampleQueue {
    pub(super) id: ProbeId,
    bytes: Vec<u8>,
    before: SampleBefore,
}

/// The sample before, which the next is written over.
#[derive(Clone, Copy, Debug, Default)]
struct SampleBefore {
    at: u64,
    register: u64,
    total: u64,
}

impl SampleBuffer {
    /// Bytes of all queues.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
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
        let before = queue.bytes.len();
        queue.push(sample);
        self.bytes += queue.bytes.len() - before;
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
            self.queues.push(SampleQueue {
                id: probe.clone(),
                bytes: Vec::new(),
                before: SampleBefore::default(),
            });
            at
        };
        self.succession.note(at);
        at
    }

    /// What a probe has.
    pub(super) fn queue(&self, probe: &ProbeId) -> Option<&SampleQueue> {
        self.queues.get(*self.index.get(probe)? as usize)
    }

    /// All queues with something in them, in order of their ids.
    pub(super) fn queues(&self) -> Vec<&SampleQueue> {
        let mut queues: Vec<&SampleQueue> =
            self.queues.iter().filter(|queue| !queue.bytes.is_empty()).collect();
        queues.sort_unstable_by(|left, right| left.id.cmp(&right.id));
        queues
    }

    /// Forgets all samples. Room stays where it was used.
    pub(super) fn clear(&mut self) {
        for queue in &mut self.queues {
            let used = queue.bytes.len();
            queue.bytes.clear();
            queue.bytes.shrink_to(used + used / 4);
            queue.before = SampleBefore::default();
        }
        self.hours.clear();
        (self.bytes, self.rows) = (0, 0);
    }
}

impl SampleQueue {
    fn push(&mut self, sample: &SampleRow) {
        let out = &mut self.bytes;
        if out.capacity() - out.len() < 64 {
            // Doubling would have half of the memory lie idle.
            out.reserve_exact(64 + out.len() / 4);
        }
        let flags = [
            (flag::VOLTAGE, sample.voltage.is_some()),
            (flag::CURRENT, sample.current.is_some()),
            (flag::REGISTER, sample.register.is_some()),
            (flag::ESTIMATED, sample.quality == Quality::Estimated),
            (flag::TOTAL, sample.total.is_some()),
        ];
        put(out, flags.into_iter().filter(|(_, is_set)| *is_set).fold(0, |flags, (flag, _)| flags | flag));
        let before = &mut self.before;
        put_change(out, sample.at.micros(), before.at);
        before.at = sample.at.micros();
        put_decimal(out, sample.power.0);
        let quantities = [sample.voltage.map(|volts| volts.0), sample.current.map(|amperes| amperes.0)];
        quantities.into_iter().flatten().for_each(|quantity| put_decimal(out, quantity));
        for (energy, before) in [(sample.register, &mut before.register), (sample.total, &mut before.total)] {
            if let Some(energy) = energy {
                put_change(out, energy.millijoules(), *before);
                *before = energy.millijoules();
            }
        }
    }

    /// Its samples, in the order in which they came.
    pub(super) fn samples(&self) -> impl Iterator<Item = SampleRow> {
        let (mut input, mut before) = (Input(&self.bytes), SampleBefore::default());
        std::iter::from_fn(move || if input.0.is_empty() { None } else { read(&mut input, &mut before) })
    }
}

fn read(input: &mut Input<'_>, before: &mut SampleBefore) -> Option<SampleRow> {
    let flags = input.varint()?;
    let has = |flag| flags & flag != 0;
    before.at = input.change(before.at)?;
    let power = Watts(input.decimal()?);
    let voltage = if has(flag::VOLTAGE) { Some(Volts(input.decimal()?)) } else { None };
    let current = if has(flag::CURRENT) { Some(Amperes(input.decimal()?)) } else { None };
    let mut energy = |flag, before: &mut u64| {
        if !has(flag) {
            return Some(None);
        }
        *before = input.change(*before)?;
        Some(Some(Energy::from_millijoules(*before)))
    };
    let register = energy(flag::REGISTER, &mut before.register)?;
    let total = energy(flag::TOTAL, &mut before.total)?;
    let quality = if has(flag::ESTIMATED) { Quality::Estimated } else { Quality::Measured };
    Some(SampleRow {
        at: Timestamp::from_micros(before.at),
        power,
        voltage,
        current,
        register,
        quality,
        total,
    })
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
                let read: Vec<SampleRow> = buffer.queue(&probe).into_iter().flat_map(SampleQueue::samples).collect();
                prop_assert_eq!(&read, &rows);
                prop_assert_eq!(buffer.rows(), rows.len() as u64);
                buffer.clear();
            }
        }
    }
}
