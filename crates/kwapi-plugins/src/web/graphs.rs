//! Finished graphs, kept until their archive has a new row, or the row in progress has moved on visibly.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kwapi_core::{Period, ProbeId, Series, Timestamp};
use kwapi_graph::{Figures, Look, PngError, Size, Stack, Stacked, Theme, draw_probe, draw_summary, png};
use parking_lot::Mutex;

use super::{PowerHistory, Settings, Unreadable};

/// A sum of all probes may take at most this share of the time: one that took a second is kept for nine more.
const SUM_REST: u32 = 9;

/// A form a graph is wanted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// A drawing, for a page or alone.
    Svg(Size, Theme),
    /// A raster of the drawing at this scale.
    Png(Size, Theme, u8),
}

/// A graph, ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Graph {
    pub(super) bytes: Bytes,
    /// Unix seconds of the end of its last row.
    pub(super) end: u64,
    pub(super) figures: Figures,
}

/// What a graph was drawn from: it is drawn again when this changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    /// The last row there can be.
    row: u64,
    /// The row of the newest measurement; over many probes, all of them hashed.
    newest: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key(Option<ProbeId>, Period, Form);

#[derive(Debug)]
struct Kept {
    graph: Graph,
    stamp: Stamp,
    used: u64,
}

/// How often a graph may be drawn again, in seconds: once a row; of rows of a quarter of an hour and more, sixty times a row,
/// since they also show the one in progress.
fn grain(period: Period) -> u64 {
    match period.step_seconds() {
        step @ 0..60 => step.max(1),
        step => step / 60,
    }
}

/// What one entry costs beside its bytes: key, figures, a place in the table.
const ENTRY_BYTES: usize = 512;

/// Graphs by what they show, bounded in bytes.
#[derive(Debug, Default)]
struct Cache {
    kept: HashMap<Key, Kept>,
    bytes: usize,
    /// Counts uses; the higher, the more recent.
    clock: u64,
    drawn: u64,
}

/// The sum of all probes over one period.
#[derive(Debug)]
struct Sum {
    stamp: Stamp,
    now: u64,
    stacked: Arc<Stacked>,
    took: Duration,
    made: Instant,
}

/// Why there is no graph.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoGraph {
    /// There is history, and it cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// It cannot be drawn.
    #[error("the graph could not be drawn")]
    Undrawn(#[from] PngError),
}

/// Draws graphs, and keeps them.
pub(super) struct Graphs {
    history: Arc<dyn PowerHistory>,
    settings: Settings,
    cache: Mutex<Cache>,
    /// One a period. Whoever holds it adds up; the others wait for that sum rather than make their own.
    sums: [Mutex<Option<Sum>>; Period::ALL.len()],
}

impl Graphs {
    pub(super) fn new(history: Arc<dyn PowerHistory>, settings: Settings) -> Self {
        Self { history, settings, cache: Mutex::default(), sums: Default::default() }
    }

    /// The history these graphs show.
    pub(super) fn history(&self) -> &dyn PowerHistory {
        &*self.history
    }

    /// One probe's graph; `None` when nobody knows the probe.
    ///
    /// # Errors
    /// See [`NoGraph`].
    pub(super) fn probe(
        &self,
        probe: &ProbeId,
        period: Period,
        form: Form,
        now: Timestamp,
    ) -> Result<Option<Graph>, NoGraph> {
        let now = now.seconds();
        let latest = self.history.newest(probe).map(Timestamp::seconds);
        let step = grain(period);
        // A row may be written a moment after it ended: the newest measurement tells.
        let stamp = Stamp { row: now / step, newest: latest.map_or(0, |at| 1 + at / step) };
        let key = Key(Some(probe.clone()), period, form);
        if let Some(graph) = self.cache.lock().get(&key, stamp) {
            return Ok(Some(graph));
        }
        let Some(series) = self.history.fetch(probe, period, now)? else { return Ok(None) };
        let mut figures = Figures::of(&series, now);
        if let Some((min, max)) = self.history.extremes(probe, period, now) {
            figures = figures.reaching(min.0, max.0);
        }
        let draw = |look: &Look| draw_probe(probe.as_str(), period, &series, figures, now, latest, look);
        Ok(Some(self.make(key, stamp, figures, self.settings.power_max, draw)?))
    }

    /// The graph of all `probes` together.
    pub(super) fn summary(
        &self,
        probes: &[ProbeId],
        period: Period,
        form: Form,
        now: Timestamp,
    ) -> Result<Graph, PngError> {
        let (stacked, stamp, at) = self.sum(probes, period, now);
        let key = Key(None, period, form);
        if let Some(graph) = self.cache.lock().get(&key, stamp) {
            return Ok(graph);
        }
        self.make(key, stamp, stacked.figures(at), None, |look| draw_summary(period, &stacked, at, look))
    }

    /// All `probes` added up, and when that was.
    pub(super) fn stacked(&self, probes: &[ProbeId], period: Period, now: Timestamp) -> Arc<Stacked> {
        self.sum(probes, period, now).0
    }

    fn sum(&self, probes: &[ProbeId], period: Period, now: Timestamp) -> (Arc<Stacked>, Stamp, u64) {
        let now = now.seconds();
        let [minute, hour, day, week, month, year] = &self.sums;
        let mut sum = match period {
            Period::Minute => minute.lock(),
            Period::Hour => hour.lock(),
            Period::Day => day.lock(),
            Period::Week => week.lock(),
            Period::Month => month.lock(),
            Period::Year => year.lock(),
        };
        if let Some(sum) = &*sum
            && now >= sum.now
            && sum.made.elapsed() < sum.took.saturating_mul(SUM_REST)
        {
            return (Arc::clone(&sum.stacked), sum.stamp, sum.now);
        }
        let start = Instant::now();
        let stamp = self.stamp_of_all(probes, period, now);
        if let Some(sum) = &*sum
            && sum.stamp == stamp
        {
            return (Arc::clone(&sum.stacked), stamp, sum.now);
        }
        let mut stack = Stack::new(period, now);
        for probe in probes {
            match self.history.fetch(probe, period, now) {
                Ok(Some(series)) => stack.add(probe.as_str(), &series),
                // Its own page and graph say so.
                Ok(None) | Err(_) => stack.add(probe.as_str(), &Series::default()),
            }
        }
        let stacked = Arc::new(stack.finish());
        *sum = Some(Sum { stamp, now, stacked: Arc::clone(&stacked), took: start.elapsed(), made: start });
        (stacked, stamp, now)
    }

    fn stamp_of_all(&self, probes: &[ProbeId], period: Period, now: u64) -> Stamp {
        let step = grain(period);
        let mut newest = probes.len() as u64;
        for probe in probes {
            let row = self.history.newest(probe).map_or(0, |at| 1 + at.seconds() / step);
            newest = newest.wrapping_mul(0x0100_0000_01b3) ^ row; // FNV-1's prime: any change of any row shows.
        }
        Stamp { row: now / step, newest }
    }

    fn make(
        &self,
        key: Key,
        stamp: Stamp,
        figures: Figures,
        power_max: Option<f64>,
        draw: impl FnOnce(&Look) -> String,
    ) -> Result<Graph, PngError> {
        let (Form::Svg(size, theme) | Form::Png(size, theme, _)) = key.2;
        let Settings { zone, hue, tariff, .. } = &self.settings;
        let look = Look { size, theme, zone: zone.clone(), power_max, hue: *hue, tariff: tariff.clone() };
        let svg = draw(&look);
        let bytes = match key.2 {
            Form::Svg(..) => Bytes::from(svg),
            Form::Png(_, _, scale) => Bytes::from(png(&svg, scale)?),
        };
        let end = stamp.row.saturating_mul(grain(key.1));
        let graph = Graph { bytes, end, figures };
        self.cache.lock().put(key, graph.clone(), stamp, self.settings.cache_bytes_max);
        Ok(graph)
    }

    /// How many graphs have been drawn and how many bytes are kept.
    #[cfg(test)]
    pub(super) fn effort(&self) -> (u64, usize) {
        let cache = self.cache.lock();
        (cache.drawn, cache.bytes)
    }
}

impl Cache {
    fn get(&mut self, key: &Key, stamp: Stamp) -> Option<Graph> {
        self.clock += 1;
        let kept = self.kept.get_mut(key).filter(|kept| kept.stamp == stamp)?;
        kept.used = self.clock;
        Some(kept.graph.clone())
    }

    fn put(&mut self, key: Key, graph: Graph, stamp: Stamp, bytes_max: usize) {
        self.drawn += 1;
        self.bytes += graph.bytes.len() + ENTRY_BYTES;
        let used = self.clock;
        if let Some(old) = self.kept.insert(key, Kept { graph, stamp, used }) {
            self.bytes -= old.graph.bytes.len() + ENTRY_BYTES;
        }
        if self.bytes <= bytes_max {
            return;
        }
        // Down to three quarters at once, so that a full cache is not sorted at every graph.
        let mut by_use: Vec<_> = self.kept.iter().map(|(key, kept)| (kept.used, key.clone())).collect();
        by_use.sort_by_key(|(used, _)| *used);
        for (_, key) in by_use {
            if self.bytes <= bytes_max / 4 * 3 {
                break;
            }
            if let Some(old) = self.kept.remove(&key) {
                self.bytes -= old.graph.bytes.len() + ENTRY_BYTES;
            }
        }
    }
}
