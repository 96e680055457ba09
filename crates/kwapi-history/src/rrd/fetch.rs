//! Reading rows.

use super::format::row_scratch;
use super::{Archive, Consolidation, Rrd};

/// Values of one archive in even steps. Row `i` covers `start + i × step` to `start + (i + 1) × step`; RRDtool names
/// a row by its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// Unix seconds, a multiple of `step`.
    pub start: u64,
    /// Seconds.
    pub step: u64,
    /// `None` where unknown.
    pub values: Vec<Option<f64>>,
    /// Which row is the one in progress, if it is among them, and how many seconds of it are known.
    pub in_progress: Option<(usize, u64)>,
}

impl Archive {
    /// How it makes a row.
    pub(crate) fn consolidation(&self) -> Consolidation {
        self.consolidation
    }

    /// How many rows it keeps.
    pub fn rows(&self) -> usize {
        self.rows
    }
}

impl Rrd {
    /// Seconds of one row of `archive`.
    pub(crate) fn row_seconds(&self, archive: &Archive) -> u64 {
        self.step.saturating_mul(archive.steps_per_row)
    }

    /// The archive of this kind whose rows last `seconds`.
    pub fn archive(&self, consolidation: Consolidation, seconds: u64) -> Option<usize> {
        self.archives.iter().position(|archive| {
            archive.consolidation == consolidation && self.row_seconds(archive) == seconds
        })
    }

    /// `count` rows (no more than fit a file) of the first source, the first of which begins at `start` rounded down
    /// to a row. Rows the archive no longer has, or does not have yet, are unknown.
    ///
    /// With `as_of`, the row in progress is there too, made of what is known of it; once it should have ended by then,
    /// only when enough of it is known.
    pub fn rows(&self, archive: usize, start: u64, count: usize, as_of: Option<u64>) -> Option<Rows> {
        let number = archive;
        let archive = self.archives.get(number)?;
        let step = self.row_seconds(archive);
        let start = start - start % step;
        let completed = self.last_update.seconds() / step;
        let count = count.min(usize::try_from(super::format::FILE_BYTES_MAX / 8).unwrap_or(usize::MAX));
        let mut in_progress = None;
        let values = (0..count).map(|index| {
            // The row ends at `step × row_end`.
            let row_end = (start / step).saturating_add(index as u64).saturating_add(1);
            if row_end == completed + 1 {
                let should_have_ended = as_of? >= row_end.saturating_mul(step);
                let (value, known_seconds) = self.row_in_progress(number, should_have_ended)?;
                in_progress = Some((index, known_seconds));
                return Some(value);
            }
            self.row(archive, completed.checked_sub(row_end)?)
        });
        let values = values.collect();
        Some(Rows { start, step, values, in_progress })
    }

    /// The row `age` places before the newest.
    fn row(&self, archive: &Archive, age: u64) -> Option<f64> {
        let age = usize::try_from(age).ok().filter(|age| *age < archive.rows)?;
        let row = (archive.newest + archive.rows - age) % archive.rows;
        let value = self.values.get(archive.first_value + row * self.sources.len())?;
        Some(*value).filter(|value| value.is_finite())
    }

    /// What is known of the row in progress, and for how many seconds.
    fn row_in_progress(&self, number: usize, should_have_ended: bool) -> Option<(f64, u64)> {
        let archive = self.archives.get(number)?;
        let row = self.rows_in_progress.get(number * self.sources.len())?;
        let steps = self.last_update.seconds() / self.step % archive.steps_per_row;
        let known = steps.checked_sub(row.unknown_steps()).filter(|known| *known > 0)?;
        let known_min = archive.steps_per_row as f64 * (1.0 - archive.unknown_share_max);
        if should_have_ended && (known as f64) < known_min {
            return None;
        }
        let so_far = row.float(row_scratch::VALUE);
        let value = match archive.consolidation {
            Consolidation::Average => so_far / known as f64,
            Consolidation::Min | Consolidation::Max | Consolidation::Last => so_far,
            Consolidation::Other => return None,
        };
        value.is_finite().then(|| (value, known.saturating_mul(self.step)))
    }
}
