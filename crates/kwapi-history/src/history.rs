//! The history of all probes: the journal's reader that makes RRD files, and what pages and graphs request of them.
//!
//! A sample is taken from the journal as soon as it is there, then kept in memory until its probe's files are next
//! written, at most `flush_interval` later; whatever is requested in between includes it. After a crash the journal is
//! read again from where all was known to be written: a sample its file already has is passed over by the file's last
//! update.

mod ahead;
mod counters;
mod files;
mod flusher;
mod follower;
mod groups;
mod late;
mod marks;
mod probe;
mod read;
mod rebuild;
mod rework;
mod schedule;
mod waiting;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kwapi_core::{Gaps, Pattern, ProbeId, Succession, Timestamp, chain};
use parking_lot::{Mutex, RwLock};
use rustix::fs::syncfs;

use crate::journal::{Bookmark, Journal, Need, OpenError, Position, SYNC_INTERVAL};
use crate::store::{self, DirectoryLock, Index};

pub use counters::HistoryCounters;
pub use flusher::Flusher;
pub use groups::{Groups, GroupsConfig, GroupsCounters};
pub use read::Latest;

use counters::Counts;
use follower::JournalFollower;
use groups::GroupFold;
use late::Late;
use marks::ReadMarks;
use probe::{ProbeFiles, Which};
use rework::Pass;
use schedule::Schedule;

/// The journal's reader that writes RRD files of probes…
const READER: &str = "rrd";
/// …and of groups.
const GROUPS_READER: &str = "groups";

/// Where RRD files are kept, and how.
#[derive(Clone, Debug)]
pub struct HistoryConfig {
    /// Where the RRD files are, perhaps a directory the original wrote; `rrd` in the journal's directory by default.
    pub rrd_directory: Option<PathBuf>,
    /// How far RRD files may trail.
    pub flush_interval: Duration,
    /// Samples of a probe that are further apart have unknown time between them.
    pub gaps: Gaps,
    /// Which probes of the journal have files; none named: all.
    pub probes: Vec<Pattern>,
}

impl Default for HistoryConfig {
    /// Files at most 120 s behind, unknown time after 60 s.
    fn default() -> Self {
        Self {
            rrd_directory: None,
            flush_interval: Duration::from_secs(120),
            gaps: Gaps::default(),
            probes: Vec::new(),
        }
    }
}

/// The open history over a journal. All its methods may be called from several threads.
#[derive(Debug)]
pub struct History {
    config: HistoryConfig,
    rrd_directory: PathBuf,
    journal: Journal,
    reading: Mutex<JournalFollower>,
    bookmark: Bookmark,
    /// What makes groups of the journal's records, where the files are those of groups.
    fold: Option<Mutex<GroupFold>>,
    probes: RwLock<HashMap<ProbeId, Arc<ProbeFiles>>>,
    schedule: Mutex<Schedule>,
    index: Mutex<Index>,
    upkeep: Mutex<Upkeep>,
    counts: Counts,
    index_lines_damaged: u64,
    /// How many stretches of the journal were lost.
    losses: AtomicU64,
    waiting_bytes: AtomicUsize,
    /// Whether samples of a probe are long before what its files have.
    has_behind: AtomicBool,
    /// The rows that are being made again, between two ticks.
    pass: Mutex<Option<Pass>>,
    /// Taken last of all.
    late: Mutex<Late>,
    /// Where the journal ended when this process began: what came late before may be in the files of groups.
    late_from: Position,
    /// Whether all before that was read.
    has_read_past: AtomicBool,
    /// Files that can take no samples, until they are made again.
    damaged: Mutex<HashSet<(ProbeId, Which)>>,
    /// Probes of which it was reported that their file cannot be read.
    unreadable: Mutex<HashSet<ProbeId>>,
    /// Of RRD files that are not in the journal's directory.
    lock: Mutex<Option<DirectoryLock>>,
}

/// What [`History::tick`] remembers.
#[derive(Debug, Default)]
struct Upkeep {
    synced: Duration,
    committed: Duration,
    /// When files could last not be written, and why.
    failed: Option<(Duration, String)>,
    /// Whether how far the journal was read could last not be noted.
    has_commit_failed: bool,
    /// What files that are ahead of the clock wait for.
    ahead: Option<String>,
    /// Why the journal could last not be read.
    unread: Option<String>,
    /// How far the journal had been read, before what is known to be written.
    marks: ReadMarks,
}

impl Upkeep {
    /// Writes the files of `probes`. Returns whether that went well.
    fn flush<'a>(
        &mut self,
        history: &History,
        now: Duration,
        probes: impl Iterator<Item = &'a Arc<ProbeFiles>>,
    ) -> bool {
        let flushed = probes.map(|probe| history.flush_probe(probe));
        let failed =
            flushed.chain(std::iter::once_with(|| history.mend_damaged())).filter_map(Result::err).last();
        let Some(error) = failed else { return true };
        let error = chain(&error);
        if self.failed.is_none() {
            tracing::warn!(%error, "cannot write RRD files; retrying");
        }
        self.failed = Some((now, error));
        false
    }
}

impl History {
    /// Opens the RRD files and takes from the journal what the last process had not written to them.
    ///
    /// # Errors
    /// When the directory of RRD files belongs to another process or cannot be read.
    pub fn open(config: HistoryConfig, journal: &Journal) -> Result<Self, OpenError> {
        let history = Self::open_unread(config, journal)?;
        history.catch_up();
        Ok(history)
    }

    /// Opens the RRD files. What the last process had not written to them is read from the journal once a thread runs
    /// ([`Flusher::start`]): of a hundred thousand probes that takes seconds, for which nobody waits.
    ///
    /// # Errors
    /// As [`History::open`].
    pub fn open_unread(config: HistoryConfig, journal: &Journal) -> Result<Self, OpenError> {
        Self::open_as(config, journal, None)
    }

    /// Opens the RRD files, of groups where there is what makes them of the journal.
    fn open_as(config: HistoryConfig, journal: &Journal, fold: Option<GroupFold>) -> Result<Self, OpenError> {
        let rrd_directory = config.rrd_directory.clone().unwrap_or_else(|| journal.home().join("rrd"));
        let failed = |error| OpenError::Io(rrd_directory.clone(), error);
        std::fs::create_dir_all(&rrd_directory).map_err(failed)?;
        let lock =
            if rrd_directory == journal.home() { None } else { Some(DirectoryLock::take(&rrd_directory)?) };
        let (index, found) = Index::open(&rrd_directory).map_err(failed)?;
        let stems: HashSet<_> = found.known.iter().map(|known| store::file_stem(&known.probe)).collect();
        let orphan_files = store::orphans(&rrd_directory, &stems).map_err(failed)?;
        let numbered = found.known.into_iter().zip(0..);
        let known: Vec<_> =
            numbered.map(|(known, number)| Arc::new(ProbeFiles::new(known, number))).collect();
        let mut schedule = Schedule::new(config.flush_interval);
        for probe in &known {
            schedule.add(probe);
        }
        let probes = known.iter().map(|probe| (probe.id.clone(), Arc::clone(probe))).collect();
        let name = if fold.is_some() { GROUPS_READER } else { READER };
        let reader = journal.reader(name, Need::Required);
        Ok(Self {
            config,
            rrd_directory,
            journal: journal.clone(),
            reading: Mutex::new(JournalFollower { reader, known, succession: Succession::default() }),
            bookmark: journal.bookmark(name, Need::Required),
            fold: fold.map(Mutex::new),
            probes: RwLock::new(probes),
            schedule: Mutex::new(schedule),
            index: Mutex::new(index),
            upkeep: Mutex::default(),
            counts: Counts { orphan_files: AtomicU64::new(orphan_files as u64), ..Counts::default() },
            index_lines_damaged: found.lines_damaged,
            losses: AtomicU64::new(0),
            waiting_bytes: AtomicUsize::new(0),
            has_behind: AtomicBool::new(false),
            pass: Mutex::default(),
            late: Mutex::default(),
            late_from: journal.end(),
            has_read_past: AtomicBool::new(false),
            damaged: Mutex::default(),
            unreadable: Mutex::default(),
            lock: Mutex::new(lock),
        })
    }

    /// Does what is due at `now`, on the process's monotonic clock: writes the files of some probes, so that all are
    /// written once in a flush interval, and syncs the journal. Call it about once a second, from one thread.
    pub fn tick(&self, now: Duration, wall: Timestamp) {
        // Before the lock: it reads a piece of the journal, and no query for trouble waits for that.
        self.look_after_late(now);
        let (read, reached) = {
            // Who has it keeps what it has returned: all of that waits for the files, or is in them.
            let reading = self.reading.lock();
            (reading.reader.position(), self.fold.as_ref().map(|fold| fold.lock().reached()))
        };
        let has_completed = |earlier| reached.is_none_or(|reached| reached.has_completed(earlier));
        let mut upkeep = self.upkeep.lock();
        // That of the probes is enough for the one journal.
        if self.fold.is_none() && now.saturating_sub(upkeep.synced) >= SYNC_INTERVAL {
            upkeep.synced = now;
            // A failure shows in the journal's trouble and counters.
            _ = self.journal.sync(wall);
        }
        self.index.lock().write();
        if !self.may_write() {
            return;
        }
        upkeep.marks.note(now, read, reached);
        let interval = self.config.flush_interval;
        let due = self.schedule.lock().due(now);
        upkeep.flush(self, now, due.iter());
        let looked_after = self.look_after_behind(now);
        if let (Some(waits), None) = (&looked_after.waits, &upkeep.ahead) {
            tracing::error!("{waits}");
        }
        upkeep.ahead = looked_after.waits;
        if looked_after.rewound > 0 && upkeep.ahead.is_none() {
            // So that a crash from here on does not put the time that was ahead into the files again.
            let all: Vec<_> = self.probes.read().values().cloned().collect();
            // What was read is not all in the files: groups write a second two minutes later, and another file may just
            // have been found ahead, whose samples wait.
            let is_written = upkeep.flush(self, now, all.iter()) && !self.has_behind.load(Ordering::Relaxed);
            let completed = if is_written { upkeep.marks.take_completed(has_completed) } else { None };
            if let Some(position) = completed {
                upkeep.committed = now;
                self.commit(position, &mut upkeep.has_commit_failed);
            }
        }
        // Whatever has waited for more than an interval has been written since, unless writing failed.
        let written = upkeep.marks.take_written(now, interval, has_completed);
        if upkeep.failed.as_ref().is_some_and(|(failed, _)| now.saturating_sub(*failed) > 2 * interval) {
            upkeep.failed = None;
            tracing::info!("RRD files are writable again");
        }
        if let Some(position) = written.filter(|_| upkeep.failed.is_none() && upkeep.ahead.is_none())
            && now.saturating_sub(upkeep.committed) >= interval
        {
            upkeep.committed = now;
            self.commit(position, &mut upkeep.has_commit_failed);
        }
    }

    /// Whether files may be written: by the first samples that are, it is decided whether a file is ahead of the clock,
    /// so that all of the past must have been read, as far as there is room for it.
    fn may_write(&self) -> bool {
        self.has_read_past.load(Ordering::Relaxed) || self.is_full()
    }

    /// Writes all files; returns whether that went well. The next process reads the end of the journal again all the
    /// same: to be sure that files survive a power failure, a whole file system must be synced, for which nobody waits
    /// at a stop.
    pub fn flush_all(&self) -> bool {
        self.flush_within(Duration::MAX)
    }

    /// As [`History::flush_all`], but begins no more files after `limit`: what is left is read from the journal when
    /// the next process starts.
    pub(crate) fn flush_within(&self, limit: Duration) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < limit && self.take(Duration::ZERO) {}
        let probes: Vec<_> = self.probes.read().values().cloned().collect();
        let mut flushed = true;
        for probe in probes {
            if begun.elapsed() >= limit {
                return false;
            }
            if let Err(error) = self.flush_probe(&probe) {
                if flushed {
                    tracing::warn!(error = %chain(&error), "not all RRD files were written");
                }
                flushed = false;
            }
        }
        // Reading the journal again takes its time: who has none leaves a damaged file to the next process.
        let is_mended =
            if limit == Duration::MAX { self.mend_damaged().is_ok() } else { self.damaged.lock().is_empty() };
        flushed && is_mended
    }

    /// Takes what is in the journal now, writes all files and notes that they have it: for who does not call
    /// [`History::tick`]. Returns whether that went well; if not, the journal keeps the rest.
    pub fn settle(&self) -> bool {
        self.catch_up();
        let read = self.reading.lock().reader.position();
        if !self.flush_all() || self.has_behind.load(Ordering::Relaxed) {
            return false;
        }
        self.commit(read, &mut self.upkeep.lock().has_commit_failed);
        true
    }

    /// Running totals.
    pub fn counters(&self) -> HistoryCounters {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.counts;
        HistoryCounters {
            recorded: count(&counts.recorded),
            late: count(&counts.late),
            late_left_out: count(&counts.late_left_out),
            late_bytes_read: count(&counts.late_bytes_read),
            losses: count(&counts.losses),
            flush_failures: count(&counts.flush_failures),
            read_failures: count(&counts.read_failures),
            samples_dropped: count(&counts.samples_dropped),
            files_set_aside: count(&counts.files_set_aside),
            files_ahead: count(&counts.files_ahead),
            files_rewound: count(&counts.files_rewound),
            directories_removed: count(&counts.directories_removed),
            probes: self.probes.read().len() as u64,
            orphan_files: count(&counts.orphan_files),
            index_lines_damaged: self.index_lines_damaged,
            waiting_bytes: self.waiting_bytes.load(Ordering::Relaxed) as u64,
        }
    }

    /// What keeps RRD files from being written, or the journal from being read, for readiness checks.
    pub fn trouble(&self) -> Option<String> {
        let upkeep = self.upkeep.lock();
        let failed = upkeep.failed.as_ref().map(|(_, error)| format!("cannot write RRD files: {error}"));
        failed.or_else(|| upkeep.unread.clone()).or_else(|| upkeep.ahead.clone())
    }

    /// The journal it reads.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Notes that everything before `position` is in the files, and on the disk.
    fn commit(&self, position: Position, has_failed: &mut bool) {
        let saved = std::fs::File::open(&self.rrd_directory)
            .and_then(|directory| syncfs(directory).map_err(io::Error::from))
            .and_then(|()| self.bookmark.commit(position));
        let had_failed = std::mem::replace(has_failed, saved.is_err());
        if let Err(error) = saved
            && !had_failed
        {
            tracing::warn!(%error, "cannot save the journal position; a crash would replay more of the journal");
        }
    }

    /// Takes the lock of a directory that was made again.
    fn relock(&self) {
        let mut lock = self.lock.lock();
        if lock.take().is_some() {
            *lock = DirectoryLock::take(&self.rrd_directory)
                .inspect_err(|error| tracing::error!(%error, "the RRD directory is no longer locked"))
                .ok();
        }
    }
}

#[cfg(test)]
mod tests;
