//! Rows made again in which samples came late: of those after an instant as a file has them that was updated in order.

use super::format::{UNKNOWN, row_scratch};
use super::{Consolidation, Rrd};

impl Rrd {
    /// Takes over what `after` has from the whole second `from` on. `before` and `after` began then and were updated
    /// with all up to this file's last update; `before` as this file was, `after` with samples that came late as well.
    ///
    /// Rows that lie between `from` and the last update are those of `after`. To a row that began earlier and is in progress
    /// the difference of the two is added. One that began earlier and has ended stands as it is: choose `from` so that it
    /// is none that matters. Files that are not of the same form, or not updated up to the same instant,
    /// change nothing: then it returns `false`. A row that `before` does not have as this file has it is not known well
    /// enough to be made again, and stands: the journal may not reach back so far any more.
    pub(crate) fn rework(&mut self, from: u64, before: &Self, after: &Self) -> bool {
        let is_alike = |other: &Self| {
            let forms = self.archives.iter().zip(&other.archives);
            other.last_update == self.last_update
                && (other.step, other.sources.len()) == (self.step, self.sources.len())
                && other.archives.len() == self.archives.len()
                && forms.into_iter().all(|(own, other)| {
                    (own.consolidation, own.steps_per_row, own.rows)
                        == (other.consolidation, other.steps_per_row, other.rows)
                })
        };
        if !is_alike(before) || !is_alike(after) || self.sources.len() != 1 {
            return false;
        }
        let until = self.last_update.seconds();
        for number in 0..self.archives.len() {
            let archives =
                (self.archives.get(number), before.archives.get(number), after.archives.get(number));
            let (Some(own), Some(old), Some(new)) = archives else { continue };
            let row_seconds = self.step.saturating_mul(own.steps_per_row);
            let end = until / row_seconds * row_seconds;
            let rows_since = end.saturating_sub(from) / row_seconds;
            for age in 0..usize::try_from(rows_since).unwrap_or(usize::MAX).min(own.rows) {
                let place = |newest: usize| (newest + own.rows - age) % own.rows;
                let had = before.values.get(old.first_value + place(old.newest));
                let value = after.values.get(new.first_value + place(new.newest));
                if let (Some(slot), Some(had), Some(value)) =
                    (self.values.get_mut(own.first_value + place(own.newest)), had, value)
                    && is_alike_row(*slot, *had)
                {
                    *slot = *value;
                }
            }
            let (consolidation, begins_within) = (own.consolidation, end >= from);
            if let Some(own) = self.archives.get_mut(number) {
                own.unwritten = own.rows;
            }
            let rows = (before.rows_in_progress.get(number), after.rows_in_progress.get(number));
            let (Some(own), (Some(before), Some(after))) = (self.rows_in_progress.get_mut(number), rows)
            else {
                continue;
            };
            let is_known = own.unknown_steps() == before.unknown_steps()
                && is_alike_row(own.float(row_scratch::VALUE), before.float(row_scratch::VALUE));
            if begins_within && is_known {
                // What the row before came to is known here alone, if that is older.
                let ended = [own.scratch[row_scratch::PRIMARY], own.scratch[row_scratch::SECONDARY]];
                own.scratch = after.scratch;
                if rows_since == 0 {
                    [own.scratch[row_scratch::PRIMARY], own.scratch[row_scratch::SECONDARY]] = ended;
                }
                continue;
            }
            let unknown = own.unknown_steps().saturating_add(after.unknown_steps());
            own.scratch[row_scratch::UNKNOWN_STEPS] = unknown.saturating_sub(before.unknown_steps());
            let [so_far, before, after] = [&*own, before, after].map(|row| row.float(row_scratch::VALUE));
            own.scratch[row_scratch::VALUE] = reworked(consolidation, so_far, before, after).to_bits();
        }
        true
    }
}

/// Whether two values of a row are of the same samples: summed in another order they differ in the last digits.
fn is_alike_row(own: f64, other: f64) -> bool {
    (own.is_nan() && other.is_nan()) || (own - other).abs() <= 1e-6 * own.abs().max(1.0)
}

/// What a row in progress has come to.
fn reworked(consolidation: Consolidation, so_far: f64, before: f64, after: f64) -> f64 {
    let known = |value: f64| if value.is_nan() { 0.0 } else { value };
    match consolidation {
        Consolidation::Average if so_far.is_nan() && after.is_nan() => UNKNOWN,
        Consolidation::Average => known(so_far) + known(after) - known(before),
        // A sample more makes the least no greater; `f64::min` passes over what is unknown.
        Consolidation::Min => so_far.min(after),
        Consolidation::Max => so_far.max(after),
        Consolidation::Last | Consolidation::Other => so_far,
    }
}
