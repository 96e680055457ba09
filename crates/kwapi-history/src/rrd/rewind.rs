//! Taking back what a file received of a time that has not come: a clock was ahead, and has been set right.

use kwapi_core::Timestamp;

use super::format::{UNKNOWN, row_scratch, step_scratch};
use super::{LastValue, Rrd};

impl Rrd {
    /// Makes the file as if it had been updated last at the whole second `to`, and nothing were known of the row that is in
    /// progress then. Rows before it stand, but for those that the rows taken back have overwritten. A `to` that is not
    /// before its last update changes nothing.
    pub(crate) fn rewind(&mut self, to: u64) {
        let from = self.last_update.seconds();
        if to >= from {
            return;
        }
        let sources = self.sources.len();
        let to_steps = to / self.step;
        for (number, archive) in self.archives.iter_mut().enumerate() {
            let row_seconds = self.step.saturating_mul(archive.steps_per_row);
            let back = (from / row_seconds - to / row_seconds).min(archive.rows as u64);
            for _ in 0..back {
                let first = archive.first_value + archive.newest * sources;
                if let Some(row) = self.values.get_mut(first..first + sources) {
                    row.fill(UNKNOWN);
                }
                archive.newest = (archive.newest + archive.rows - 1) % archive.rows;
            }
            archive.unwritten = archive.rows;
            for row in self.rows_in_progress.iter_mut().skip(number * sources).take(sources) {
                row.scratch = [0; 10];
                row.scratch[row_scratch::VALUE] = UNKNOWN.to_bits();
                row.scratch[row_scratch::UNKNOWN_STEPS] = to_steps % archive.steps_per_row;
            }
        }
        for step in &mut self.steps {
            step.last_value = LastValue::Number(None);
            step.scratch = [0; 10];
            step.scratch[step_scratch::UNKNOWN_SECONDS] = to % self.step;
            step.scratch[step_scratch::VALUE] = UNKNOWN.to_bits();
        }
        self.last_update = Timestamp::from_seconds(to);
    }
}

#[cfg(test)]
mod tests;
