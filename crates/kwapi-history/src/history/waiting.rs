//! Samples on their way to the files, packed: a hundred thousand probes have two minutes of them each. Those of a probe that
//! measures many times a second are folded to one a second, their mean, as the files have no shorter step: so that what waits is
//! as long in time however often it measures. Each sample by itself is in the samples' files.

use std::time::Duration;

use kwapi_core::Timestamp;

use crate::journal::codec::{Input, put, put_decimal, unzigzag, zigzag};
use crate::store::{self, FileSample};

/// `held` follows; else it is the time since the sample before.
const HAS_HELD: u64 = 1;
/// Some samples before it were lost.
const AFTER_LOSS: u64 = 2;
const FLAG_BITS: u32 = 2;
/// No two samples are taken to be further apart, in microseconds (36 000 years): so the change of it fits beside the flags.
const SPACING_MAX: u64 = 1 << 60;
/// What a sample takes at most as a rule; one that takes more is kept as well.
const SAMPLE_BYTES_USUAL: usize = 16;
/// Room that is had at a time. All of one size, so that what one probe's samples leave fits another's: grown vectors of a
/// hundred thousand probes leave holes of every size.
const CHUNK_BYTES: usize = 96;
/// Samples closer than this are folded, in microseconds.
const FOLDED_BELOW: u64 = 500_000;

/// Samples in order of their stamps, each a few bytes: how the time since the one before has changed, and watts.
#[derive(Debug, Default)]
pub(super) struct WaitingSamples {
    packed: Chunks,
    /// How many are packed.
    count: usize,
    /// Before the first of these, and at the last.
    begin: Place,
    end: Place,
    /// The newest, of a probe whose samples are folded.
    open: Option<Box<OpenSecond>>,
}

/// The samples of a second so far, folded: their mean over the time that they held, and the last one's stamp.
#[derive(Debug)]
struct OpenSecond {
    folded: FileSample,
    /// Whether it has been written to a file or given to a reader as it is.
    is_closed: bool,
}

impl OpenSecond {
    /// Takes a sample of the same second that continues from it; whether it did.
    fn take(&mut self, sample: &FileSample) -> bool {
        let folded = &mut self.folded;
        let continues = sample.at.since(folded.at) == sample.held && !sample.is_after_loss;
        if self.is_closed || !continues || store::second_of(sample) != store::second_of(folded) {
            return false;
        }
        let held = folded.held + sample.held;
        let share = sample.held.as_secs_f64() / held.as_secs_f64();
        folded.watts += (sample.watts - folded.watts) * share;
        (folded.at, folded.held) = (sample.at, held);
        true
    }
}

/// Where in time a sample is.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Its stamp, in microseconds.
    at: u64,
    /// The time since the sample before.
    spacing: u64,
}

impl WaitingSamples {
    pub(super) fn len(&self) -> usize {
        self.count + usize::from(self.open.is_some())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let open = self.open.as_ref().map_or(0, |_| size_of::<OpenSecond>());
        self.packed.chunks.len() * CHUNK_BYTES + open
    }

    /// Adds a sample that is later than those there are.
    pub(super) fn push(&mut self, sample: &FileSample) {
        let mut before = (self.count > 0).then_some(self.end.at);
        if let Some(open) = &mut self.open {
            if open.take(sample) {
                return;
            }
            before = Some(open.folded.at.micros());
        }
        if let Some(open) = self.open.take() {
            self.pack(&open.folded);
        }
        if before.is_some_and(|before| sample.at.micros().saturating_sub(before) < FOLDED_BELOW) {
            self.open = Some(Box::new(OpenSecond { folded: *sample, is_closed: false }));
        } else {
            self.pack(sample);
        }
    }

    /// What is pushed from now on is folded into none of those there are.
    pub(super) fn close(&mut self) {
        if let Some(open) = &mut self.open {
            open.is_closed = true;
        }
    }

    fn pack(&mut self, sample: &FileSample) {
        let at = sample.at.micros();
        if self.count == 0 {
            let place = Place { at, spacing: 0 };
            (self.begin, self.end) = (place, place);
        }
        let spacing = at.saturating_sub(self.end.at).min(SPACING_MAX);
        let held = u64::try_from(sample.held.as_micros()).unwrap_or(u64::MAX);
        let mut flags = if held == spacing { 0 } else { HAS_HELD };
        if sample.is_after_loss {
            flags |= AFTER_LOSS;
        }
        let mut bytes = Vec::with_capacity(SAMPLE_BYTES_USUAL);
        let change = zigzag(spacing.wrapping_sub(self.end.spacing).cast_signed());
        put(&mut bytes, change << FLAG_BITS | flags);
        if flags & HAS_HELD != 0 {
            put(&mut bytes, held);
        }
        put_decimal(&mut bytes, sample.watts);
        self.packed.extend(&bytes);
        self.end = Place { at, spacing };
        self.count += 1;
    }

    /// All of them.
    pub(super) fn samples(&self) -> Vec<FileSample> {
        let mut samples = Vec::with_capacity(self.len());
        let packed = self.packed.joined();
        let (mut input, mut place) = (Input(&packed), self.begin);
        while let Some(sample) = next(&mut input, &mut place) {
            samples.push(sample);
        }
        samples.extend(self.open.as_ref().map(|open| open.folded));
        samples
    }

    /// Removes the oldest `count`.
    pub(super) fn forget(&mut self, count: usize) {
        if count >= self.len() {
            // The room, too: it is had again when there is something to put in it.
            *self = Self::default();
            return;
        }
        let packed = self.packed.joined();
        let mut input = Input(&packed);
        for _ in 0..count {
            _ = next(&mut input, &mut self.begin);
        }
        self.packed = Chunks::default();
        self.packed.extend(input.0);
        self.count -= count;
    }
}

/// Bytes in pieces of one size.
#[derive(Debug, Default)]
struct Chunks {
    #[expect(clippy::vec_box, reason = "each is a piece of memory of its own, of the same size")]
    chunks: Vec<Box<[u8; CHUNK_BYTES]>>,
    length: usize,
}

impl Chunks {
    fn extend(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let begin = self.length % CHUNK_BYTES;
            if begin == 0 {
                self.chunks.push(Box::new([0; CHUNK_BYTES]));
            }
            let Some(room) = self.chunks.last_mut().and_then(|chunk| chunk.get_mut(begin..)) else { return };
            let count = room.len().min(bytes.len());
            let (now, later) = bytes.split_at(count);
            room.iter_mut().zip(now).for_each(|(room, byte)| *room = *byte);
            self.length += count;
            bytes = later;
        }
    }

    fn joined(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.chunks.len() * CHUNK_BYTES);
        self.chunks.iter().for_each(|chunk| bytes.extend_from_slice(chunk.as_slice()));
        bytes.truncate(self.length);
        bytes
    }
}

fn next(input: &mut Input<'_>, place: &mut Place) -> Option<FileSample> {
    let head = input.varint()?;
    let spacing = place.spacing.wrapping_add(unzigzag(head >> FLAG_BITS).cast_unsigned());
    let held = if head & HAS_HELD == 0 { spacing } else { input.varint()? };
    let watts = input.decimal()?;
    *place = Place { at: place.at.saturating_add(spacing), spacing };
    let (at, held) = (Timestamp::from_micros(place.at), Duration::from_micros(held));
    Some(FileSample { at, watts, held, is_after_loss: head & AFTER_LOSS != 0 })
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
            let (mut waiting, mut samples, mut at) = (WaitingSamples::default(), Vec::new(), 1_700_000_000_000_000);
            for (spacing, held, watts, is_after_loss) in steps {
                at += spacing;
                let held = Duration::from_micros(if held < 1_000_000 { spacing } else { held });
                samples.push(FileSample { at: Timestamp::from_micros(at), watts, held, is_after_loss });
                waiting.push(samples.last().unwrap());
            }
            prop_assert_eq!(waiting.samples(), &samples[..]);
            waiting.forget(forgotten);
            let left = samples.split_off(forgotten.min(samples.len()));
            prop_assert_eq!((waiting.samples(), waiting.len()), (left.clone(), left.len()));
        }
    }

    /// Samples of two minutes, so many a second; the power is another in each.
    fn fast(rate: u64) -> Vec<FileSample> {
        let held = Duration::from_micros(1_000_000 / rate);
        let samples = (1..=120 * rate).map(|sample| FileSample {
            at: Timestamp::from_micros(1_700_000_000_250_000 + sample * 1_000_000 / rate),
            watts: 183.0 + (sample * 7_919 % 1_000) as f64 / 10.0,
            held,
            is_after_loss: false,
        });
        samples.collect()
    }

    #[test]
    fn however_often_a_probe_measures_its_seconds_wait_and_its_energy_is_the_same() {
        let joules = |samples: &[FileSample]| -> f64 {
            samples.iter().map(|sample| sample.watts * sample.held.as_secs_f64()).sum()
        };
        for rate in [10, 50, 1_000] {
            let (mut waiting, samples) = (WaitingSamples::default(), fast(rate));
            samples.iter().for_each(|sample| waiting.push(sample));
            let folded = waiting.samples();
            assert_eq!((folded.len(), waiting.len()), (122, 122), "{rate}: the first stands alone");
            assert!(waiting.bytes() <= 2_200, "{rate}: {} bytes", waiting.bytes());
            assert_eq!(folded.last().unwrap().at, samples.last().unwrap().at);
            let (truth, reported) = (joules(&samples), joules(&folded));
            assert!((reported / truth - 1.0).abs() < 1e-9, "{rate}: {reported} J of {truth} J");
        }
    }

    #[test]
    fn what_has_been_reported_is_folded_no_further_and_can_be_forgotten() {
        let (mut waiting, samples) = (WaitingSamples::default(), fast(10));
        samples[..24].iter().for_each(|sample| waiting.push(sample));
        waiting.close();
        let reported = waiting.samples();
        samples[24..26].iter().for_each(|sample| waiting.push(sample));
        assert_eq!(waiting.samples()[..reported.len()], reported);
        waiting.forget(reported.len());
        let left = waiting.samples();
        assert_eq!((left.len(), left[0].at, left[0].held), (1, samples[25].at, samples[24].held * 2));
        samples[26..].iter().for_each(|sample| waiting.push(sample));
        assert_eq!(waiting.samples().last().unwrap().at, samples.last().unwrap().at);
    }

    #[test]
    fn a_gap_and_a_loss_within_a_second_stay_where_they_are() {
        let (mut waiting, samples) = (WaitingSamples::default(), fast(100));
        for (number, sample) in samples[..60].iter().enumerate().filter(|(number, _)| *number != 30) {
            waiting.push(&FileSample { is_after_loss: number == 50, ..*sample });
        }
        let reported: Vec<_> =
            waiting.samples().iter().map(|sample| (sample.held.as_millis(), sample.is_after_loss)).collect();
        assert_eq!(reported, [(10, false), (290, false), (190, false), (100, true)]);
    }

    #[test]
    fn two_minutes_take_little_more_than_half_a_kilobyte() {
        let mut waiting = WaitingSamples::default();
        let mut at = 1_700_000_000_000_000;
        for second in 0..120_u64 {
            let spacing = 1_000_000 + second * 7_919 % 500; // As a timer wakes.
            at += spacing;
            let (at, held) = (Timestamp::from_micros(at), Duration::from_micros(spacing));
            waiting.push(&FileSample { at, watts: 183.0 + second as f64 / 10.0, held, is_after_loss: false });
        }
        assert!(waiting.bytes() <= 800, "{}", waiting.bytes());
    }
}
