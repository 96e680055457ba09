//! Which rows make up a span: the longest that lie within it, shorter ones towards its ends.

use std::collections::BTreeMap;
use std::ops::Range;

use kwapi_core::RowStep;

/// Rows of one step that belong to a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) span: usize,
    /// They begin before this.
    until: u64,
    /// Of a single row only what is between these two instants.
    pub(super) clip: Option<(u64, u64)>,
}

/// All rows of a question.
#[derive(Debug, Default)]
pub(super) struct Cover(BTreeMap<(RowStep, u64), Vec<Piece>>);

impl Cover {
    /// Adds a span, in Unix milliseconds. `kept_from`: where minutes and quarter hours begin that are still kept.
    pub(super) fn span(&mut self, span: usize, from: u64, to: u64, kept_from: [u64; 2]) {
        self.of_step(span, RowStep::Day, from, to, kept_from);
    }

    fn of_step(&mut self, span: usize, step: RowStep, from: u64, to: u64, kept_from: [u64; 2]) {
        if from >= to {
            return;
        }
        let [minutes, quarters] = kept_from;
        let finer = match step {
            RowStep::Day => Some((RowStep::Quarter, quarters)),
            RowStep::Quarter => Some((RowStep::Minute, minutes)),
            RowStep::Minute => None,
        };
        let length = step.milliseconds();
        let (first, last) = (from.div_ceil(length).saturating_mul(length), step.begin(to));
        let mut ends = vec![(from, to)];
        if first < last {
            self.put(step, first, Piece { span, until: last, clip: None });
            ends = vec![(from, first), (last, to)];
        }
        for (from, to) in ends {
            match finer {
                // A row is cut where nothing finer is kept.
                Some((finer, kept)) if from >= kept => self.of_step(span, finer, from, to, kept_from),
                _ => self.cut(span, step, from, to),
            }
        }
    }

    /// Parts of the rows between two instants.
    fn cut(&mut self, span: usize, step: RowStep, from: u64, to: u64) {
        let mut at = from;
        while at < to {
            let begin = step.begin(at);
            let end = to.min(step.end(begin));
            self.put(step, begin, Piece { span, until: step.end(begin), clip: Some((at, end)) });
            at = end;
        }
    }

    fn put(&mut self, step: RowStep, begin: u64, piece: Piece) {
        self.0.entry((step, begin)).or_default().push(piece);
    }

    /// The rows, in Unix milliseconds, within which a span begins or ends, and of which samples may show more. Days are
    /// too long for that.
    pub(super) fn rows_cut(&self) -> Vec<Range<u64>> {
        let rows = self.0.keys().filter(|(step, begin)| *step != RowStep::Day && self.is_cut(*step, *begin));
        let mut rows: Vec<_> = rows.map(|(step, begin)| *begin..step.end(*begin)).collect();
        rows.sort_unstable_by_key(|row| (row.start, row.end));
        rows.dedup();
        rows
    }

    /// Whether a span begins or ends within a row.
    pub(super) fn is_cut(&self, step: RowStep, begin: u64) -> bool {
        let is_part = |(from, to): (u64, u64)| from > begin || to < step.end(begin);
        self.pieces(step, begin).any(|piece| piece.clip.is_some_and(is_part))
    }

    /// The pieces to which a row belongs.
    pub(super) fn pieces(&self, step: RowStep, begin: u64) -> impl Iterator<Item = &Piece> {
        let at = self.0.range((step, 0)..=(step, begin)).next_back();
        at.into_iter().flat_map(|(_, pieces)| pieces).filter(move |piece| begin < piece.until)
    }

    /// The spans that have rows of a step between two instants.
    pub(super) fn spans_within(&self, step: RowStep, from: u64, to: u64) -> Vec<usize> {
        let of_step = self.0.range((step, 0)..=(step, u64::MAX));
        let pieces = of_step.flat_map(|((_, begin), pieces)| pieces.iter().map(move |piece| (begin, piece)));
        pieces
            .filter(|(begin, piece)| **begin < to && piece.until > from)
            .map(|(_, piece)| piece.span)
            .collect()
    }

    /// The begins of all rows, as few ranges as may be.
    pub(super) fn ranges(&self) -> Vec<(RowStep, u64, u64)> {
        let mut ranges: Vec<(RowStep, u64, u64)> = Vec::new();
        for ((step, begin), pieces) in &self.0 {
            let until = pieces.iter().map(|piece| piece.until).max().unwrap_or(*begin);
            match ranges.last_mut() {
                Some((of, _, last)) if of == step && *last >= *begin => *last = until.max(*last),
                _ => ranges.push((*step, *begin, until)),
            }
        }
        ranges
    }
}
