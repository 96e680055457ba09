//! What is done to files that are there: small ones of an hour that is over become one, and old hours are removed.

use std::fs::File;
use std::io;
use std::time::Duration;

use kwapi_core::{ProbeId, Timestamp};

use super::Samples;
use super::buffer::SampleBuffer;
use super::files::SamplePart;
use super::sample::Hour;
use super::table::{SampleColumns, count, decode};
use crate::columns::Wanted;
use crate::tree::{MERGE_RETRY, MergeError};

const HOUR_MS: u64 = 3_600_000;
/// The parts of an hour are merged so long after its end: most late messages have come by then.
const MERGED_AFTER_MS: u64 = 15 * 60_000;
/// Rows of a file that was merged: no more are in memory at once.
const MERGED_ROWS_MAX: u64 = 1 << 20;
/// So many small parts are merged with a large one.
const SMALL_PARTS: usize = 16;

/// Whether an hour is over, and most of what comes late has come.
pub(super) fn is_over(hour: Hour, wall: Timestamp) -> bool {
    let end = hour.saturating_add(1).saturating_mul(HOUR_MS);
    end.saturating_add(MERGED_AFTER_MS) <= wall.micros() / 1_000
}

impl Samples {
    /// Removes the hours that need not be kept, or for which there is no room; with object storage only those that are
    /// there.
    pub(super) fn retain(&self, wall: Timestamp) {
        let kept = u64::try_from(self.config.kept.as_millis()).unwrap_or(u64::MAX);
        loop {
            let oldest = {
                let state = self.state.lock();
                // A clock that is years ahead must not empty the folder.
                let now = wall.min(state.newest.after(Duration::from_secs(3_600))).micros() / 1_000;
                let bytes: u64 = state.parts.values().flatten().map(|part| part.bytes).sum();
                let may_go = |parts: &[SamplePart]| {
                    self.uploads.remote.is_none() || self.uploads.known.lock().are_stored(parts)
                };
                let Some((hour, _)) = state.parts.iter().find(|(_, parts)| may_go(parts)) else { return };
                let end = hour.saturating_add(1).saturating_mul(HOUR_MS);
                let is_too_much = bytes > self.config.bytes_max && state.parts.len() > 1;
                if end.saturating_add(kept) > now && !is_too_much {
                    return;
                }
                *hour
            };
            if let Err(error) = self.files.remove_hour(oldest) {
                tracing::warn!(%error, "cannot delete an expired hour of samples");
                return;
            }
            let mut state = self.state.lock();
            state.parts.remove(&oldest);
            state.looked_at.remove(&oldest);
            state.left_out.retain(|part| part.hour != oldest);
            state.counters.hours_removed += 1;
            self.uploads.known.lock().forget_here(oldest);
        }
    }

    /// Merges, unless the disk refused that a while ago.
    pub(super) fn merge_if_due(&self, now: Duration, wall: Timestamp) {
        if self.upkeep.lock().merge_again.is_some_and(|again| now < again) {
            return;
        }
        let is_well = self.merge_one(wall);
        self.upkeep.lock().merge_again = (!is_well).then(|| now.saturating_add(MERGE_RETRY));
    }

    /// Makes one file of small ones of an hour that is over, for one hour. Returns whether the disk let it; if not,
    /// more files there are, and nothing is wrong.
    pub(super) fn merge_one(&self, wall: Timestamp) -> bool {
        let Some((hour, parts)) = self.next_hour(wall) else { return true };
        loop {
            // What is in object storage, or may be, stays as it is.
            let free: Vec<SamplePart> = {
                let (state, known) = (self.state.lock(), self.uploads.known.lock());
                let is_free =
                    |part: &&SamplePart| known.may_be_merged(part) && !state.left_out.contains(*part);
                parts.iter().filter(is_free).copied().collect()
            };
            let merged = self.choose(&free).and_then(|chosen| {
                let Some(chosen) = chosen else { return Ok(true) };
                self.merge(hour, &parts, &chosen).map(|()| false)
            });
            match merged {
                Ok(is_looked_at) => {
                    if is_looked_at {
                        self.state.lock().looked_at.insert(hour);
                    }
                    return true;
                }
                Err(MergeError::Unreadable(part, error)) => self.leave_out(part, &error),
                Err(MergeError::Refused(error)) => {
                    if self.upkeep.lock().merge_again.is_none() {
                        tracing::warn!(%error, "cannot merge the samples of an hour; retrying every hour");
                    }
                    return false;
                }
            }
        }
    }

    /// Notes that a part cannot be read: it stays as it is, and the others of its hour are merged without it.
    fn leave_out(&self, part: SamplePart, error: &io::Error) {
        tracing::error!(
            %error,
            "file of samples cannot be read: its samples are missing in answers, and it is not merged with others"
        );
        let mut state = self.state.lock();
        state.left_out.insert(part);
        state.counters.files_damaged += 1;
    }

    /// An hour that is over, with all its parts.
    fn next_hour(&self, wall: Timestamp) -> Option<(Hour, Vec<SamplePart>)> {
        let state = self.state.lock();
        let found = state.parts.iter().find(|(hour, parts)| {
            is_over(**hour, wall)
                && !state.looked_at.contains(hour)
                // Even the older place has them: nobody will write them again.
                && parts.iter().all(|part| part.from < state.committed_before)
        });
        found.map(|(hour, parts)| (*hour, parts.clone()))
    }

    /// The first parts, in the journal's order, that are worth becoming one.
    fn choose(&self, parts: &[SamplePart]) -> Result<Option<Vec<SamplePart>>, MergeError<SamplePart>> {
        let mut run = Vec::new();
        let (mut sum, mut largest) = (0, 0);
        let is_worth = |run: &[SamplePart], sum: u64, largest: u64| {
            // Each row is rewritten a few times at most, however many late messages come.
            run.len() > 1 && (largest <= sum / 2 || run.len() > SMALL_PARTS)
        };
        for part in parts {
            let path = self.files.path(part);
            let rows = File::open(&path)
                .and_then(count)
                .map_err(|error| MergeError::Unreadable(*part, named(&error, &path)))?;
            if sum + rows > MERGED_ROWS_MAX {
                if is_worth(&run, sum, largest) {
                    return Ok(Some(run));
                }
                (sum, largest) = (0, 0);
                run.clear();
            }
            run.push(*part);
            (sum, largest) = (sum + rows, largest.max(rows));
        }
        Ok(is_worth(&run, sum, largest).then_some(run))
    }

    fn merge(
        &self,
        hour: Hour,
        parts: &[SamplePart],
        chosen: &[SamplePart],
    ) -> Result<(), MergeError<SamplePart>> {
        let Some(from) = chosen.iter().map(|part| part.from).min() else { return Ok(()) };
        let mut rows = SampleBuffer::default();
        for part in chosen {
            let path = self.files.path(part);
            let read = File::open(&path).and_then(|file| {
                let all = 0..u64::MAX;
                let each = |probe: &ProbeId, sample| rows.push(probe, &sample);
                decode(file, Wanted::All, &all, SampleColumns::All, each)
            });
            read.map_err(|error| MergeError::Unreadable(*part, named(&error, &path)))?;
        }
        let mut kept: Vec<SamplePart> = parts.iter().filter(|part| !chosen.contains(part)).copied().collect();
        let merged = self.files.merge(hour, from, &kept, |output| rows.write(output, |_| true))?;
        kept.push(merged);
        kept.sort_unstable();
        let mut state = self.state.lock();
        state.parts.insert(hour, kept);
        state.counters.merges += chosen.len() as u64;
        Ok(())
    }
}

/// An error with the file that it is of.
pub(super) fn named(error: &io::Error, path: &std::path::Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
