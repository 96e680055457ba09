//! How sure what was used in a window of time is, a stretch at a time: what a graph marks.
//!
//! What is over for good is kept, and only the rest is read again, until something is corrected.

use std::collections::HashMap;
use std::time::Duration;

use kwapi_core::{ProbeId, Timestamp};
use parking_lot::Mutex;

use super::batches::{Edges, edges};
use super::{EnergySpan, EnergyStep, Query};

/// Stretches that are kept, of all probes together (some 20 MB). Full: all are forgotten, and read again when they are asked for.
const KEPT_MAX: usize = 1 << 17;
/// Stretches of one answer. A window has no more: the rest of it is left out.
const ANSWER_MAX: usize = 1 << 10;

/// Of a probe, how long the window is and its stretches are, in milliseconds.
type Key = (ProbeId, [u64; 2]);

/// Stretches that do not change any more.
#[derive(Debug, Default)]
pub(super) struct SettledSpans {
    of: HashMap<Key, Settled>,
    /// How many there are in all.
    count: usize,
}

#[derive(Debug, Default)]
struct Settled {
    /// How many corrections there had been.
    corrections: u64,
    /// In order of time, without a gap.
    spans: Vec<EnergySpan>,
}

impl SettledSpans {
    /// Takes out those from `start` (Unix milliseconds) on that are still true.
    fn take(&mut self, key: &Key, corrections: u64, start: u64) -> Vec<EnergySpan> {
        let Some(Settled { corrections: at, mut spans }) = self.of.remove(key) else { return Vec::new() };
        self.count = self.count.saturating_sub(spans.len());
        let begin = |span: &EnergySpan| span.start.micros() / 1_000;
        spans.retain(|span| begin(span) >= start);
        if at != corrections || spans.first().is_some_and(|first| begin(first) != start) {
            spans.clear();
        }
        spans
    }

    fn keep(&mut self, key: Key, corrections: u64, spans: Vec<EnergySpan>) {
        if self.count.saturating_add(spans.len()) > KEPT_MAX {
            self.of.clear();
            self.count = 0;
        }
        self.count += spans.len();
        if let Some(old) = self.of.insert(key, Settled { corrections, spans }) {
            self.count = self.count.saturating_sub(old.spans.len());
        }
    }

    /// See [`super::Windows::statuses`], by `query`.
    pub(super) fn ask(
        this: &Mutex<Self>,
        query: &Query,
        probe: &ProbeId,
        (start, end): (Timestamp, Timestamp),
        step: Duration,
        now: Timestamp,
    ) -> Option<Vec<EnergySpan>> {
        let length = u64::try_from(step.as_millis()).ok()?.max(1);
        let [start, end] = [start, end].map(|at| at.micros() / 1_000);
        let key = (probe.clone(), [end.saturating_sub(start), length]);
        let (start, end) = (start - start % length, end.div_ceil(length).saturating_mul(length));
        let sight = query.sight(std::slice::from_ref(probe), start, end);
        let until = sight.probes.get(probe)?.until;
        let mut spans = this.lock().take(&key, sight.corrections, start);
        let at = spans.last().map_or(start, |last| last.end.micros() / 1_000);
        let missing = edges(&EnergyStep::Every(step), at, end, ANSWER_MAX.saturating_sub(spans.len()));
        if !missing.is_empty() {
            let (mut unreadable, mut without_samples) = Default::default();
            let edges = Edges { spans: missing, is_to_now: false };
            let probes = std::slice::from_ref(probe);
            let read = query.spans(&sight, probes, &edges, now, &mut unreadable, &mut without_samples);
            spans.extend(read.into_iter().flat_map(|of| of.spans));
        }
        // With a message after its end, a stretch changes by a correction alone.
        let is_settled = |span: &&EnergySpan| span.end.micros() / 1_000 <= until && !span.is_incomplete;
        let settled = spans.iter().take_while(is_settled).copied().collect();
        this.lock().keep(key, sight.corrections, settled);
        spans.iter().all(|span| !span.is_incomplete).then_some(spans)
    }

    /// How many stretches are kept.
    #[cfg(test)]
    pub(super) const fn count(&self) -> usize {
        self.count
    }
}
