//! A stretch of one probe's power, in even steps.

/// Average power in even steps. Row `i` covers the time from `start + i × step` to `start + (i + 1) × step`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Unix seconds at which the first row begins; a multiple of `step`.
    pub start: u64,
    /// Seconds a row covers; never 0.
    pub step: u64,
    /// Watts; `None` where nothing is known. The last row may still be in progress: [`crate::Usage::of`] counts only
    /// the part of it before now.
    pub watts: Vec<Option<f64>>,
}

impl From<crate::rrd::Rows> for Series {
    fn from(rows: crate::rrd::Rows) -> Self {
        Self { start: rows.start, step: rows.step, watts: rows.values }
    }
}

impl Series {
    /// Unix seconds at which the last row ends.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.step.saturating_mul(self.watts.len() as u64))
    }
}
