//! A row that belongs to a span as a whole or in part. What lies within a row is not known here: energy and time are taken
//! in proportion, and the span says so.

use kwapi_core::Increment;

use super::cover::Piece;
use super::span::EnergySpan;
use crate::ledger::SeenRow;

/// Adds a row, or as much of it as belongs to the span. Its probe was first heard at `since`: nothing of it was before.
pub(super) fn add(span: &mut EnergySpan, row: &SeenRow, piece: &Piece, since: u64) {
    let end = row.end;
    let begin = row.row.row.begin.max(since.min(end));
    span.corrections += u64::from(row.row.correction > 0);
    if row.row.row.peak.is_some_and(|peak| span.peak.is_none_or(|before| before < peak)) {
        span.peak = row.row.row.peak;
    }
    let (from, to) = piece.clip.map_or((begin, end), |(from, to)| (from.max(begin), to.min(end)));
    if from <= begin && to >= end {
        span.known.add(&row.row.row.increment, 1);
        return;
    }
    span.is_interpolated = true;
    let length = i128::from(end.saturating_sub(begin).max(1));
    // What is before an instant, so that two spans that meet there add up to what both have.
    let before = |part: i64, at: u64| i128::from(part) * i128::from(at.saturating_sub(begin)) / length;
    let share = |part: i64| i64::try_from(before(part, to) - before(part, from)).unwrap_or(0);
    let increment = &row.row.row.increment;
    if to > from {
        span.known.add(&Increment { mj: increment.mj.map(share), ms: increment.ms.map(share) }, 1);
    }
}
