//! One probe's samples between the journal and its files.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kwapi_core::{Account, ProbeId, Refused, Timestamp};
use parking_lot::Mutex;
use uuid::Uuid;

use super::{FUTURE_MAX, History};
use crate::former::{self as journal, Position, Record};
use crate::rrd::{self, Definition, Rrd, RrdFileError, UpdateError};
use crate::store::{self, Known, PEAKS, POWER, Sample};

/// Samples waiting for their files; at 1 Hz, over an hour. Full: the oldest is dropped and counted, which only happens
/// when files cannot be written.
const SAMPLES_MAX: usize = 4_096;
/// While the journal is read again, files are written at this many.
const REPLAY_SAMPLES: usize = 1_024;
/// Each rebuild reads the whole journal: where more files than this are broken, the others begin empty.
const REBUILDS_MAX: u64 = 64;
/// How long a sample is taken to have held when nothing is known of the probe's pace.
const HELD_DEFAULT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Probe {
    id: ProbeId,
    stem: Uuid,
    since: Option<u64>,
    /// Held while the files are read or written, so that only one of our handles is open at a time.
    files: Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    account: Account,
    newest: Option<Sample>,
    /// The usual time between samples.
    pace: Duration,
    waiting: VecDeque<Sample>,
    /// How many samples have ever left `waiting`.
    gone: u64,
    /// Which flush interval it was last written in.
    turn: u64,
    heard: Duration,
}

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Kept,
    Late,
    DroppedOldest,
}

impl Probe {
    pub(super) fn new(known: Known, heard: Duration) -> Self {
        let Known { probe: id, since } = known;
        let stem = store::file_stem(&id);
        let state = State {
            account: Account::default(),
            newest: None,
            pace: HELD_DEFAULT,
            waiting: VecDeque::new(),
            gone: 0,
            turn: u64::MAX,
            heard,
        };
        Self { id, stem, since, files: Mutex::new(()), state: Mutex::new(state) }
    }

    /// See [`Known::since`].
    pub(super) fn since(&self) -> Option<u64> {
        self.since
    }

    /// Whether this sample is news.
    pub(super) fn credit(&self, record: &Record, heard: Duration, max_gap: Duration) -> Result<(), Refused> {
        let account = &mut self.state.lock().account;
        match &record.accounting {
            Some(accounting) => account.credit(accounting, heard, max_gap),
            None => account.credit_legacy(record.power, record.at, heard, max_gap),
        }
        .map(|_| ())
    }

    /// Keeps a sample for the files.
    pub(super) fn keep(&self, record: &Record, max_gap: Duration) -> Verdict {
        let mut state = self.state.lock();
        let mut held = state.pace;
        if let Some(newest) = state.newest {
            if record.at <= newest.at {
                return Verdict::Late;
            }
            let spacing = record.at.since(newest.at);
            if spacing <= max_gap {
                held = spacing;
                state.pace = spacing;
            }
        }
        let sample = Sample { at: record.at, watts: record.power.0, held };
        state.newest = Some(sample);
        state.waiting.push_back(sample);
        if state.waiting.len() <= SAMPLES_MAX {
            return Verdict::Kept;
        }
        state.waiting.pop_front();
        state.gone += 1;
        Verdict::DroppedOldest
    }

    /// Takes a sample from the journal again. Says whether the files should be written now.
    pub(super) fn replay(&self, record: &Record, max_gap: Duration) -> bool {
        _ = self.credit(record, Duration::ZERO, max_gap);
        self.keep(record, max_gap);
        self.state.lock().waiting.len() >= REPLAY_SAMPLES
    }

    /// Whether its files should be written: once in each interval, each probe at its own time.
    pub(super) fn is_due(&self, now: Duration, interval: Duration) -> bool {
        let mut state = self.state.lock();
        let interval = interval.as_millis().max(1);
        let phase = self.stem.as_u128() % interval;
        let turn = |at: Duration| u64::try_from((at.as_millis() + phase) / interval).unwrap_or(u64::MAX);
        if state.turn == u64::MAX {
            state.turn = turn(state.heard);
        }
        let due = turn(now) != state.turn;
        state.turn = turn(now);
        due && !state.waiting.is_empty()
    }

    /// The newest sample of this process's time.
    pub(super) fn newest(&self) -> Option<Sample> {
        self.state.lock().newest
    }
}

/// The second with which a history begins whose first sample is `record`.
pub(super) fn first_second(record: &Record) -> u64 {
    store::first_second(&Sample { at: record.at, watts: record.power.0, held: HELD_DEFAULT })
}

/// Which of a probe's two files.
#[derive(Clone, Copy)]
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

    fn apply(self, rrd: &mut Rrd, samples: &[Sample], max_gap: Duration) -> Result<usize, UpdateError> {
        match self {
            Self::Power => store::apply(rrd, samples, max_gap),
            Self::Peaks => store::apply_peaks(rrd, samples, max_gap),
        }
    }

    /// A new database that begins where the first sample does.
    fn begin(self, samples: &[Sample]) -> Option<Rrd> {
        samples.first().map(|first| Rrd::new(&self.definition(), store::first_second(first)))
    }
}

impl History {
    /// Writes the files of one probe.
    pub(super) fn flush_probe(&self, probe: &Probe) -> Result<(), RrdFileError> {
        let _files = probe.files.lock();
        let (samples, gone) = {
            let state = probe.state.lock();
            (state.waiting.iter().copied().collect::<Vec<_>>(), state.gone)
        };
        if samples.is_empty() {
            return Ok(());
        }
        for which in [Which::Power, Which::Peaks] {
            self.write_file(probe, which, &samples).inspect_err(|_| {
                self.flush_failures.fetch_add(1, Ordering::Relaxed);
            })?;
        }
        let mut state = probe.state.lock();
        let written = (gone + samples.len() as u64).saturating_sub(state.gone);
        let written = usize::try_from(written).unwrap_or(usize::MAX).min(state.waiting.len());
        state.waiting.drain(..written);
        state.gone += written as u64;
        if state.waiting.is_empty() && state.waiting.capacity() > 2 * REPLAY_SAMPLES {
            state.waiting.shrink_to(REPLAY_SAMPLES);
        }
        Ok(())
    }

    fn path(&self, probe: &Probe, which: Which) -> std::path::PathBuf {
        match which {
            Which::Power => store::power_path(&self.rrd_directory, probe.stem),
            Which::Peaks => store::peaks_path(&self.rrd_directory, probe.stem),
        }
    }

    fn write_file(&self, probe: &Probe, which: Which, samples: &[Sample]) -> Result<(), RrdFileError> {
        let path = self.path(probe, which);
        let max_gap = self.config.max_gap;
        let mut set_aside = false;
        let amended = rrd::amend(&path, |rrd| {
            self.notice_file_ahead(probe, rrd, samples);
            which.apply(rrd, samples, max_gap)
        });
        match amended {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(refused)) => {
                tracing::error!(probe = %probe.id, path = %path.display(), %refused, "set aside: not a file of power");
                self.set_aside(&path)?;
                set_aside = true;
            }
            Err(RrdFileError::Unusable(_, cause)) => {
                tracing::error!(probe = %probe.id, path = %path.display(), %cause, "set aside: unusable");
                self.set_aside(&path)?;
                set_aside = true;
            }
            Err(RrdFileError::Io(_, error)) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let rebuilt = if set_aside { self.rebuild(probe, which) } else { None };
        let Some(mut rrd) = rebuilt.or_else(|| which.begin(samples)) else { return Ok(()) };
        // A file of our own making takes any sample.
        _ = which.apply(&mut rrd, samples, max_gap);
        rrd::create(&path, &rrd)
    }

    /// Makes a file again from what the journal still has of its probe.
    fn rebuild(&self, probe: &Probe, which: Which) -> Option<Rrd> {
        if self.files_set_aside.load(Ordering::Relaxed) > REBUILDS_MAX {
            return None;
        }
        let known = Known { probe: probe.id.clone(), since: probe.since };
        let again = Probe::new(known, Duration::ZERO);
        let mut rrd: Option<Rrd> = None;
        let mut take_up = |again: &Probe| {
            let samples: Vec<_> = again.state.lock().waiting.drain(..).collect();
            if rrd.is_none() {
                rrd = which.begin(&samples);
            }
            if let Some(rrd) = &mut rrd {
                _ = which.apply(rrd, &samples, self.config.max_gap);
            }
        };
        let replayed = journal::replay(&self.journal_directory, Position::default(), |records| {
            for record in records.iter().filter(|record| record.probe == probe.id) {
                again.keep(record, self.config.max_gap);
            }
            if again.state.lock().waiting.len() >= REPLAY_SAMPLES {
                take_up(&again);
            }
        });
        take_up(&again);
        match replayed {
            Ok(_) => tracing::info!(probe = %probe.id, "a file was made again from the journal"),
            Err(error) => tracing::warn!(probe = %probe.id, %error, "the journal cannot be read"),
        }
        rrd
    }

    /// A clock that was once wrong leaves a file that takes nothing until that time has come.
    fn notice_file_ahead(&self, probe: &Probe, rrd: &Rrd, samples: &[Sample]) {
        let Some(newest) = samples.last() else { return };
        let ahead = rrd.last_update().since(newest.at);
        if ahead > FUTURE_MAX && self.files_ahead.fetch_add(1, Ordering::Relaxed) == 0 {
            let probe = &probe.id;
            tracing::warn!(%probe, ?ahead, "a file was last updated in the future: it takes nothing until then");
        }
    }

    /// Renames a file out of the way; an older one of the same fate is kept.
    fn set_aside(&self, path: &std::path::Path) -> Result<(), RrdFileError> {
        let aside = (0_u32..).map(|number| path.with_extension(format!("rrd.unusable-{number}")));
        let aside = aside
            .into_iter()
            .find(|aside| !aside.exists())
            .unwrap_or_else(|| path.with_extension("unusable"));
        std::fs::rename(path, aside).map_err(|error| RrdFileError::Io(path.to_owned(), error))?;
        self.files_set_aside.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The file as it will be once what waits is written; `None` when there is neither file nor sample.
    pub(super) fn present(&self, probe: &Probe, which: Which) -> Result<Option<Rrd>, RrdFileError> {
        let _files = probe.files.lock();
        let samples: Vec<_> = probe.state.lock().waiting.iter().copied().collect();
        let read = match rrd::read(&self.path(probe, which)) {
            Ok(rrd) => Some(rrd),
            Err(RrdFileError::Io(_, error)) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(RrdFileError::Unusable(..)) if !samples.is_empty() => None, // Set aside when it is next written.
            Err(error) => return Err(error),
        };
        let Some(mut rrd) = read.or_else(|| which.begin(&samples)) else { return Ok(None) };
        _ = which.apply(&mut rrd, &samples, self.config.max_gap);
        Ok(Some(rrd))
    }

    /// The bytes of a file that has everything.
    pub(super) fn flushed_bytes(&self, probe: &Probe) -> Result<Option<Vec<u8>>, RrdFileError> {
        self.flush_probe(probe)?;
        Ok(self.present(probe, Which::Power)?.map(|rrd| rrd.to_bytes()))
    }

    /// The stamp and value of the newest update in the file.
    pub(super) fn newest_in_file(&self, probe: &Probe) -> Result<Option<(Timestamp, f64)>, RrdFileError> {
        let rrd = self.present(probe, Which::Power)?;
        Ok(rrd.and_then(|rrd| Some((rrd.last_update(), rrd.last_value()?))))
    }
}

/// An error with its causes, on one line.
pub(super) struct Chain<'a>(pub(super) &'a RrdFileError);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = std::error::Error::source(self.0);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
