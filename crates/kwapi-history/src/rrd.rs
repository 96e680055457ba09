//! RRD files, as RRDtool 1.4–1.7 writes them on 64-bit little-endian Linux.
//!
//! RRDtool's own words: time is cut into steps of `step` seconds; what the updates give for one step is its *primary
//! data point* (PDP); an *archive* (RRA) consolidates so many PDPs into one row and keeps so many rows, the newest
//! overwriting the oldest. An update states what held from the update before until its stamp.
//!
//! Source: `rrdcreate(1)`, `rrdupdate(1)` and the bytes and dumps of the program itself, which referees every test:
//! after the same updates its file and ours are equal byte for byte.

mod fetch;
mod file;
mod format;
mod rewind;
mod rework;
mod update;

use kwapi_core::Timestamp;

pub use fetch::Rows;
pub use file::{RrdFileError, amend, create, read};
pub use format::RrdError;
pub use update::UpdateError;

/// A whole RRD in memory.
#[derive(Clone, Debug)]
pub struct Rrd {
    /// The head of the file, which never changes: `stat_head`, `ds_def` and `rra_def`.
    definition: Vec<u8>,
    step: u64,
    sources: Vec<DataSource>,
    archives: Vec<Archive>,
    last_update: Timestamp,
    /// One per source.
    steps: Vec<StepState>,
    /// One per archive and source, in the file's order.
    rows_in_progress: Vec<RowState>,
    /// Values in the file's order.
    values: Vec<f64>,
}

/// What is recorded (a *data source*).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DataSource {
    /// Only gauges can be updated; others can be read.
    is_gauge: bool,
    /// An update that comes later than this many seconds after the one before covers nothing of the time between.
    heartbeat: u64,
    /// Values below are unknown; NaN: no limit.
    min: f64,
    /// Values above are unknown; NaN: no limit.
    max: f64,
}

/// How an archive makes one row of several PDPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consolidation {
    /// Their average.
    Average,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The newest.
    Last,
    /// Something this engine can neither update nor fetch.
    Other,
}

/// One archive.
#[derive(Clone, Debug, PartialEq)]
pub struct Archive {
    pub(crate) consolidation: Consolidation,
    /// How many PDPs make a row; never 0.
    pub(crate) steps_per_row: u64,
    /// How many rows it keeps; never 0.
    pub(crate) rows: usize,
    /// The share of a row's PDPs that may be unknown.
    pub(crate) unknown_share_max: f64,
    /// The newest row.
    pub(crate) newest: usize,
    /// Where its first row begins in `values`.
    first_value: usize,
    /// How many of its rows, ending at `newest`, the file does not have yet.
    unwritten: usize,
}

/// The PDP in progress of one source.
#[derive(Clone, Debug)]
struct StepState {
    last_value: LastValue,
    /// As in the file: unknown seconds, value so far (watt-seconds), and eight that are not used.
    scratch: [u64; 10],
}

/// The text of a source's newest value.
#[derive(Clone, Debug)]
enum LastValue {
    /// As read from the file.
    Text([u8; format::LAST_VALUE_BYTES]),
    /// Not formatted until it is written: of a hundred updates at once only the last one's shows.
    Number(Option<f64>),
}

/// The row in progress of one archive and source.
#[derive(Clone, Debug)]
struct RowState {
    /// As in the file: value so far, unknown PDPs, …, newest row, fill-in row.
    scratch: [u64; 10],
}

/// What a new file records: one gauge, and the archives that keep it.
#[derive(Clone, Copy, Debug)]
pub struct Definition<'a> {
    /// At most 19 bytes of `[a-zA-Z0-9_]`.
    pub source: &'a str,
    /// Seconds of one PDP.
    pub step: u64,
    /// Seconds.
    pub heartbeat: u64,
    /// Smallest value that is not unknown.
    pub min: f64,
    /// Consolidation, PDPs per row, rows.
    pub archives: &'a [(Consolidation, u64, usize)],
    /// The share of a row's PDPs that may be unknown.
    pub unknown_share_max: f64,
}

impl Rrd {
    /// When it was last updated.
    pub(crate) fn last_update(&self) -> Timestamp {
        self.last_update
    }

    /// Seconds of one PDP; never 0.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// How many data sources it has.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn source_count(&self) -> usize {
        self.sources.len()
    }

    /// Its archives, in the file's order.
    pub(crate) fn archives(&self) -> &[Archive] {
        &self.archives
    }

    /// The newest value of the first source as the file has it, `None` when unknown.
    pub(crate) fn last_value(&self) -> Option<f64> {
        match &self.steps.first()?.last_value {
            LastValue::Number(value) => *value,
            LastValue::Text(text) => {
                let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
                std::str::from_utf8(text).ok()?.trim().parse().ok().filter(|value: &f64| value.is_finite())
            }
        }
    }
}

#[cfg(test)]
mod tests;

/// Does all that can be done with bytes from anywhere; for fuzzing.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn exercise(bytes: &[u8], at: Timestamp) {
    let Ok(mut rrd) = Rrd::parse(bytes) else { return };
    let values = vec![Some(1.0); rrd.source_count()];
    _ = rrd.update(at, &values);
    _ = rrd.update(at.after(std::time::Duration::from_millis(1_500)), &values);
    _ = rrd.last_value();
    for archive in 0..rrd.archives().len() {
        _ = rrd.rows(archive, at.seconds(), 10, Some(at.seconds()));
        _ = rrd.rows(archive, 0, 10, None);
    }
    rrd.rewind(at.seconds() / 2);
    _ = rrd.update(at, &values);
    _ = rrd.unwritten_rows();
    debug_assert!(Rrd::parse(&rrd.to_bytes()).is_ok(), "what was parsed is written as it was");
}
