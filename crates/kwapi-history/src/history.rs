//! The history of all probes: samples in, series out.
//!
//! A sample is first appended to the journal, then kept in memory until its probe's files are next written, at most
//! `flush_interval` later; whatever is asked in between sees it. After a crash the journal is read again from where
//! all was known to be written: a sample its file already has is passed over by the file's last update.

mod counters;
mod flusher;
mod probe;
mod read;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kwapi_core::{Measurement, ProbeId, Refused, Timestamp};
use parking_lot::{Mutex, RwLock};
use rustix::fs::syncfs;

use crate::former::{self as journal, Journal, Position, Record, Retention, SYNC_INTERVAL};
use crate::store::{self, DirectoryInUse, DirectoryLock, Index, Known};

pub use counters::{HistoryCounters, Recorded};
pub use flusher::Flusher;
pub use read::{Latest, Peaks};

use probe::{Chain, Probe, Verdict};

/// The journal's reader that writes RRD files.
const READER: &str = "rrd";
/// A stamp further ahead of its arrival is refused: an RRD takes nothing older than its newest update, so one such
/// stamp would end it.
const FUTURE_MAX: Duration = Duration::from_secs(60);

/// Where history is kept, and how.
#[derive(Clone, Debug)]
pub struct HistoryConfig {
    /// The state directory: lock and journal, and RRD files unless they are elsewhere.
    pub directory: PathBuf,
    /// Where the RRD files are, perhaps a directory the original wrote; `rrd` in the state directory by default.
    pub rrd_directory: Option<PathBuf>,
    /// How far RRD files may trail.
    pub flush_interval: Duration,
    /// Samples further apart have unknown time between them.
    pub max_gap: Duration,
    /// How much of the journal is kept.
    pub journal: Retention,
}

impl HistoryConfig {
    /// Everything in `directory`: files at most 120 s behind, unknown time after 60 s.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            rrd_directory: None,
            flush_interval: Duration::from_secs(120),
            max_gap: Duration::from_secs(60),
            journal: Retention::default(),
        }
    }
}

/// Why history cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the directory.
    #[error(transparent)]
    InUse(#[from] DirectoryInUse),
    /// The disk refuses.
    #[error("cannot open history in {0}")]
    Io(PathBuf, #[source] io::Error),
}

/// A verified measurement as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// What was measured.
    pub measurement: &'a Measurement,
    /// When it arrived: the stamp of a message that has none.
    pub arrived: Timestamp,
    /// When it arrived, on the process's monotonic clock.
    pub heard: Duration,
}

/// The open history of one state directory. All its methods may be called from several threads.
#[derive(Debug)]
pub struct History {
    config: HistoryConfig,
    rrd_directory: PathBuf,
    probes: RwLock<HashMap<ProbeId, Arc<Probe>>>,
    index: Mutex<Index>,
    journal: Mutex<Journal>,
    journal_directory: PathBuf,
    upkeep: Mutex<Upkeep>,
    measurements: Mutex<Recorded>,
    journal_failures: AtomicU64,
    flush_failures: AtomicU64,
    samples_dropped: AtomicU64,
    files_set_aside: AtomicU64,
    files_ahead: AtomicU64,
    orphan_files: AtomicU64,
    _locks: Vec<DirectoryLock>,
}

/// What [`History::tick`] remembers.
#[derive(Debug, Default)]
struct Upkeep {
    synced: Duration,
    committed: Duration,
    failed: Option<Duration>,
    /// Where the journal ended, and when; younger than two flush intervals.
    marks: VecDeque<(Duration, Position)>,
}

impl History {
    /// Takes the directory, opens what is there and reads again what the last process had not written to its files.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(config: HistoryConfig, now: Timestamp) -> Result<Self, OpenError> {
        let rrd_directory = config.rrd_directory.clone().unwrap_or_else(|| config.directory.join("rrd"));
        let journal_directory = config.directory.join("journal");
        let mut locks = Vec::new();
        for directory in [&config.directory, &rrd_directory] {
            std::fs::create_dir_all(directory).map_err(|error| OpenError::Io(directory.clone(), error))?;
            if *directory != config.directory || locks.is_empty() {
                locks.push(DirectoryLock::take(directory)?);
            }
        }
        let failed = |directory: &Path| {
            let directory = directory.to_owned();
            move |error| OpenError::Io(directory, error)
        };
        let (index, known) = Index::open(&rrd_directory).map_err(failed(&rrd_directory))?;
        let from = journal::load_position(&journal_directory, READER);
        let journal =
            Journal::open(&journal_directory, config.journal, now).map_err(failed(&journal_directory))?;
        let stems: HashSet<_> = known.iter().map(|known| store::file_stem(&known.probe)).collect();
        let orphan_files = store::orphans(&rrd_directory, &stems).map_err(failed(&rrd_directory))?;
        let probe = |known: Known| (known.probe.clone(), Arc::new(Probe::new(known, Duration::ZERO)));
        let probes = known.into_iter().map(probe).collect();
        let history = Self {
            config,
            rrd_directory,
            probes: RwLock::new(probes),
            index: Mutex::new(index),
            journal: Mutex::new(journal),
            journal_directory: journal_directory.clone(),
            upkeep: Mutex::default(),
            measurements: Mutex::default(),
            journal_failures: AtomicU64::new(0),
            flush_failures: AtomicU64::new(0),
            samples_dropped: AtomicU64::new(0),
            files_set_aside: AtomicU64::new(0),
            files_ahead: AtomicU64::new(0),
            orphan_files: AtomicU64::new(orphan_files as u64),
            _locks: locks,
        };
        let replayed = journal::replay(&journal_directory, from, |records| {
            for record in records {
                let probe = history.probe(record, Duration::ZERO);
                if probe.replay(record, history.config.max_gap) {
                    // A failure shows in the counters; the samples wait for the next turn.
                    _ = history.flush_probe(&probe);
                }
            }
        });
        let replayed = replayed.map_err(failed(&journal_directory))?;
        if replayed.segments_damaged > 0 {
            tracing::warn!(segments = replayed.segments_damaged, "parts of the journal could not be read");
        }
        Ok(history)
    }

    /// Takes verified measurements: journals them, and keeps them for their files. When this returns well, a killed
    /// process loses none of them.
    ///
    /// # Errors
    /// When the journal cannot be written. The samples are then in memory, and will be in the RRD files, but not in
    /// the journal.
    pub fn record<'a>(&self, batch: impl IntoIterator<Item = Arrival<'a>>) -> io::Result<Recorded> {
        let mut outcome = Recorded::default();
        let mut records = Vec::new();
        let mut accepted = Vec::new();
        let mut now = Timestamp::EPOCH;
        for Arrival { measurement, arrived, heard } in batch {
            now = now.max(arrived);
            let record = Record::of(measurement, arrived);
            if record.at.since(arrived) > FUTURE_MAX {
                outcome.future += 1;
                continue;
            }
            let probe = self.probe(&record, heard);
            match probe.credit(&record, heard, self.config.max_gap) {
                Ok(()) => {
                    records.push(record);
                    accepted.push(probe);
                }
                Err(Refused::Duplicate | Refused::SessionClosed) => outcome.duplicate += 1,
                Err(Refused::ConflictingPublisher) => outcome.conflicting += 1,
            }
        }
        let appended = self.journal.lock().append(&records, now);
        for (record, probe) in records.iter().zip(&accepted) {
            match probe.keep(record, self.config.max_gap) {
                Verdict::Kept => outcome.recorded += 1,
                Verdict::Late => outcome.late += 1,
                Verdict::DroppedOldest => {
                    outcome.recorded += 1;
                    self.samples_dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        self.measurements.lock().add(&outcome);
        if appended.is_err() {
            self.journal_failures.fetch_add(1, Ordering::Relaxed);
        }
        appended.map(|()| outcome)
    }

    /// Does what is due at `now`, on the clock of [`Arrival::heard`]: writes the files of some probes, so that all
    /// are written once in a flush interval, and syncs the journal. Call it about once a second, from one thread.
    pub fn tick(&self, now: Duration) {
        let mut upkeep = self.upkeep.lock();
        if now.saturating_sub(upkeep.synced) >= SYNC_INTERVAL {
            upkeep.synced = now;
            let file = self.journal.lock().sync_handle();
            if let Err(error) = file.sync_data() {
                tracing::warn!(%error, "the journal could not be synced");
            }
        }
        let end = self.journal.lock().end();
        upkeep.marks.push_back((now, end));
        let interval = self.config.flush_interval;
        let due: Vec<_> =
            self.probes.read().values().filter(|probe| probe.is_due(now, interval)).cloned().collect();
        for probe in due {
            if let Err(error) = self.flush_probe(&probe) {
                if upkeep.failed.is_none() {
                    tracing::warn!(error = %Chain(&error), "history waits to be written");
                }
                upkeep.failed = Some(now);
            }
        }
        // Whatever arrived more than an interval ago has been written since, unless writing failed.
        let mut written = None;
        while let Some((at, position)) = upkeep.marks.front().copied() {
            if now.saturating_sub(at) <= interval {
                break;
            }
            written = Some(position);
            upkeep.marks.pop_front();
        }
        if upkeep.failed.is_some_and(|failed| now.saturating_sub(failed) > 2 * interval) {
            upkeep.failed = None;
            tracing::info!("history is written again");
        }
        if let Some(position) = written.filter(|_| upkeep.failed.is_none())
            && now.saturating_sub(upkeep.committed) >= interval
        {
            upkeep.committed = now;
            self.commit(position);
        }
    }

    /// Writes all files and syncs the journal; says whether that went well. The next process reads the end of the
    /// journal again all the same: to know that files survive a power failure, a whole file system must be synced, for
    /// which nobody waits at a stop.
    pub fn flush_all(&self) -> bool {
        self.flush_within(Duration::MAX)
    }

    /// As [`History::flush_all`], but begins no more files after `limit`: what is left is read from the journal when
    /// the next process starts.
    pub fn flush_within(&self, limit: Duration) -> bool {
        let begun = Instant::now();
        let probes: Vec<_> = self.probes.read().values().cloned().collect();
        let mut flushed = true;
        for probe in probes {
            if begun.elapsed() >= limit {
                flushed = false;
                break;
            }
            if let Err(error) = self.flush_probe(&probe) {
                if flushed {
                    tracing::warn!(error = %Chain(&error), "history is not all written");
                }
                flushed = false;
            }
        }
        let file = self.journal.lock().sync_handle();
        if let Err(error) = file.sync_data() {
            tracing::warn!(%error, "the journal could not be synced");
            flushed = false;
        }
        flushed
    }

    /// Running totals.
    pub fn counters(&self) -> HistoryCounters {
        let journal = self.journal.lock();
        HistoryCounters {
            measurements: *self.measurements.lock(),
            journal_failures: self.journal_failures.load(Ordering::Relaxed),
            journal_bytes: journal.bytes(),
            journal_segments_dropped: journal.segments_dropped(),
            flush_failures: self.flush_failures.load(Ordering::Relaxed),
            samples_dropped: self.samples_dropped.load(Ordering::Relaxed),
            files_set_aside: self.files_set_aside.load(Ordering::Relaxed),
            files_ahead: self.files_ahead.load(Ordering::Relaxed),
            probes: self.probes.read().len() as u64,
            orphan_files: self.orphan_files.load(Ordering::Relaxed),
        }
    }

    /// Notes that everything before `position` is in the files, and on the disk.
    fn commit(&self, position: Position) {
        let saved = std::fs::File::open(&self.rrd_directory)
            .and_then(|directory| syncfs(directory).map_err(io::Error::from))
            .and_then(|()| journal::save_position(&self.journal_directory, READER, position));
        if let Err(error) = saved {
            tracing::warn!(%error, "cannot note how far the journal was read; after a crash more of it is read again");
        }
    }

    /// The probe, which is written down when it is new.
    fn probe(&self, record: &Record, heard: Duration) -> Arc<Probe> {
        let id = &record.probe;
        if let Some(probe) = self.probes.read().get(id) {
            return Arc::clone(probe);
        }
        let mut probes = self.probes.write();
        if let Some(probe) = probes.get(id) {
            return Arc::clone(probe);
        }
        let is_orphan = store::power_path(&self.rrd_directory, store::file_stem(id)).exists();
        let since = (!is_orphan).then(|| probe::first_second(record));
        let known = Known { probe: id.clone(), since };
        if is_orphan {
            _ = self
                .orphan_files
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1));
        }
        if let Err(error) = self.index.lock().add(&known) {
            tracing::warn!(probe = %id, %error, "cannot write down a new probe");
        }
        let probe = Arc::new(Probe::new(known, heard));
        probes.insert(id.clone(), Arc::clone(&probe));
        probe
    }
}

#[cfg(test)]
mod tests;
