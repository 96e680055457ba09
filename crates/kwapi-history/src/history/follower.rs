//! From the journal to what waits for the files.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kwapi_core::{ProbeId, Succession};

use super::History;
use super::probe::{self, ProbeFiles, Verdict};
use crate::journal::{Credited, Delivery, Lost, Reader};
use crate::store::{self, Known};

/// What may wait for its files in memory, of all probes. Full: the journal is not read on until some are written.
const WAITING_BYTES_MAX: usize = 256 << 20;

/// The journal as it is read, and whose records come in which order.
#[derive(Debug)]
pub(super) struct JournalFollower {
    pub(super) reader: Reader,
    /// The probes there are, each in the place of its number.
    pub(super) known: Vec<Arc<ProbeFiles>>,
    pub(super) succession: Succession,
}

impl History {
    /// Takes all that is in the journal now.
    pub fn catch_up(&self) {
        while self.take(Duration::ZERO) {}
    }

    /// Takes what comes into the journal, for so long.
    pub(crate) fn follow(&self, limit: Duration) {
        let begun = Instant::now();
        loop {
            let left = limit.saturating_sub(begun.elapsed());
            self.take(left);
            if left.is_zero() {
                return;
            }
        }
    }

    /// Takes the next batch, waiting up to `timeout` for one. Returns whether there was one.
    pub(super) fn take(&self, timeout: Duration) -> bool {
        let mut reading = self.reading.lock();
        if self.is_full() {
            // Only files that are written make room. An append ends the wait, no more.
            drop(reading);
            self.journal.wait(timeout);
            return false;
        }
        match reading.reader.next(timeout) {
            Ok(None) => {
                self.has_read_past.store(true, Ordering::Relaxed);
                false
            }
            Ok(Some(Delivery::Records(records, end))) => {
                match &self.fold {
                    Some(fold) => {
                        let (rows, added) = {
                            let mut fold = fold.lock();
                            let rows = fold.take(&records);
                            if end <= self.late_from {
                                fold.forget_late();
                            }
                            (rows, fold.take_added())
                        };
                        for (id, since) in added {
                            self.register(&id, since, &mut reading);
                        }
                        self.keep(&rows, &mut reading);
                    }
                    None => self.keep(&records, &mut reading),
                }
                if end <= self.late_from {
                    self.forget_counts();
                } else {
                    self.has_read_past.store(true, Ordering::Relaxed);
                }
                if let Some(newest) = records.iter().map(|record| record.at).max() {
                    self.late.lock().mark(newest, end);
                }
                self.upkeep.lock().unread = None;
                true
            }
            Ok(Some(Delivery::Lost(lost))) => {
                self.lose(&lost);
                true
            }
            Err(error) => {
                drop(reading);
                let mut upkeep = self.upkeep.lock();
                if upkeep.unread.is_none() {
                    tracing::error!(%error, "cannot read the journal; graphs are not updated");
                }
                upkeep.unread = Some(format!("cannot read the journal: {error}"));
                drop(upkeep);
                self.journal.wait(timeout);
                false
            }
        }
    }

    /// Whether no more may wait for the files.
    pub(super) fn is_full(&self) -> bool {
        self.waiting_bytes.load(Ordering::Relaxed) > WAITING_BYTES_MAX
    }

    /// Forgets what was counted: an earlier process did, and it is unknown which of its late samples are in the files.
    fn forget_counts(&self) {
        self.late.lock().forget();
        for count in [&self.counts.recorded, &self.counts.late, &self.counts.late_left_out] {
            count.store(0, Ordering::Relaxed);
        }
    }

    /// Keeps records for their files.
    pub(super) fn keep(&self, records: &[Credited], reading: &mut JournalFollower) {
        let losses = self.losses.load(Ordering::Relaxed);
        let (mut recorded, mut late) = (0, 0);
        let mut many = Vec::new();
        let wanted = &self.config.probes;
        let is_wanted = |record: &&Credited| {
            wanted.is_empty() || wanted.iter().any(|pattern| pattern.matches(&record.probe))
        };
        for record in records.iter().filter(is_wanted) {
            let probe = self.probe(record, reading);
            let (verdict, [before, after]) = probe.keep(record, losses, self.config.gaps.of(&record.probe));
            if after != before {
                self.waiting_bytes.fetch_add(after, Ordering::Relaxed);
                self.waiting_bytes.fetch_sub(before, Ordering::Relaxed);
            }
            recorded += u64::from(verdict != Verdict::Late);
            match verdict {
                Verdict::Kept => {}
                Verdict::Many => many.push(probe),
                Verdict::Late => {
                    self.note_late(&record.probe, &[record.at]);
                    late += 1;
                }
                Verdict::Behind => {
                    if !self.has_behind.swap(true, Ordering::Relaxed) {
                        self.counts.files_ahead.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Verdict::Ahead(stamps) => {
                    self.note_late(&record.probe, &stamps);
                    late += stamps.len() as u64;
                }
                Verdict::Dropped(count) => {
                    self.counts.samples_dropped.fetch_add(count as u64, Ordering::Relaxed);
                }
            }
        }
        self.counts.recorded.fetch_add(recorded, Ordering::Relaxed);
        self.counts.late.fetch_add(late, Ordering::Relaxed);
        for probe in many {
            // A failure shows in the counters; the samples wait for the next turn.
            _ = self.flush_probe(&probe);
        }
    }

    fn lose(&self, lost: &Lost) {
        if let Some(fold) = &self.fold {
            fold.lock().lose();
        }
        self.losses.fetch_add(1, Ordering::Relaxed);
        self.counts.losses.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            cause = ?lost.cause, records = ?lost.records, after = ?lost.after, before = ?lost.before,
            "part of the journal is missing from the RRD files; recorded there as unknown"
        );
    }

    /// The probe, which is written down when it is new.
    fn probe(&self, record: &Credited, reading: &mut JournalFollower) -> Arc<ProbeFiles> {
        let guessed = reading.known.get(reading.succession.guess() as usize);
        let probe = match guessed.filter(|probe| probe.id == record.probe) {
            Some(probe) => Arc::clone(probe),
            None => self.find(record, reading),
        };
        reading.succession.note(probe.number);
        probe
    }

    /// The same where only its name identifies the probe.
    fn find(&self, record: &Credited, reading: &mut JournalFollower) -> Arc<ProbeFiles> {
        let id = &record.probe;
        if let Some(probe) = self.probes.read().get(id) {
            return Arc::clone(probe);
        }
        self.register(id, probe::first_second(record), reading)
    }

    /// Writes down a probe whose history begins at a Unix second, unless it is known or its file was there before.
    fn register(&self, id: &ProbeId, since: u64, reading: &mut JournalFollower) -> Arc<ProbeFiles> {
        if let Some(probe) = self.probes.read().get(id) {
            return Arc::clone(probe);
        }
        let is_orphan = store::power_path(&self.rrd_directory, store::file_stem(id)).exists();
        let since = (!is_orphan).then_some(since);
        let known = Known { probe: id.clone(), since };
        if is_orphan {
            let less = |count: u64| count.checked_sub(1);
            _ = self.counts.orphan_files.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
        self.index.lock().add(known.clone());
        let number = u32::try_from(reading.known.len()).unwrap_or(u32::MAX);
        let probe = Arc::new(ProbeFiles::new(known, number));
        reading.known.push(Arc::clone(&probe));
        self.schedule.lock().add(&probe);
        self.probes.write().insert(id.clone(), Arc::clone(&probe));
        probe
    }
}
