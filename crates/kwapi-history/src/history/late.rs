//! Samples that came after a newer one of their probe was written: the rows that they touch are made again from the journal.
//!
//! A file takes nothing older than its last update. So the time around late samples is told twice to an empty file, as it
//! came and in order, and what differs is put into the probe's own.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kwapi_core::{ProbeId, Timestamp, chain};

use super::History;
use super::probe::{ProbeFiles, SAMPLES_MANY, Which};
use crate::journal::{Credited, Position};
use crate::rrd::{self, Rrd, RrdFileError};
use crate::store::Known;

/// Late samples that wait for their rows, of all probes. Full: further ones are in the journal alone.
const LATE_MAX: usize = 1 << 16;
/// Probes whose rows are made again at a time: of each some hours of samples may be in memory.
const PROBES_MAX: usize = 16;
/// Samples of a probe that are read again at a time. More: its late ones are in the journal alone.
const SAMPLES_MAX: usize = 1 << 17;
/// Rows longer than this that have ended stand as they are: a late sample is a small part of a week.
const ROW_SECONDS_MAX: u64 = 21_600;
/// Places in the journal that are remembered: a minute apart, of a day.
const MARKS_MAX: usize = 1_440;

/// Late samples, and where in the journal those of some time begin.
#[derive(Debug, Default)]
pub(super) struct Late {
    of: HashMap<ProbeId, Vec<Timestamp>>,
    count: usize,
    /// Up to which minute samples had come, and the place in the journal then; in order.
    marks: std::collections::VecDeque<(u64, Position)>,
    made_again: Duration,
}

impl Late {
    /// Notes late samples of a probe.
    pub(super) fn note(&mut self, probe: &ProbeId, stamps: &[Timestamp]) {
        if self.count.saturating_add(stamps.len()) <= LATE_MAX {
            self.of.entry(probe.clone()).or_default().extend(stamps);
            self.count += stamps.len();
        }
    }

    /// Forgets all late samples: of those that are read again at a start nobody knows whether they are in the files.
    pub(super) fn forget(&mut self) {
        self.of.clear();
        self.count = 0;
    }

    /// Notes that samples up to `newest` lie before `position` in the journal.
    pub(super) fn mark(&mut self, newest: Timestamp, position: Position) {
        let minute = newest.seconds() / 60;
        if self.marks.back().is_some_and(|(last, _)| *last >= minute) {
            return;
        }
        if self.marks.len() >= MARKS_MAX {
            self.marks.pop_front();
        }
        self.marks.push_back((minute, position));
    }

    /// A place in the journal before all samples stamped at `second` or later, but for those that came early.
    fn place_of(&self, second: u64) -> Position {
        let before = self.marks.iter().take_while(|(minute, _)| minute.saturating_add(2) * 60 <= second);
        before.last().map_or_else(Position::default, |(_, position)| *position)
    }

    fn take(&mut self, most: usize) -> Vec<(ProbeId, Vec<Timestamp>)> {
        let ids: Vec<ProbeId> = self.of.keys().take(most).cloned().collect();
        let taken: Vec<_> = ids.into_iter().filter_map(|id| self.of.remove_entry(&id)).collect();
        self.count -= taken.iter().map(|(_, stamps)| stamps.len()).sum::<usize>();
        taken
    }
}

/// A probe whose rows are made again.
struct Rework {
    probe: Arc<ProbeFiles>,
    late: Vec<Timestamp>,
    /// From when on rows are made again.
    from: u64,
    until: Timestamp,
    records: Vec<Credited>,
}

impl History {
    /// Makes rows again that late samples have touched, if it is time.
    pub(super) fn look_after_late(&self, now: Duration) {
        let (taken, place) = {
            let mut late = self.late.lock();
            if late.of.is_empty() || now.saturating_sub(late.made_again) < self.config.flush_interval {
                return;
            }
            late.made_again = now;
            let taken = late.take(PROBES_MAX);
            let oldest = taken.iter().flat_map(|(_, stamps)| stamps).min().map_or(0, |at| at.seconds());
            (taken, oldest)
        };
        self.rework(taken, place);
    }

    /// Makes all rows again that late samples have touched.
    #[cfg(test)]
    pub(super) fn rework_all(&self) {
        let taken = self.late.lock().take(usize::MAX);
        let oldest = taken.iter().flat_map(|(_, stamps)| stamps).min().map_or(0, |at| at.seconds());
        self.rework(taken, oldest);
    }

    fn rework(&self, late: Vec<(ProbeId, Vec<Timestamp>)>, oldest: u64) {
        let mut reworks = HashMap::new();
        for (id, late) in late {
            let Some(probe) = self.probes.read().get(&id).cloned() else { continue };
            match self.begin_rework(probe, late) {
                Ok(Some(rework)) => _ = reworks.insert(id, rework),
                Ok(None) => {}
                Err(error) => self.note_failed_rework(&id, &error),
            }
        }
        let earliest = reworks.values().map(|rework| rework.from).min().unwrap_or(oldest);
        let beside = 2 * self.config.max_gap.as_secs() + 1;
        let place = self.late.lock().place_of(earliest.saturating_sub(beside));
        let replayed = self.journal.replay(place, |record| {
            if let Some(rework) = reworks.get_mut(&record.probe) {
                rework.take(record, beside);
            }
        });
        if let Err(error) = replayed {
            tracing::warn!(%error, "cannot read the journal; rows that late measurements touch are left as they are");
            return;
        }
        for (id, rework) in reworks {
            if let Err(error) = self.end_rework(rework) {
                self.note_failed_rework(&id, &error);
            }
        }
    }

    fn note_failed_rework(&self, probe: &ProbeId, error: &RrdFileError) {
        self.counts.flush_failures.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%probe, error = %chain(error), "cannot write late measurements into an RRD file");
    }

    /// Says from when on the rows of a probe are made again; `None` where its files are to be made again otherwise.
    fn begin_rework(
        &self,
        probe: Arc<ProbeFiles>,
        late: Vec<Timestamp>,
    ) -> Result<Option<Rework>, RrdFileError> {
        self.flush_probe(&probe)?;
        let read = {
            let _files = probe.files.lock();
            rrd::read(&self.path(&probe, Which::Power))
        };
        let rrd = match read {
            Ok(rrd) => rrd,
            Err(RrdFileError::Unusable(..)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let until = rrd.last_update();
        let late: Vec<Timestamp> = late.into_iter().filter(|at| *at < until).collect();
        let Some(first) = late.iter().min() else { return Ok(None) };
        // It may have held since one gap before.
        let touched = first.seconds().saturating_sub(self.config.max_gap.as_secs() + 1);
        let from = rrd.rows_begin(touched, ROW_SECONDS_MAX);
        Ok(Some(Rework { probe, late, from, until, records: Vec::new() }))
    }

    fn end_rework(&self, rework: Rework) -> Result<(), RrdFileError> {
        let Rework { probe, mut late, from, until, mut records } = rework;
        if records.len() >= SAMPLES_MAX {
            return Ok(());
        }
        records.sort_by_key(|record| record.at);
        late.sort_unstable();
        let max_gap = self.config.max_gap;
        let is_late = |record: &&Credited| late.binary_search(&record.at).is_ok();
        let as_it_was: Vec<&Credited> = records.iter().filter(|record| !is_late(record)).collect();
        let in_order: Vec<&Credited> = records.iter().collect();
        let _files = probe.files.lock();
        for which in [Which::Peaks, Which::Power] {
            let path = self.path(&probe, which);
            let mut rrd = rrd::read(&path)?;
            let told = |records: &[&Credited]| told(&probe, which, from, records, max_gap);
            if rrd.rework(from, &told(&as_it_was), &told(&in_order)) {
                rrd::create(&path, &rrd)?;
            } else {
                tracing::debug!(probe = %probe.id, ?until, "rows that late measurements touch are left as they are");
            }
        }
        Ok(())
    }
}

impl Rework {
    fn take(&mut self, record: &Credited, beside: u64) {
        let is_of_time = record.at.seconds() >= self.from.saturating_sub(beside) && record.at <= self.until;
        if is_of_time && self.records.len() < SAMPLES_MAX {
            self.records.push(record.clone());
        }
    }
}

/// An empty file that begins at `from`, told `records` in order of their stamps.
fn told(probe: &ProbeFiles, which: Which, from: u64, records: &[&Credited], max_gap: Duration) -> Rrd {
    let known = Known { probe: probe.id.clone(), since: probe.since };
    let scratch = ProbeFiles::new(known, probe.number);
    let (mut rrd, mut is_first) = (which.empty(from), true);
    for records in records.chunks(SAMPLES_MANY) {
        for record in records {
            _ = scratch.keep(record, 0, max_gap);
        }
        let (mut samples, gone) = scratch.waiting();
        // What held at its begin is not known, unless a sample from before tells.
        if let Some(first) = samples.first_mut().filter(|_| std::mem::take(&mut is_first)) {
            first.is_after_loss |= first.at.seconds() >= from;
        }
        // A file of our own making takes any sample.
        _ = which.apply(&mut rrd, &samples, max_gap);
        scratch.written(samples.len(), gone);
    }
    rrd
}
