//! A stretch of one probe's power, in even steps.

/// Average power in even steps. Row `i` covers the time from `start + i × step` to `start + (i + 1) × step`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Unix seconds at which the first row begins; a multiple of `step`.
    pub start: u64,
    /// Seconds a row covers; never 0.
    pub step: u64,
    /// Watts; `None` where nothing is known. Energy is not watts times `step`: see [`Series::known_seconds`].
    pub watts: Vec<Option<f64>>,
    /// Rows known to be known in part only, and for how many seconds; at most a few. The row in progress is always
    /// one, and so is the row in which the probe was first seen.
    pub partial: Vec<(usize, u64)>,
}

impl Series {
    /// Rows of which nothing is known to be less than whole.
    pub fn whole(start: u64, step: u64, watts: Vec<Option<f64>>) -> Self {
        Self { start, step, watts, partial: Vec::new() }
    }

    /// Unix seconds at which the last row ends.
    pub fn end(&self) -> u64 {
        self.row_start(self.watts.len())
    }

    /// Unix seconds at which row `index` begins.
    pub fn row_start(&self, index: usize) -> u64 {
        self.start.saturating_add(self.step.saturating_mul(index as u64))
    }

    /// For how many seconds of row `index` its power is known, if it has any: never more than have passed by `now`
    /// (Unix seconds). A finished row shows nothing of unknown time in its midst, up to half of it, and counts whole.
    pub fn known_seconds(&self, index: usize, now: u64) -> u64 {
        let known = self.partial.iter().filter(|(row, _)| *row == index).map(|(_, known)| *known).min();
        known.unwrap_or(self.step).min(self.step).min(now.saturating_sub(self.row_start(index)))
    }

    /// Notes that nothing was known before `since` (Unix seconds), in whose midst a row may be.
    pub fn begins(&mut self, since: u64) {
        let row = since.checked_sub(self.start).and_then(|after| after.checked_div(self.step));
        let Some(row) = row.and_then(|row| usize::try_from(row).ok()) else { return };
        if row < self.watts.len() && self.row_start(row) < since {
            let known = self.row_start(row).saturating_add(self.step).saturating_sub(since);
            self.partial.push((row, known));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_counts_for_the_time_it_is_known() {
        let series = Series { partial: vec![(1, 36)], ..Series::whole(0, 3_600, vec![Some(100.0); 3]) };
        assert_eq!([0, 1, 2].map(|row| series.known_seconds(row, 9_000)), [3_600, 36, 1_800]);
    }

    #[test]
    fn a_row_counts_from_when_its_probe_was_first_seen() {
        let mut series = Series::whole(0, 3_600, vec![None, Some(100.0), Some(100.0)]);
        series.begins(5_400);
        assert_eq!([0, 1, 2].map(|row| series.known_seconds(row, 10_000)), [3_600, 1_800, 2_800]);
    }
}
