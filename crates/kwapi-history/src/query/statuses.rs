//! How sure what was used in a window of time is, a stretch at a time: what a graph marks.
//!
//! What is over for good is kept, and only the rest is read again, until something is corrected.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{ProbeId, Timestamp};
use parking_lot::Mutex;

use super::batches::{Edges, edges};
use super::{EnergySpan, EnergyStep, Query};
use crate::ledger::LedgerSight;

/// Stretches that are kept, of all probes together (some 20 MB). Full: all are forgotten, and read again when they are
/// requested.
const KEPT_MAX: usize = 1 << 17;
/// Stretches of one answer. A window has no more: the rest of it is left out.
const ANSWER_MAX: usize = 1 << 10;
/// So many stretches of single probes are in memory at once while a sum is made.
const TOGETHER: usize = 1 << 18;
/// As many names of a sum's probes take as much room as a stretch.
const NAMES_PER_STRETCH: usize = 4;
/// A probe that has sent nothing for so long before the newest of its sum is not waited for, in milliseconds: what it
/// sends when it is back is read then.
const WAIT_MS: u64 = 300_000;

/// Whose stretches they are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    /// Of a probe.
    Probe(ProbeId),
    /// Of several together, in order of their ids.
    Sum(Arc<[ProbeId]>),
}

impl Whose {
    fn probes(&self) -> &[ProbeId] {
        match self {
            Self::Probe(probe) => std::slice::from_ref(probe),
            Self::Sum(probes) => probes,
        }
    }
}

/// Whose, and how long the window is and its stretches are, in milliseconds.
type Key = (Whose, [u64; 2]);

/// Stretches that do not change any more.
#[derive(Debug, Default)]
pub(super) struct SettledSpans {
    of: HashMap<Key, Settled>,
    /// How much room they take in all, in stretches.
    count: usize,
}

#[derive(Debug, Default)]
struct Settled {
    /// How many corrections there had been.
    corrections: u64,
    /// In order of time, without a gap.
    spans: Vec<EnergySpan>,
    /// The probes that had not come to the end of these: the place of each among all, and its newest stamp (Unix milliseconds).
    behind: Vec<(usize, u64)>,
}

impl Settled {
    /// What it takes of the room, in stretches.
    fn room(&self, whose: &Whose) -> usize {
        let names = match whose {
            Whose::Probe(_) => 0,
            Whose::Sum(probes) => probes.len() / NAMES_PER_STRETCH,
        };
        self.spans.len().saturating_add(names)
    }
}

impl SettledSpans {
    /// Takes out those from `start` (Unix milliseconds) on that are still true in `sight`.
    fn take(&mut self, key: &Key, sight: &LedgerSight<'_>, start: u64) -> Vec<EnergySpan> {
        let Some(mut settled) = self.of.remove(key) else { return Vec::new() };
        self.count = self.count.saturating_sub(settled.room(&key.0));
        let probes = key.0.probes();
        // Who is back has sent something for the time since, or left it unknown.
        let back = settled.behind.iter().filter(|(place, until)| {
            probes.get(*place).is_some_and(|probe| until_of(sight, probe) != *until)
        });
        let changed_from = back.map(|(_, until)| *until).min().unwrap_or(u64::MAX);
        let begin = |span: &EnergySpan| span.start.micros() / 1_000;
        let end = |span: &EnergySpan| span.end.micros() / 1_000;
        settled.spans.retain(|span| begin(span) >= start && end(span) <= changed_from);
        let is_whole = settled.spans.first().is_none_or(|first| begin(first) == start);
        if settled.corrections == sight.corrections && is_whole { settled.spans } else { Vec::new() }
    }

    fn keep(&mut self, key: Key, settled: Settled) {
        let room = settled.room(&key.0);
        if self.count.saturating_add(room) > KEPT_MAX {
            self.of.clear();
            self.count = 0;
        }
        if room > KEPT_MAX {
            return;
        }
        self.count += room;
        let whose = key.0.clone();
        if let Some(old) = self.of.insert(key, settled) {
            self.count = self.count.saturating_sub(old.room(&whose));
        }
    }

    /// See [`super::Windows::statuses`] and [`super::Windows::sum_statuses`], by `query`.
    pub(super) fn read(
        this: &Mutex<Self>,
        query: &Query,
        whose: Whose,
        (start, end): (Timestamp, Timestamp),
        step: Duration,
        now: Timestamp,
    ) -> Option<Vec<EnergySpan>> {
        let length = u64::try_from(step.as_millis()).ok()?.max(1);
        let [start, end] = [start, end].map(|at| at.micros() / 1_000);
        let key = (whose, [end.saturating_sub(start), length]);
        let (start, end) = (start - start % length, end.div_ceil(length).saturating_mul(length));
        // A mark may be late by a moment: a page has many graphs, and none of them waits.
        let sight = query.sight_now(key.0.probes(), start, end);
        let newest = key.0.probes().iter().map(|probe| until_of(&sight, probe)).max().filter(|at| *at > 0)?;
        let mut spans = this.lock().take(&key, &sight, start);
        let at = spans.last().map_or(start, |last| last.end.micros() / 1_000);
        let missing = edges(&EnergyStep::Every(step), at, end, ANSWER_MAX.saturating_sub(spans.len()));
        if !missing.is_empty() {
            spans.extend(read(query, &sight, key.0.probes(), missing, now));
        }
        // With a message after its end, a stretch changes by a correction alone.
        let settled_until = match &key.0 {
            Whose::Probe(_) => newest,
            Whose::Sum(_) => newest.saturating_sub(WAIT_MS),
        };
        let is_settled =
            |span: &&EnergySpan| span.end.micros() / 1_000 <= settled_until && !span.is_incomplete;
        let settled: Vec<EnergySpan> = spans.iter().take_while(is_settled).copied().collect();
        let until = settled.last().map_or(0, |last| last.end.micros() / 1_000);
        let untils = key.0.probes().iter().map(|probe| until_of(&sight, probe)).enumerate();
        let behind = untils.filter(|(_, at)| *at < until).collect();
        let settled = Settled { corrections: sight.corrections, spans: settled, behind };
        drop(sight);
        this.lock().keep(key, settled);
        spans.iter().all(|span| !span.is_incomplete).then_some(spans)
    }

    /// How many stretches are kept.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.of.values().map(|settled| settled.spans.len()).sum()
    }
}

/// The newest stamp of a probe, in Unix milliseconds; 0 of one that the ledger does not have.
fn until_of(sight: &LedgerSight<'_>, probe: &ProbeId) -> u64 {
    sight.probes.get(probe).map_or(0, |seen| seen.until)
}

/// The stretches between `edges`, of all probes together.
fn read(
    query: &Query,
    sight: &LedgerSight<'_>,
    probes: &[ProbeId],
    edges: Vec<(u64, u64)>,
    now: Timestamp,
) -> Vec<EnergySpan> {
    let (mut unreadable, mut without_samples) = Default::default();
    let together = (TOGETHER / edges.len().max(1)).max(1);
    let mut sum: Vec<EnergySpan> = edges.iter().map(|(from, to)| EnergySpan::new(*from, *to)).collect();
    let edges = Edges { spans: edges, is_to_now: false };
    for some in probes.chunks(together) {
        let read = query.spans(sight, some, &edges, now, &mut unreadable, &mut without_samples);
        if let ([_], [of]) = (probes, &*read) {
            return of.spans.clone();
        }
        for of in read {
            sum.iter_mut().zip(&of.spans).for_each(|(sum, part)| sum.add_probe(part));
        }
    }
    sum
}
