//! Rows made again, put into the files of a probe or a group.

use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Timestamp, Watts};
use parking_lot::Mutex;

use super::super::History;
use super::super::groups::{GroupFold, record_of};
use super::super::probe::{ProbeFiles, SAMPLES_MANY, Which};
use super::Rework;
use super::around::rows_begin;
use crate::journal::{Credited, Position};
use crate::rrd::{self, Rrd, RrdFileError};
use crate::store::Known;

impl History {
    /// Makes the rows of a probe again; all that its files have received up to `end` has been read by now. Hands back
    /// what has to wait for the next tick.
    pub(super) fn end_rework(&self, rework: Rework, end: Position) -> Result<Option<Rework>, RrdFileError> {
        match &self.fold {
            Some(fold) => self.end_rework_of_group(fold, rework, end),
            None => self.end_rework_of_probe(rework).map(|()| None),
        }
    }

    /// The same for a group. Of seconds in which nobody in it was known its file has no rows. Where the file ends in them,
    /// what is known of them by now follows, as if it had been written in time.
    fn end_rework_of_group(
        &self,
        fold: &Mutex<GroupFold>,
        mut rework: Rework,
        end: Position,
    ) -> Result<Option<Rework>, RrdFileError> {
        let probe = Arc::clone(&rework.probe);
        // What is written meanwhile would be in front of it.
        let follows = !self.following(fold, &rework)?.is_empty();
        let mut reading = follows.then(|| self.reading.lock());
        if reading.as_ref().is_some_and(|reading| reading.reader.position() != end) {
            return Ok(Some(rework));
        }
        let following = if follows { self.following(fold, &rework)? } else { Vec::new() };
        self.flush_probe(&probe)?;
        let until = self.last_written(&probe)?;
        // Rows of groups have been written in order, and both up to the same.
        for rows in [&mut rework.samples, &mut rework.as_it_was] {
            rows.retain(|(at, _)| until.is_some_and(|until| *at <= until));
        }
        if until.is_some_and(|until| until.seconds() > rework.from) {
            self.make_rows(&rework)?;
        }
        if let Some(reading) = &mut reading {
            self.keep(&following, reading);
        }
        drop(reading);
        // At once, as the others: a process that starts again does not take late samples.
        self.flush_probe(&probe)?;
        Ok(None)
    }

    /// The rows of a group after all that its file has received, up to the second to which others have been written.
    fn following(&self, fold: &Mutex<GroupFold>, rework: &Rework) -> Result<Vec<Credited>, RrdFileError> {
        let Rework { probe, samples, .. } = rework;
        if probe.has_behind() {
            return Ok(Vec::new());
        }
        let (after, open_from) = (self.last_written(probe)?, fold.lock().open_from());
        let follows = |at: Timestamp| after.is_none_or(|after| at > after) && at.seconds() <= open_from;
        let rows = samples.iter().filter(|(at, _)| follows(*at));
        Ok(rows.map(|(at, power)| record_of(&probe.id, *at, *power)).collect())
    }

    /// The newest that the file of a probe has received, from an earlier process where this one wrote nothing; `None`
    /// where there is no file.
    fn last_written(&self, probe: &ProbeFiles) -> Result<Option<Timestamp>, RrdFileError> {
        if let Some((newest, _)) = probe.newest() {
            return Ok(Some(newest));
        }
        let _files = probe.files.lock();
        match rrd::read(&self.path(probe, Which::Power)) {
            Ok(rrd) => Ok(Some(rrd.last_update())),
            Err(RrdFileError::Io(_, error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same for one that is no group.
    fn end_rework_of_probe(&self, mut rework: Rework) -> Result<(), RrdFileError> {
        let Rework { probe, late, around, from, row_seconds, samples, as_it_was } = &mut rework;
        self.flush_probe(probe)?;
        let Some((until, _)) = probe.newest() else { return Ok(()) };
        let touched = late.iter().min().map_or(*from, |first| around.touched(*first));
        if probe.has_behind() || rows_begin(touched, *row_seconds, until) < *from {
            // Next time: what is behind is late or in the files by then, and a longer row that has ended meanwhile is
            // made again as well.
            self.note_late(&probe.id, late);
            return Ok(());
        }
        let not_yet = {
            let mut noted = self.late.lock();
            late.extend(noted.take(&probe.id, |at| around.touched(at) >= *from && at < until));
            noted.of(&probe.id).to_vec()
        };
        samples.sort_by_key(|(at, _)| *at);
        samples.retain(|(at, _)| *at <= until && !not_yet.contains(at));
        late.sort_unstable();
        let is_late = |at: Timestamp| late.binary_search(&at).is_ok();
        as_it_was.extend(samples.iter().filter(|(at, _)| !is_late(*at)));
        self.make_rows(&rework)
    }

    /// Puts into the files of a probe what differs between its samples and those as they were.
    fn make_rows(&self, rework: &Rework) -> Result<(), RrdFileError> {
        let Rework { probe, late, from, samples, as_it_was, .. } = rework;
        let max_gap = self.config.gaps.of(&probe.id);
        let _files = probe.files.lock();
        let mut is_made = true;
        for which in [Which::Peaks, Which::Power] {
            let path = self.path(probe, which);
            let mut rrd = match rrd::read(&path) {
                Ok(rrd) => rrd,
                // It is made again of all that the journal has.
                Err(RrdFileError::Unusable(..)) => continue,
                Err(error) => return Err(error),
            };
            let file_of = |samples: &[(Timestamp, Watts)]| file_of(probe, which, *from, samples, max_gap);
            if rrd.rework(*from, &file_of(as_it_was), &file_of(samples)) {
                rrd::create(&path, &rrd)?;
            } else {
                is_made = false;
            }
        }
        if !is_made {
            self.leave_out(late.len());
        }
        Ok(())
    }
}

/// An empty file that begins at `from`, updated with `samples` in order of their stamps.
fn file_of(
    probe: &ProbeFiles,
    which: Which,
    from: u64,
    samples: &[(Timestamp, Watts)],
    max_gap: Duration,
) -> Rrd {
    let known = Known { probe: probe.id.clone(), since: probe.since };
    let scratch = ProbeFiles::new(known, probe.number);
    let (mut rrd, mut is_first) = (which.empty(from), true);
    for samples in samples.chunks(SAMPLES_MANY) {
        for (at, power) in samples {
            _ = scratch.keep(&record_of(&probe.id, *at, *power), 0, max_gap);
        }
        let (mut samples, gone) = scratch.waiting();
        // What held at its begin is not known, unless a sample from before shows it.
        if let Some(first) = samples.first_mut().filter(|_| std::mem::take(&mut is_first)) {
            first.is_after_loss |= first.at.seconds() >= from;
        }
        // A file of our own making takes any sample.
        _ = which.apply(&mut rrd, &samples, max_gap);
        scratch.written(samples.len(), gone);
    }
    rrd
}
