//! Rows of wall time: what a probe used in each minute, quarter hour and day (UTC), in whole millijoules and
//! milliseconds by status.
//!
//! Rows are increments: energy between two instants is a sum of rows of one step. A day is the sum of its quarter hours,
//! as all of them are sums of the same pieces. A row is **open** until a message after its end was taken, or until 48 hours
//! after its end; what comes for it then is a row of its own, a **correction**, which may be negative.

mod packed;

use serde::{Deserialize, Serialize};

use crate::Watts;
use packed::PackedRows;

/// A row that nobody has ended is closed so long after its end, in milliseconds.
const CLOSED_AFTER_MS: u64 = 48 * 3_600_000;

/// How long a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RowStep {
    /// A minute.
    Minute,
    /// A quarter hour.
    Quarter,
    /// A day of UTC.
    Day,
}

impl RowStep {
    /// All of them, the shortest first.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Quarter, Self::Day];

    /// Its length in milliseconds.
    pub const fn milliseconds(self) -> u64 {
        match self {
            Self::Minute => 60_000,
            Self::Quarter => 900_000,
            Self::Day => 86_400_000,
        }
    }

    /// The begin of the row that has the Unix millisecond `at`.
    pub const fn begin(self, at: u64) -> u64 {
        at - at % self.milliseconds()
    }

    /// The end of the row that begins at `begin`.
    pub const fn end(self, begin: u64) -> u64 {
        begin.saturating_add(self.milliseconds())
    }
}

/// Energy and time by status, to be added to a row: measured, estimated, bridged. A correction's may be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Increment {
    /// Millijoules.
    pub mj: [i64; 3],
    /// Milliseconds.
    pub ms: [i64; 3],
}

impl Increment {
    /// Whether it adds nothing.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// Adds `other`, `sign` times.
    pub fn add(&mut self, other: &Self, sign: i64) {
        for (sum, part) in self.mj.iter_mut().zip(other.mj).chain(self.ms.iter_mut().zip(other.ms)) {
            *sum = sum.saturating_add(part.saturating_mul(sign));
        }
    }

    /// All millijoules.
    pub fn energy_mj(&self) -> i64 {
        self.mj.iter().fold(0, |sum, part| sum.saturating_add(*part))
    }

    /// All milliseconds of which something is known.
    pub fn known_ms(&self) -> i64 {
        self.ms.iter().fold(0, |sum, part| sum.saturating_add(*part))
    }
}

/// What a message adds to wall time: to a row of this step and to each longer one that contains it. Of a stretch of
/// months only quarter hours or days are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The shortest row it is for.
    pub step: RowStep,
    /// That row's begin, in Unix milliseconds.
    pub begin: u64,
    /// What it adds.
    pub increment: Increment,
}

/// Why a closed row changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Cause {
    /// A message came late.
    Late,
    /// A coarse register's first tick after a stop gave more of the stop.
    Stop,
    /// The publisher's clock had been ahead and was set back.
    Clock,
    /// The probe had been silent for more than 48 hours.
    Silence,
}

impl Cause {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Stop => "stop",
            Self::Clock => "clock",
            Self::Silence => "silence",
        }
    }
}

/// A row so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its begin, in Unix milliseconds.
    pub begin: u64,
    /// What was used in it.
    pub increment: Increment,
    /// The highest power measured in it.
    pub peak: Option<Watts>,
}

impl Row {
    /// Adds what another row of the same interval has.
    pub fn merge(&mut self, other: &Self) {
        self.increment.add(&other.increment, 1);
        self.raise(other.peak);
    }

    fn raise(&mut self, peak: Option<Watts>) {
        if peak.is_some_and(|peak| self.peak.is_none_or(|before| before < peak)) {
            self.peak = peak;
        }
    }
}

/// A row that is done: written as it is, never changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WrittenRow {
    /// How long it is.
    pub step: RowStep,
    /// What it holds.
    pub row: Row,
    /// Why it comes after the row was closed; `None`: it is the row.
    pub correction: Option<Cause>,
}

/// A probe's open rows, one a step at most.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Rows", into = "Rows")]
pub struct OpenRows(PackedRows);

impl OpenRows {
    /// Adds what a message stamped `at_ms` contributed, of `power`. `pieces` are in order of time; rows that are done,
    /// and corrections, go to `write`.
    pub fn take(
        &mut self,
        at_ms: u64,
        power: Watts,
        pieces: &[Piece],
        cause: Cause,
        write: &mut impl FnMut(WrittenRow),
    ) {
        let mut rows = self.0.rows();
        rows.take(at_ms, power, pieces, cause, write);
        self.0.set(rows);
    }

    /// Closes what has had no message for 48 hours after its end.
    pub fn close_silent(&mut self, now_ms: u64, write: &mut impl FnMut(WrittenRow)) {
        let until = now_ms.saturating_sub(CLOSED_AFTER_MS);
        if (1..until).contains(&self.closed_until()) {
            let mut rows = self.0.rows();
            rows.close(until, write);
            self.0.set(rows);
        }
    }

    /// The open rows, the shortest first.
    pub fn rows(&self) -> impl Iterator<Item = (RowStep, Row)> {
        RowStep::ALL.into_iter().zip(self.0.rows().rows).filter_map(|(step, row)| Some((step, row?)))
    }

    /// Up to where rows are closed, in Unix milliseconds; 0 before the first message.
    pub fn closed_until(&self) -> u64 {
        self.0.closed_until()
    }
}

impl From<OpenRows> for Rows {
    fn from(open: OpenRows) -> Self {
        open.0.rows()
    }
}

impl From<Rows> for OpenRows {
    fn from(rows: Rows) -> Self {
        let mut packed = PackedRows::default();
        packed.set(rows);
        Self(packed)
    }
}

/// Open rows as they are worked on, and as they are in a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Rows {
    rows: [Option<Row>; 3],
    /// Rows that end up to here are closed, in Unix milliseconds.
    closed_until: u64,
}

impl Rows {
    fn take(
        &mut self,
        at_ms: u64,
        power: Watts,
        pieces: &[Piece],
        cause: Cause,
        write: &mut impl FnMut(WrittenRow),
    ) {
        // A row ends with what is stamped at its end. The first message of all has no time before it.
        let peak_at = if self.closed_until == 0 { at_ms } else { at_ms.saturating_sub(1) };
        for (slot, step) in self.rows.iter_mut().zip(RowStep::ALL) {
            let peak = Row { begin: step.begin(peak_at), increment: Increment::default(), peak: Some(power) };
            let mut peak = Some(peak);
            let longer = pieces.iter().filter(|piece| piece.step <= step);
            let mut next: Option<Row> = None;
            for piece in longer {
                let begin = step.begin(piece.begin);
                let row = match &mut next {
                    Some(row) if row.begin == begin => row,
                    _ => {
                        if let Some(row) = next.take() {
                            put(slot, step, row, self.closed_until, cause, write);
                        }
                        next.insert(Row { begin, ..Row::default() })
                    }
                };
                row.increment.add(&piece.increment, 1);
                if let Some(of_peak) = peak.take_if(|peak| peak.begin == begin) {
                    row.raise(of_peak.peak);
                }
            }
            for row in next.into_iter().chain(peak) {
                put(slot, step, row, self.closed_until, cause, write);
            }
        }
        self.close(at_ms, write);
    }

    fn close(&mut self, until: u64, write: &mut impl FnMut(WrittenRow)) {
        self.closed_until = self.closed_until.max(until);
        for (slot, step) in self.rows.iter_mut().zip(RowStep::ALL) {
            if let Some(row) = slot.take_if(|row| step.end(row.begin) <= self.closed_until) {
                write(WrittenRow { step, row, correction: None });
            }
        }
    }
}

/// Puts what was added to a row where it belongs: with the open one, in its place if it is later, or as a correction.
fn put(
    slot: &mut Option<Row>,
    step: RowStep,
    row: Row,
    closed_until: u64,
    cause: Cause,
    write: &mut impl FnMut(WrittenRow),
) {
    if step.end(row.begin) <= closed_until {
        write(WrittenRow { step, row, correction: Some(cause) });
        return;
    }
    match slot {
        Some(open) if open.begin == row.begin => open.merge(&row),
        // What is added is in order of time but for the peak: a row before the open one ends with this message.
        Some(open) if open.begin > row.begin => write(WrittenRow { step, row, correction: None }),
        _ => {
            if let Some(done) = slot.replace(row) {
                write(WrittenRow { step, row: done, correction: None });
            }
        }
    }
}

#[cfg(test)]
mod tests;
