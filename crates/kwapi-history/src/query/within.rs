//! A row that belongs to a span as a whole or in part. What lies within a row its samples show; where their totals do
//! not, energy is taken as their power was, or without samples in proportion to time, and the span is marked accordingly.

use std::collections::BTreeMap;

use kwapi_core::{Increment, ProbeId, RowStep};

use super::cover::Piece;
use super::span::EnergySpan;
use super::stretch::Course;
use crate::ledger::SeenRow;

/// A row, with its corrections where it is cut: only together they are what its samples show.
#[derive(Clone, Copy, Debug)]
pub(super) struct CoveredRow {
    pub(super) seen: SeenRow,
    corrections: u64,
}

/// The rows within which a span begins or ends, each with all its corrections.
#[derive(Debug, Default)]
pub(super) struct CutRows(BTreeMap<(RowStep, u64, ProbeId), CoveredRow>);

impl CutRows {
    /// Adds one, or a correction of one.
    pub(super) fn add(&mut self, probe: &ProbeId, seen: SeenRow) {
        let corrections = u64::from(seen.is_correction);
        let row = self.0.entry((seen.step, seen.row.begin, probe.clone()));
        row.and_modify(|row| {
            row.seen.row.merge(&seen.row);
            // An open row's end is the newest stamp; it has no corrections, and they have none.
            row.seen.end = row.seen.end.min(seen.end);
            row.corrections += corrections;
        })
        .or_insert(CoveredRow { seen, corrections });
    }

    /// All of them.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&ProbeId, &CoveredRow)> {
        self.0.iter().map(|((.., probe), row)| (probe, row))
    }
}

impl CoveredRow {
    /// A row that belongs to spans as a whole.
    pub(super) fn whole(seen: SeenRow) -> Self {
        Self { seen, corrections: u64::from(seen.is_correction) }
    }
}

/// Adds a row, or as much of it as belongs to the span; returns whether that was not shown by the totals of samples.
/// Its probe was first received at `since`: nothing of it was before.
pub(super) fn add(
    span: &mut EnergySpan,
    row: &CoveredRow,
    piece: &Piece,
    since: u64,
    course: Option<&Course>,
) -> bool {
    let (end, row_of) = (row.seen.end, &row.seen.row);
    let begin = row_of.begin.max(since.min(end));
    span.corrections += row.corrections;
    let (from, to) = piece.clip.map_or((begin, end), |(from, to)| (from.max(begin), to.min(end)));
    // Of a row that lies beside the span, the peak does too.
    let has_part = to > from || (from <= begin && to >= end);
    if has_part && row_of.peak.is_some_and(|peak| span.peak.is_none_or(|before| before < peak)) {
        span.peak = row_of.peak;
    }
    let increment = &row_of.increment;
    if from <= begin && to >= end {
        span.known.add(increment, 1);
        return false;
    }
    if let Some(course) = course {
        if to > from {
            span.known.add(&course.between(from, to), 1);
        }
        span.is_interpolated |= !course.is_exact();
        return !course.is_exact();
    }
    span.is_interpolated = true;
    let length = i128::from(end.saturating_sub(begin).max(1));
    // What is before an instant, so that two spans that meet there add up to what both have.
    let before = |part: i64, at: u64| i128::from(part) * i128::from(at.saturating_sub(begin)) / length;
    let share = |part: i64| i64::try_from(before(part, to) - before(part, from)).unwrap_or(0);
    if to > from {
        span.known.add(&Increment { mj: increment.mj.map(share), ms: increment.ms.map(share) }, 1);
    }
    true
}
