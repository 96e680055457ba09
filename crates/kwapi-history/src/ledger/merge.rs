//! What is done to files that are there: those of a day that has ended become one, those too old are removed.

use std::io::{self, Write as _};
use std::ops::Range;
use std::time::Duration;

use kwapi_core::{RowStep, Timestamp};

use super::files::{Day, Part};
use super::table::{self, Begins, GROUP_ROWS, LedgerRow, RowsWriter, Wanted, order};
use super::{DAY_MS, Ledger};
use crate::tree::{MERGE_RETRY, MergeError};

/// The parts of a day are merged so long after its end: most late messages have come by then.
const MERGED_AFTER_MS: u64 = 3 * 3_600_000;
/// How long the wait for answers that read files may be. In vain: next time.
const ANSWERS_WAIT: Duration = Duration::from_secs(2);
/// Parts that have more bytes together are large enough as they are.
const MERGED_BYTES_MAX: u64 = 16 << 20;
/// A merged day is divided into so many stretches of time at most, each of which has groups of its own.
const STRETCHES_MAX: usize = 16;

impl Ledger {
    /// Removes the days whose rows need not be kept.
    pub(super) fn retain(&self, wall: Timestamp) {
        let kept =
            [(RowStep::Minute, self.config.minutes_kept), (RowStep::Quarter, self.config.quarters_kept)];
        let old: Vec<(RowStep, Day)> = {
            let state = self.state.lock();
            // A clock that is years ahead must not empty the ledger.
            let now = wall.min(state.newest.after(Duration::from_secs(3_600))).micros() / 1_000;
            let is_old = |step: RowStep, day: Day| {
                let end = day.saturating_add(1).saturating_mul(DAY_MS);
                let kept = kept.iter().find(|(of, _)| *of == step);
                kept.is_some_and(|(_, kept)| {
                    let kept = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX);
                    end.saturating_add(kept) <= now
                })
            };
            state.parts.keys().copied().filter(|(step, day)| is_old(*step, *day)).collect()
        };
        if old.is_empty() {
            return;
        }
        let Some(_nobody_reads) = self.files_stay.try_write_for(ANSWERS_WAIT) else { return };
        for (step, day) in old {
            let mut state = self.state.lock();
            state.parts.remove(&(step, day));
            state.left_out.retain(|part| (part.step, part.day) != (step, day));
            drop(state);
            if let Err(error) = self.files.remove_day(step, day) {
                tracing::warn!(%error, "cannot delete an expired day of the ledger");
                return;
            }
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

    /// Makes one file of those of a day that has ended, for one day. Returns whether the disk let it; if not, more
    /// files there are, and nothing is wrong.
    pub(super) fn merge_one(&self, wall: Timestamp) -> bool {
        while let Some((parts, kept)) = self.mergeable(wall) {
            match self.merge(&parts, &kept) {
                Ok(()) => return true,
                Err(MergeError::Unreadable(part, error)) => self.leave_out(part, &error),
                Err(MergeError::Refused(error)) => {
                    if self.upkeep.lock().merge_again.is_none() {
                        tracing::warn!(%error, "cannot merge files of the ledger; retrying every hour");
                    }
                    return false;
                }
            }
        }
        true
    }

    /// Notes that a part cannot be read: it stays as it is, and the others of its day are merged without it.
    fn leave_out(&self, part: Part, error: &io::Error) {
        let file = self.files.path(&part);
        tracing::error!(
            file = %file.display(), %error,
            "file of the ledger cannot be read: its rows are missing in answers, and it is not merged with others"
        );
        let mut state = self.state.lock();
        state.left_out.insert(part);
        state.counters.files_damaged += 1;
    }

    /// The parts of a day to be merged, and those of it that must stay.
    fn mergeable(&self, wall: Timestamp) -> Option<(Vec<Part>, Vec<Part>)> {
        let now = wall.micros() / 1_000;
        let state = self.state.lock();
        for ((_, day), parts) in &state.parts {
            if day.saturating_add(1).saturating_mul(DAY_MS).saturating_add(MERGED_AFTER_MS) > now {
                continue;
            }
            // Even the older snapshot has what these were made of: nobody will derive their rows again.
            let is_settled =
                |part: &&Part| part.from < state.committed_before && !state.left_out.contains(part);
            let (settled, kept): (Vec<Part>, Vec<Part>) = parts.iter().partition(|part| is_settled(part));
            // One that is gone is found out when it is to be read.
            let bytes = |part: &Part| std::fs::metadata(self.files.path(part)).map_or(0, |at| at.len());
            if settled.len() > 1
                && settled.iter().fold(0, |sum: u64, part| sum.saturating_add(bytes(part)))
                    <= MERGED_BYTES_MAX
            {
                return Some((settled, kept));
            }
        }
        None
    }

    fn merge(&self, parts: &[Part], kept: &[Part]) -> Result<(), MergeError<Part>> {
        let Some(first) = parts.iter().min().copied() else { return Ok(()) };
        let bytes = self.merged(parts)?;
        let Some(_nobody_reads) = self.files_stay.try_write_for(ANSWERS_WAIT) else { return Ok(()) };
        self.files.merge(&first, kept, |output| output.write_all(&bytes))?;
        let mut state = self.state.lock();
        let mut all = vec![first];
        all.extend(kept);
        state.parts.insert((first.step, first.day), all);
        state.counters.merges += 1;
        Ok(())
    }

    /// The file that has the rows of `parts`, which are of one day and step.
    fn merged(&self, parts: &[Part]) -> Result<Vec<u8>, MergeError<Part>> {
        let open = |part: &Part| std::fs::File::open(self.files.path(part));
        let unreadable = |part: &Part| {
            let part = *part;
            move |error| MergeError::Unreadable(part, error)
        };
        let mut counts = Vec::new();
        for part in parts {
            counts.push(open(part).and_then(table::count).map_err(unreadable(part))?);
        }
        let mut found = vec![0; parts.len()];
        let mut bytes = Vec::new();
        let mut writer = RowsWriter::new(&mut bytes)?;
        for stretch in stretches(parts.first().map_or(0, |part| part.day), counts.iter().sum()) {
            let begins = Begins::of([stretch]);
            let mut rows = Vec::new();
            for (part, found) in parts.iter().zip(&mut found) {
                if self.files.extent(part).is_some_and(|extent| !begins.may_have(&extent)) {
                    continue;
                }
                let read = open(part).and_then(|file| table::decode(file, Wanted::All, &begins));
                let before = rows.len();
                read.map_err(unreadable(part))?
                    .each(&begins, |probe, read| rows.push(LedgerRow::of(probe, read)));
                *found += rows.len() - before;
            }
            rows.sort_by(|left, right| order(left).cmp(&order(right)));
            let groups = rows.len().div_ceil(GROUP_ROWS).max(1);
            rows.chunks(rows.len().div_ceil(groups).max(1)).try_for_each(|rows| writer.push(rows))?;
        }
        writer.finish()?;
        let mut all = parts.iter().zip(counts.iter().zip(&found));
        if let Some((part, (count, found))) = all.find(|(_, (count, found))| count != found) {
            let why = format!("{count} rows, of which {found} are of the day");
            return Err(unreadable(part)(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        Ok(bytes)
    }
}

/// The stretches of time of a day of so many rows, in Unix milliseconds. There are as many as each has groups of probes: a
/// few minutes of all probes are some groups of a file then, and so is a day of one.
fn stretches(day: Day, rows: usize) -> impl Iterator<Item = Range<u64>> {
    let count = (rows / GROUP_ROWS).isqrt().max(1).next_power_of_two().min(STRETCHES_MAX) as u64;
    let (begin, length) = (day.saturating_mul(DAY_MS), DAY_MS / count);
    (0..count).map(move |at| begin.saturating_add(at * length)..begin.saturating_add((at + 1) * length))
}
