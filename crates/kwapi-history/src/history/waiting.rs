//! Samples on their way to the files, packed: a hundred thousand probes have two minutes of them each.

use std::time::Duration;

use kwapi_core::Timestamp;

use crate::journal::codec::{Input, put, put_decimal};
use crate::store::Sample;

/// `held` follows; else it is the time since the sample before.
const HAS_HELD: u64 = 1;
/// Some samples before it were lost.
const AFTER_LOSS: u64 = 2;
const FLAG_BITS: u32 = 2;

/// Samples in order of their stamps, each a few bytes: the time since the one before, and watts.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    bytes: Vec<u8>,
    count: usize,
    /// The stamp from which the first is counted, and that of the last.
    begin: u64,
    end: u64,
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Adds a sample that is later than those there are.
    pub(super) fn push(&mut self, sample: &Sample) {
        let at = sample.at.micros();
        if self.is_empty() {
            (self.begin, self.end) = (at, at);
        }
        let spacing = at.saturating_sub(self.end);
        let held = u64::try_from(sample.held.as_micros()).unwrap_or(u64::MAX);
        let mut flags = if held == spacing { 0 } else { HAS_HELD };
        if sample.is_after_loss {
            flags |= AFTER_LOSS;
        }
        put(&mut self.bytes, spacing.min(u64::MAX >> FLAG_BITS) << FLAG_BITS | flags);
        if flags & HAS_HELD != 0 {
            put(&mut self.bytes, held);
        }
        put_decimal(&mut self.bytes, sample.watts);
        self.end = at;
        self.count += 1;
    }

    /// All of them.
    pub(super) fn samples(&self) -> Vec<Sample> {
        let mut samples = Vec::with_capacity(self.count);
        let (mut input, mut at) = (Input(&self.bytes), self.begin);
        while let Some(sample) = next(&mut input, &mut at) {
            samples.push(sample);
        }
        samples
    }

    /// Removes the oldest `count`.
    pub(super) fn forget(&mut self, count: usize) {
        if count >= self.count {
            // The room, too: it is had again when there is something to put in it.
            *self = Self::default();
            return;
        }
        let mut input = Input(&self.bytes);
        for _ in 0..count {
            _ = next(&mut input, &mut self.begin);
        }
        self.bytes = input.0.to_vec();
        self.count -= count;
    }
}

fn next(input: &mut Input<'_>, at: &mut u64) -> Option<Sample> {
    let head = input.varint()?;
    let spacing = head >> FLAG_BITS;
    let held = if head & HAS_HELD == 0 { spacing } else { input.varint()? };
    let watts = input.decimal()?;
    *at = at.saturating_add(spacing);
    let is_after_loss = head & AFTER_LOSS != 0;
    Some(Sample { at: Timestamp::from_micros(*at), watts, held: Duration::from_micros(held), is_after_loss })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn samples_come_out_as_they_went_in(
            steps in prop::collection::vec((1..5_000_000_000_u64, 0..2_000_000_u64, 0.0..1e6, any::<bool>()), 0..50),
            forgotten in 0..60_usize,
        ) {
            let (mut waiting, mut samples, mut at) = (Waiting::default(), Vec::new(), 1_700_000_000_000_000);
            for (spacing, held, watts, is_after_loss) in steps {
                at += spacing;
                let held = Duration::from_micros(if held < 1_000_000 { spacing } else { held });
                samples.push(Sample { at: Timestamp::from_micros(at), watts, held, is_after_loss });
                waiting.push(samples.last().unwrap());
            }
            prop_assert_eq!(waiting.samples(), &samples[..]);
            waiting.forget(forgotten);
            let left = samples.split_off(forgotten.min(samples.len()));
            prop_assert_eq!((waiting.samples(), waiting.len()), (left.clone(), left.len()));
        }
    }

    #[test]
    fn two_minutes_take_less_than_a_kilobyte() {
        let mut waiting = Waiting::default();
        for second in 0..120_u64 {
            let at = Timestamp::from_micros(1_700_000_000_000_000 + second * 1_000_213);
            let held = Duration::from_micros(1_000_213);
            waiting.push(&Sample { at, watts: 183.0 + second as f64 / 10.0, held, is_after_loss: false });
        }
        assert!(waiting.bytes() <= 1_024, "{}", waiting.bytes());
    }
}
