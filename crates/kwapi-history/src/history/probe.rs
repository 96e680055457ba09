//! One probe's samples between the journal and its files.

use std::time::Duration;

use kwapi_core::{ProbeId, Timestamp};
use parking_lot::Mutex;
use uuid::Uuid;

use super::waiting::WaitingSamples;
use crate::journal::Credited;
use crate::rrd::{Definition, Rrd, UpdateError};
use crate::store::{self, FileSample, Known, PEAKS, POWER};

/// A sample this long before the newest is not late: a clock that was ahead has been set right, or ours is behind now. As
/// long is waited for a clock to be mended.
pub(super) const AHEAD_MIN: Duration = Duration::from_secs(600);
/// Samples waiting for their files; at 1 Hz or more, over an hour. Full: the oldest quarter is dropped and counted, which only
/// happens when files cannot be written.
const SAMPLES_MAX: usize = 4_096;
/// At so many, files are written whether it is their turn or not.
pub(super) const SAMPLES_MANY: usize = 1_024;
/// How long a sample is taken to have held when nothing is known of the probe's pace.
const HELD_DEFAULT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct ProbeFiles {
    pub(super) id: ProbeId,
    /// Counts probes from 0 in the order they were first seen.
    pub(super) number: u32,
    pub(super) stem: Uuid,
    /// See [`Known::since`].
    pub(super) since: Option<u64>,
    /// Held while the files are read or written, so that only one of our handles is open at a time.
    pub(super) files: Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    newest: Option<(Timestamp, f64)>,
    /// The usual time between samples.
    pace: Duration,
    waiting: WaitingSamples,
    /// How many samples have ever left `waiting`.
    gone: u64,
    /// How many losses of the journal the newest sample comes after.
    losses: u64,
    /// Samples long before the newest, if the last of all was one.
    behind: Option<Box<Behind>>,
}

/// Samples stamped long before the newest: which of the two clocks was wrong, is decided later.
#[derive(Debug, Default)]
struct Behind {
    /// When the history noticed, on the process's monotonic clock.
    noticed: Option<Duration>,
    waiting: WaitingSamples,
    /// Stamps of the first and the last.
    ends: Option<(Timestamp, Timestamp)>,
}

/// How a probe's samples are behind its files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lag {
    /// How long they have been.
    pub(super) lasts: Duration,
    /// How far.
    pub(super) ahead: Duration,
    /// How much time they are of.
    pub(super) span: Duration,
}

/// What became of a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It waits for the files.
    Kept,
    /// As `Kept`, and there are many.
    Many,
    /// It is not after the newest.
    Late,
    /// It waits, and so many of the oldest do not any more.
    Dropped(usize),
    /// It is long before the newest, and waits for a clock to be mended.
    Behind,
    /// It is kept, and those that were long before the newest are late.
    Ahead(Vec<Timestamp>),
}

impl ProbeFiles {
    pub(super) fn new(known: Known, number: u32) -> Self {
        let Known { probe: id, since } = known;
        let stem = store::file_stem(&id);
        let state = State {
            newest: None,
            pace: HELD_DEFAULT,
            waiting: WaitingSamples::default(),
            gone: 0,
            losses: 0,
            behind: None,
        };
        Self { id, number, stem, since, files: Mutex::new(()), state: Mutex::new(state) }
    }

    /// Keeps a sample for the files. `losses` is how many stretches of the journal were lost before it. Returns what
    /// became of it, and how many bytes of what waits there were and are.
    pub(super) fn keep(&self, record: &Credited, losses: u64, max_gap: Duration) -> (Verdict, [usize; 2]) {
        let mut state = self.state.lock();
        let mut held = state.pace;
        let mut is_after_loss = false;
        if let Some((newest, _)) = state.newest {
            if record.at <= newest {
                return state.keep_behind(record, newest, max_gap);
            }
            let spacing = record.at.since(newest);
            // A sample that comes when it was due has none missing before it.
            is_after_loss = state.losses != losses && spacing > state.pace.saturating_mul(3) / 2;
            if spacing <= max_gap && !is_after_loss {
                held = spacing;
                state.pace = spacing;
            }
        }
        state.losses = losses;
        state.newest = Some((record.at, record.power.0));
        let (before, count_before) = (state.bytes(), state.waiting.len());
        let were_behind: Vec<Timestamp> = match state.behind.take() {
            Some(behind) => behind.waiting.samples().iter().map(|sample| sample.at).collect(),
            None => Vec::new(),
        };
        state.waiting.push(&FileSample { at: record.at, watts: record.power.0, held, is_after_loss });
        let count = state.waiting.len();
        if count > SAMPLES_MAX {
            let dropped = SAMPLES_MAX / 4;
            state.waiting.forget(dropped);
            state.gone += dropped as u64;
            return (Verdict::Dropped(dropped), [before, state.bytes()]);
        }
        let verdict = if !were_behind.is_empty() {
            Verdict::Ahead(were_behind)
        } else if count > count_before && count.is_multiple_of(SAMPLES_MANY) {
            Verdict::Many
        } else {
            Verdict::Kept
        };
        (verdict, [before, state.bytes()])
    }

    /// Notes that the file was last updated at `last_update`, long after all that waits: that is behind it.
    pub(super) fn note_file_ahead(&self, last_update: Timestamp) {
        let mut state = self.state.lock();
        let waiting = std::mem::take(&mut state.waiting);
        state.gone += waiting.len() as u64;
        let samples = waiting.samples();
        let ends = samples.first().zip(samples.last()).map(|(first, last)| (first.at, last.at));
        state.behind = Some(Box::new(Behind { noticed: None, waiting, ends }));
        state.newest = Some((last_update, 0.0));
    }

    /// How its samples are behind its files at `now`, on the process's monotonic clock, if they are.
    pub(super) fn lag(&self, now: Duration) -> Option<Lag> {
        let mut state = self.state.lock();
        let (newest, _) = state.newest?;
        let behind = state.behind.as_mut()?;
        let (first, last) = behind.ends?;
        let noticed = *behind.noticed.get_or_insert(now);
        Some(Lag { lasts: now.saturating_sub(noticed), ahead: newest.since(last), span: last.since(first) })
    }

    /// Whether samples are behind.
    pub(super) fn has_behind(&self) -> bool {
        self.state.lock().behind.is_some()
    }

    /// The samples that are behind.
    pub(super) fn behind(&self) -> Vec<FileSample> {
        self.state.lock().behind.as_ref().map(|behind| behind.waiting.samples()).unwrap_or_default()
    }

    /// Notes that the files were rewound and have the first `count` samples that were behind.
    pub(super) fn went_back(&self, count: usize) -> [usize; 2] {
        let mut state = self.state.lock();
        let before = state.bytes();
        if let Some(behind) = state.behind.take() {
            let mut waiting = behind.waiting;
            let watts = waiting.samples().last().map_or(0.0, |last| last.watts);
            waiting.forget(count);
            state.waiting = waiting;
            state.newest = behind.ends.map(|(_, last)| (last, watts));
        }
        [before, state.bytes()]
    }

    /// Whether anything waits for its files.
    pub(super) fn has_waiting(&self) -> bool {
        !self.state.lock().waiting.is_empty()
    }

    /// The newest sample of this process's time.
    pub(super) fn newest(&self) -> Option<(Timestamp, f64)> {
        let state = self.state.lock();
        if let Some(behind) = &state.behind {
            return behind.waiting.samples().last().map(|last| (last.at, last.watts));
        }
        state.newest
    }

    /// Whether no sample of this process's time has left for the files yet.
    pub(super) fn is_first_flush(&self) -> bool {
        self.state.lock().gone == 0
    }

    /// What waits, and how many samples have ever left. What comes from now on is no part of it.
    pub(super) fn waiting(&self) -> (Vec<FileSample>, u64) {
        let mut state = self.state.lock();
        state.waiting.close();
        (state.waiting.samples(), state.gone)
    }

    /// Notes that `count` samples are in the files, which waited when so many had left. Returns how many bytes that
    /// frees.
    pub(super) fn written(&self, count: usize, gone: u64) -> usize {
        let mut state = self.state.lock();
        let before = state.waiting.bytes();
        let written = (gone + count as u64).saturating_sub(state.gone);
        let written = usize::try_from(written).unwrap_or(usize::MAX).min(state.waiting.len());
        state.waiting.forget(written);
        state.gone += written as u64;
        before.saturating_sub(state.waiting.bytes())
    }
}

impl State {
    /// What all that waits takes in memory.
    fn bytes(&self) -> usize {
        self.waiting.bytes() + self.behind.as_ref().map_or(0, |behind| behind.waiting.bytes())
    }

    /// Keeps a sample that is not after `newest`, if it is long before.
    fn keep_behind(
        &mut self,
        record: &Credited,
        newest: Timestamp,
        max_gap: Duration,
    ) -> (Verdict, [usize; 2]) {
        let last = self.behind.as_ref().and_then(|behind| behind.ends).map(|(_, last)| last);
        if newest.since(record.at) < AHEAD_MIN || last.is_some_and(|last| record.at <= last) {
            return (Verdict::Late, [0; 2]);
        }
        let before = self.bytes();
        let spacing = last.map_or(self.pace, |last| record.at.since(last));
        let held = if spacing <= max_gap { spacing } else { self.pace };
        let behind = self.behind.get_or_insert_default();
        let (first, _) = behind.ends.unwrap_or((record.at, record.at));
        behind.waiting.push(&FileSample { at: record.at, watts: record.power.0, held, is_after_loss: false });
        behind.ends = Some((first, record.at));
        let mut verdict = Verdict::Behind;
        if behind.waiting.len() > SAMPLES_MAX {
            let dropped = SAMPLES_MAX / 4;
            behind.waiting.forget(dropped);
            verdict = Verdict::Dropped(dropped);
        }
        (verdict, [before, self.bytes()])
    }
}

/// The second with which a history begins whose first sample is `record`.
pub(super) fn first_second(record: &Credited) -> u64 {
    let (at, watts, held) = (record.at, record.power.0, HELD_DEFAULT);
    store::first_second(&FileSample { at, watts, held, is_after_loss: false })
}

/// Which of a probe's two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Which {
    Power,
    Peaks,
}

impl Which {
    fn definition(self) -> Definition<'static> {
        match self {
            Self::Power => POWER,
            Self::Peaks => PEAKS,
        }
    }

    pub(super) fn apply(
        self,
        rrd: &mut Rrd,
        samples: &[FileSample],
        max_gap: Duration,
    ) -> Result<usize, UpdateError> {
        match self {
            Self::Power => store::apply(rrd, samples, max_gap),
            Self::Peaks => store::apply_peaks(rrd, samples, max_gap),
        }
    }

    /// A new database that begins at a whole second.
    pub(super) fn empty(self, from: u64) -> Rrd {
        Rrd::new(&self.definition(), from)
    }

    /// A new database that begins where the first sample does.
    pub(super) fn begin(self, samples: &[FileSample]) -> Option<Rrd> {
        samples.first().map(|first| self.empty(store::first_second(first)))
    }
}
