//! Finished graphs, kept until their archive has a new row, or the row in progress has moved on visibly.

mod bands;
mod cache;
mod of_groups;
mod rests;

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kwapi_core::{Period, ProbeId, Timestamp};
use kwapi_graph::{
    EnergyFigure, Figures, Look, PngError, RowMark, Size, Stacked, StackedSum, Theme, cost_text,
    draw_marked_probe, draw_probe, draw_summary, png,
};
use parking_lot::Mutex;

use super::Settings;
use super::marks::{self, Occurring};
use super::overview::Seen;
use super::used::Used;
use crate::directory::{Directory, PowerHistory, Unreadable};
use bands::{BandEnergies, paths, with_energies};
use cache::Cache;
use rests::{KnownTops, Rests};

/// A sum of all probes may take at most this share of the time: one that took a second is kept for nine more.
const SUM_REST: u32 = 9;
/// One that took less is made whenever it is requested, so that a page of few probes is always of this moment.
const SUM_CHEAP: Duration = Duration::from_millis(50);

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
    /// How sure its rows are, where that is marked.
    pub(super) occurring: Occurring,
}

/// What a graph was drawn from: it is drawn again when this changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    /// The last row there can be.
    row: u64,
    /// The row of the newest measurement; over many probes, all of them hashed.
    newest: u64,
    /// The energy that the graph states, in words, hashed: an old one never stands beside a new one on a page.
    energy: u64,
}

/// What a graph shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Probe(ProbeId),
    /// A group, by its path.
    Group(ProbeId),
    /// The sum of all probes there are…
    Everything,
    /// …or of exactly these, which are all that somebody sees.
    These(Arc<[ProbeId]>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key(Subject, Period, Form);

/// How often a graph may be drawn again, in seconds: once a row; of rows of a quarter of an hour and more, sixty times a row,
/// since they also show the one in progress.
fn grain(period: Period) -> u64 {
    match period.step_seconds() {
        step @ 0..60 => step.max(1),
        step => step / 60,
    }
}

/// The sum of probes over one period.
#[derive(Clone, Debug)]
pub(super) struct Sum {
    stamp: Stamp,
    now: u64,
    pub(super) stacked: Arc<Stacked>,
    /// How sure its rows are; none where there is nothing to mark.
    marks: Arc<[RowMark]>,
    /// What each of them used in it, and has come to.
    pub(super) used: Used,
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
    #[error("cannot draw the graph")]
    Undrawn(#[from] PngError),
}

/// Draws graphs, and keeps them.
pub(super) struct Graphs {
    directory: Directory,
    settings: Settings,
    cache: Mutex<Cache>,
    /// One a period. Whoever holds it adds up; the others wait for that sum rather than make their own.
    sums: [Mutex<Option<Sum>>; Period::ALL.len()],
    /// Those of callers who do not see everything, the latest last. Full: the oldest is dropped.
    own_sums: Mutex<VecDeque<OwnSum>>,
}

/// The sum of some probes over a period.
type OwnSum = ((Arc<[ProbeId]>, Period), Sum);

/// As many sums are kept for callers who do not see everything: a few for each of some tenants.
const OWN_SUMS_MAX: usize = 24;

impl Graphs {
    pub(super) fn new(directory: Directory, settings: Settings) -> Self {
        let (cache, sums, own_sums) = (Mutex::default(), Default::default(), Mutex::default());
        Self { directory, settings, cache, sums, own_sums }
    }

    /// What probes have used, at this moment.
    pub(super) fn used(&self, probes: &[ProbeId], periods: &[Period], now: Timestamp) -> Used {
        Used::read(&self.directory, probes, periods, now)
    }

    /// The graph of one probe or group, with the energy that is known from elsewhere than its rows; `None` when it is
    /// unknown. How sure its rows are is marked; those of a group by its `members`.
    ///
    /// # Errors
    /// See [`NoGraph`].
    pub(super) fn one(
        &self,
        subject: &Subject,
        period: Period,
        form: Form,
        energy: Option<EnergyFigure>,
        members: Option<&Seen>,
        now: Timestamp,
    ) -> Result<Option<Graph>, NoGraph> {
        let kept: Option<(&ProbeId, &dyn PowerHistory)> = match subject {
            Subject::Probe(probe) => self.directory.history().map(|history| (probe, history)),
            Subject::Group(group) => {
                self.directory.groups().map(|groups| (group, groups as &dyn PowerHistory))
            }
            Subject::Everything | Subject::These(_) => None,
        };
        let Some((name, kept)) = kept else { return Ok(None) };
        let (at, now) = (now, now.seconds());
        let latest = kept.last(name).map(|latest| latest.at.seconds());
        let step = grain(period);
        // A row may be written a moment after it ended: the newest measurement decides.
        let newest = latest.map_or(0, |at| 1 + at / step);
        let stamp = Stamp { row: now / step, newest, energy: self.hash_of(energy) };
        let key = Key(subject.clone(), period, form);
        if let Some(graph) = self.cache.lock().get(&key, stamp) {
            return Ok(Some(graph));
        }
        let Some(series) = kept.fetch(name, period, now)? else { return Ok(None) };
        let mut figures = Figures::of(&series, now);
        if let Some((min, max)) = kept.extremes(name, period, now) {
            figures = figures.reaching(min.0, max.0);
        }
        if let Some(energy) = energy {
            figures = figures.with_energy(energy);
        }
        let marks = match (subject, members, self.directory.groups()) {
            (Subject::Probe(probe), ..) => marks::of_period(&self.directory, probe, period, &series, at),
            (Subject::Group(group), Some(members), Some(groups)) => {
                let shares = groups.known_share(group.as_str(), period, at).ok().flatten();
                let shares = shares.filter(|shares| shares.start == series.start).unwrap_or_default();
                let shares: Vec<f64> = shares.watts.iter().map(|share| share.unwrap_or_default()).collect();
                marks::of_sum(&self.directory, &members.tops(), period, &series, &shares, at)
            }
            (Subject::Group(_) | Subject::Everything | Subject::These(_), ..) => Vec::new(),
        };
        let is_probe = matches!(subject, Subject::Probe(_));
        let power_max = self.settings.power_max.filter(|_| is_probe);
        let draw = |look: &Look| match &*marks {
            [] => draw_probe(name.as_str(), period, &series, figures, now, latest, look),
            marks => draw_marked_probe(name.as_str(), period, &series, marks, figures, now, look),
        };
        Ok(Some(self.make(key, stamp, (figures, Occurring::in_rows(&marks)), power_max, draw)?))
    }

    /// The graph of all that is seen together.
    pub(super) fn summary(
        &self,
        sum: &Sum,
        seen: &Seen,
        period: Period,
        form: Form,
    ) -> Result<Graph, PngError> {
        let Sum { stacked, marks, stamp, now: at, .. } = sum;
        let (mut stamp, at) = (*stamp, *at);
        stamp.energy =
            self.hash_of(stacked.energy.into_iter().chain(stacked.bands.iter().map(|band| band.energy)));
        let subject =
            if seen.is_everything { Subject::Everything } else { Subject::These(Arc::clone(&seen.parts)) };
        let key = Key(subject, period, form);
        if let Some(graph) = self.cache.lock().get(&key, stamp) {
            return Ok(graph);
        }
        let shown = (stacked.figures(at), Occurring::in_rows(marks));
        self.make(key, stamp, shown, None, |look| draw_summary(period, stacked, marks, at, look))
    }

    /// What a graph shows of these energies, and what they cost.
    fn hash_of(&self, energies: impl IntoIterator<Item = EnergyFigure>) -> u64 {
        let mut hasher = DefaultHasher::new();
        for energy in energies {
            energy.text().hash(&mut hasher);
            let cost = self.settings.tariff.as_ref().zip(energy.kwh());
            cost.map(|(tariff, kwh)| cost_text(kwh * tariff.price_per_kwh, "")).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// All that is seen added up.
    pub(super) fn sum(&self, seen: &Seen, period: Period, now: Timestamp) -> Sum {
        if !seen.is_everything {
            let key = (Arc::clone(&seen.all), period);
            let kept =
                self.own_sums.lock().iter().find(|(other, _)| *other == key).map(|(_, sum)| sum.clone());
            let is_kept = kept.is_some();
            let sum = self.renewed(kept, seen, period, now);
            let mut own = self.own_sums.lock();
            if is_kept || own.len() >= OWN_SUMS_MAX {
                let old = own.iter().position(|(other, _)| *other == key).unwrap_or(0);
                own.remove(old);
            }
            own.push_back((key, sum.clone()));
            return sum;
        }
        let [minute, hour, day, week, month, year] = &self.sums;
        let mut sum = match period {
            Period::Minute => minute.lock(),
            Period::Hour => hour.lock(),
            Period::Day => day.lock(),
            Period::Week => week.lock(),
            Period::Month => month.lock(),
            Period::Year => year.lock(),
        };
        let renewed = self.renewed(sum.take(), seen, period, now);
        *sum = Some(renewed.clone());
        renewed
    }

    /// The sum as it is kept, if it is still good, and else a new one.
    fn renewed(&self, kept: Option<Sum>, seen: &Seen, period: Period, at: Timestamp) -> Sum {
        let now = at.seconds();
        let rests =
            |sum: &Sum| sum.took > SUM_CHEAP && sum.made.elapsed() < sum.took.saturating_mul(SUM_REST);
        let kept = match kept {
            Some(sum) if now >= sum.now && rests(&sum) => return sum,
            kept => kept,
        };
        let start = Instant::now();
        let used = self.used(&seen.all, &[period], at);
        let stamp = self.stamp_of_all(&seen.all, period, now);
        let probes = &*seen.parts;
        if let Some(mut sum) = kept.filter(|sum| sum.stamp == stamp) {
            if !sum.used.shows_same(&used) {
                sum.stacked = Arc::new(with_energies(&sum.stacked, seen, &used, period));
            }
            sum.used = used;
            return sum;
        }
        // Its own page and graph report if one cannot be read.
        let fetch =
            |probe: &ProbeId| self.directory.fetch(probe, period, now).ok().flatten().unwrap_or_default();
        let energies = BandEnergies::new(seen, &used, period);
        let paths = paths(probes);
        let groups =
            of_groups::bands(&self.directory, seen, paths.as_deref(), (&energies, &used), period, at);
        let path_of = |at: usize| paths.as_ref().and_then(|paths| paths.get(at).copied());
        let is_alone = |at: usize| path_of(at).is_none_or(|path| !groups.contains_key(path));
        let mut rests = Rests::new(probes);
        for band in groups.values() {
            if let Some(meter) = band.meter {
                rests.add_group(meter, &band.power, &band.shares, band.tops);
            }
        }
        rests.add_probes(probes, is_alone, fetch);
        let mut stack = StackedSum::new(period, now);
        let mut known = KnownTops::default();
        for (at, probe) in probes.iter().enumerate().filter(|(at, _)| is_alone(*at)) {
            let own = fetch(probe);
            if rests.is_top(at) {
                known.add(&own, rests.below(at));
            }
            let series = rests.drawn(at, own);
            match path_of(at) {
                Some(path) => stack.add_below(path, &series, energies.of(at)),
                None => stack.add_with_energy(probe.as_str(), &series, energies.of(at)),
            }
        }
        for (path, band) in groups {
            if band.meter.is_none() {
                known.add_group(&band.power, &band.shares, band.tops);
            }
            let power = rests.drawn_below(band.meter, band.power);
            stack.add_group(path, &power, &band.shares, band.probes, band.energy);
        }
        let stacked = Stacked { energy: energies.total, ..stack.finish() };
        let shares = known.shares(&stacked.total);
        let marks = marks::of_sum(&self.directory, &seen.tops(), period, &stacked.total, &shares, at);
        let (stacked, marks) = (Arc::new(stacked), marks.into());
        Sum { stamp, now, stacked, marks, used, took: start.elapsed(), made: start }
    }

    fn stamp_of_all(&self, probes: &[ProbeId], period: Period, now: u64) -> Stamp {
        let step = grain(period);
        let mut newest = probes.len() as u64;
        for probe in probes {
            let row = self.directory.newest_kept(probe).map_or(0, |at| 1 + at.seconds() / step);
            newest = newest.wrapping_mul(0x0100_0000_01b3) ^ row; // FNV-1's prime: any change of any row shows.
        }
        Stamp { row: now / step, newest, energy: 0 }
    }

    fn make(
        &self,
        key: Key,
        stamp: Stamp,
        (figures, occurring): (Figures, Occurring),
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
        let graph = Graph { bytes, end, figures, occurring };
        self.cache.lock().put(key, graph.clone(), stamp, self.settings.cache_bytes_max);
        Ok(graph)
    }

    /// How many sums are kept for callers who do not see everything.
    #[cfg(test)]
    pub(super) fn own_sums_kept(&self) -> usize {
        self.own_sums.lock().len()
    }

    /// How many graphs have been drawn and how many bytes are kept.
    #[cfg(test)]
    pub(super) fn effort(&self) -> (u64, usize) {
        let cache = self.cache.lock();
        (cache.drawn, cache.bytes)
    }
}
