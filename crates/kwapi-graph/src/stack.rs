//! The sum of many probes, taken in one at a time so that a hundred thousand need no more memory than twenty.

use std::collections::HashMap;

use kwapi_core::{Period, Series};

use super::figures::known;
use super::{EnergyFigure, Figures, window};

/// How many probes get a band of their own. The rest share one: more colours cannot be distinguished.
pub(crate) const BANDS_MAX: usize = 20;

/// The newest rows, and those where measuring begins, may lack probes that are read later, within so many seconds.
const SETTLES_SECONDS: u64 = 10;

/// Adds up probes over one period.
#[derive(Clone, Debug)]
pub struct StackedSum {
    start: u64,
    step: u64,
    now: u64,
    sum: Vec<f64>,
    known: Vec<u32>,
    /// For how many seconds of each row anything is known.
    seconds: Vec<u64>,
    joules: f64,
    probes: u32,
    /// The largest so far, at most [`BANDS_MAX`]; a smaller one gives way and stays in the sum alone.
    largest: Vec<Band>,
    /// Bands of several probes, and how many each has.
    shared: HashMap<String, (Band, u32)>,
}

/// As many bands of several probes are added up. More: their probes are among the others.
const SHARED_MAX: usize = 4_096;

/// One probe of a summary, or some that share a band.
#[derive(Clone, Debug, PartialEq)]
pub struct Band {
    /// The probe's id, or the path that the probes of the band are below.
    pub name: String,
    /// Its power, on the rows of the summary.
    pub watts: Vec<Option<f64>>,
    /// Its energy over the period.
    pub energy: EnergyFigure,
}

/// The sum of all probes over a period, ready to be drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stacked {
    /// The sum of the probes known in each row; unknown where none is.
    pub total: Series,
    /// Energy of all probes by their rows, in kilowatt-hours; not that of the total, since each is known for a time of its own.
    pub energy_kwh: f64,
    /// Their energy, where it is known better than from rows.
    pub energy: Option<EnergyFigure>,
    /// The part of `energy_kwh` in rows that are taken for unknown, since they lack probes that are read later.
    pub unsettled_kwh: f64,
    /// How many probes are known in each row.
    pub known: Vec<u32>,
    /// How many probes there are.
    pub probes: u32,
    /// The largest of them, in the natural order of their ids.
    pub bands: Vec<Band>,
    /// How many probes the bands leave out.
    pub others: u32,
}

impl StackedSum {
    /// Nothing yet, on the rows of the `period` that ends at `now` (Unix seconds).
    pub fn new(period: Period, now: u64) -> Self {
        let (_, end) = window(period, now);
        let step = period.step_seconds();
        // One more than the archive has where the period is no multiple of its step: the row in progress.
        let rows = usize::try_from(period.seconds().div_ceil(step)).unwrap_or(period.rows());
        let start = end.saturating_sub(step.saturating_mul(rows as u64));
        Self {
            start,
            step,
            now,
            sum: vec![0.0; rows],
            known: vec![0; rows],
            seconds: vec![0; rows],
            joules: 0.0,
            probes: 0,
            largest: Vec::new(),
            shared: HashMap::new(),
        }
    }

    /// Adds a probe. Rows outside the period, or on other steps than the period's, count as unknown.
    pub fn add(&mut self, name: &str, series: &Series) {
        self.add_with_energy(name, series, None);
    }

    /// The same, of a probe whose energy may be known better than from its rows.
    pub fn add_with_energy(&mut self, name: &str, series: &Series, energy: Option<EnergyFigure>) {
        let (watts, energy) = self.take(series, energy);
        let energy_kwh = energy.kwh().unwrap_or_default();
        if self.largest.len() >= BANDS_MAX {
            let least = (0..self.largest.len())
                .min_by(|a, b| self.energy_of(*a).total_cmp(&self.energy_of(*b)))
                .filter(|least| self.energy_of(*least) < energy_kwh);
            let Some(least) = least else { return };
            self.largest.swap_remove(least);
        }
        self.largest.push(Band { name: name.to_owned(), watts, energy });
    }

    /// The same, of a probe that shares the band of all below `path`.
    pub fn add_below(&mut self, path: &str, series: &Series, energy: Option<EnergyFigure>) {
        let (watts, energy) = self.take(series, energy);
        self.share(path, watts, energy, 1);
    }

    /// Adds the band of so many probes below `path` as a whole; `shares` has row by row which share of them is known.
    pub fn add_group(
        &mut self,
        path: &str,
        series: &Series,
        shares: &[f64],
        probes: usize,
        energy: EnergyFigure,
    ) {
        let probes = u32::try_from(probes).unwrap_or(u32::MAX);
        let (watts, energy) = self.take_several(series, Some(energy), probes, |row| {
            let share = shares.get(row).copied().unwrap_or_default().clamp(0.0, 1.0);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of them")]
            let known = (share * f64::from(probes)).round() as u32;
            known
        });
        self.share(path, watts, energy, probes);
    }

    fn share(&mut self, path: &str, watts: Vec<Option<f64>>, energy: EnergyFigure, count: u32) {
        if let Some((band, probes)) = self.shared.get_mut(path) {
            for (sum, own) in band.watts.iter_mut().zip(watts) {
                if let Some(own) = own {
                    *sum = Some(sum.unwrap_or_default() + own);
                }
            }
            band.energy = band.energy.plus(energy);
            *probes = probes.saturating_add(count);
        } else if self.shared.len() < SHARED_MAX {
            self.shared.insert(path.to_owned(), (Band { name: path.to_owned(), watts, energy }, count));
        }
    }

    /// Adds a probe to the sum; its power on the rows of that, and its energy.
    fn take(&mut self, series: &Series, energy: Option<EnergyFigure>) -> (Vec<Option<f64>>, EnergyFigure) {
        self.take_several(series, energy, 1, |_| 1)
    }

    /// The same of so many probes together, of which so many are known in a row of the series.
    fn take_several(
        &mut self,
        series: &Series,
        energy: Option<EnergyFigure>,
        probes: u32,
        known_in: impl Fn(usize) -> u32,
    ) -> (Vec<Option<f64>>, EnergyFigure) {
        self.probes = self.probes.saturating_add(probes);
        let mut watts = vec![None; self.sum.len()];
        let mut joules = 0.0;
        if series.step == self.step {
            for (index, value) in series.watts.iter().enumerate() {
                let row = series.row_start(index).checked_sub(self.start).map(|after| after / self.step);
                let Some(row) = row.and_then(|row| usize::try_from(row).ok()) else { continue };
                let Some(value) = known(*value) else { continue };
                let slots = (self.sum.get_mut(row), self.known.get_mut(row), self.seconds.get_mut(row));
                if let ((Some(total), Some(known), Some(most)), Some(own)) = (slots, watts.get_mut(row)) {
                    let seconds = series.known_seconds(index, self.now);
                    *total += value;
                    *known = known.saturating_add(known_in(index).max(1));
                    *most = seconds.max(*most);
                    *own = Some(value);
                    joules += value * seconds as f64;
                }
            }
        }
        self.joules += joules;
        (watts, energy.unwrap_or(EnergyFigure::Known(joules / 3.6e6)))
    }

    fn energy_of(&self, index: usize) -> f64 {
        self.largest.get(index).map_or(f64::INFINITY, |band| band.energy.kwh().unwrap_or_default())
    }

    /// Takes for unknown the newest rows, and the first after unknown time, as far as probes of the rows beside them are
    /// missing there: meters are not all read at once, and the sum of those that were is no power of anything. A probe
    /// that is silent for longer is left out of the sum. Returns the joules of those rows.
    fn leave_unsettled(&mut self) -> f64 {
        let rows = usize::try_from(SETTLES_SECONDS / self.step.max(1)).unwrap_or(0);
        let unsettled = |known: &mut dyn Iterator<Item = u32>| {
            let known: Vec<u32> = known.take(rows + 1).collect();
            let most = known.iter().copied().max().unwrap_or(0);
            known.into_iter().take(rows).take_while(|known| *known < most).count()
        };
        let newest = unsettled(&mut self.known.iter().rev().copied());
        let mut left_out: Vec<usize> = (self.known.len().saturating_sub(newest)..self.known.len()).collect();
        for (row, pair) in self.known.windows(2).enumerate() {
            if matches!(pair, [0, known] if *known > 0) {
                let first = row + 1;
                let mut so_long = self.known.iter().skip(first).copied().take_while(|known| *known > 0);
                left_out.extend(first..first + unsettled(&mut so_long));
            }
        }
        let mut joules = 0.0;
        for row in left_out {
            let slots = (self.sum.get_mut(row), self.known.get_mut(row), self.seconds.get(row));
            if let (Some(sum), Some(known), Some(seconds)) = slots {
                joules += *sum * *seconds as f64;
                (*sum, *known) = (0.0, 0);
            }
            for slot in self.largest.iter_mut().filter_map(|band| band.watts.get_mut(row)) {
                *slot = None;
            }
        }
        joules
    }

    /// The sum, and its largest parts.
    pub fn finish(mut self) -> Stacked {
        let alone = self.largest.len();
        let mut shared: Vec<(Band, u32)> = std::mem::take(&mut self.shared).into_values().collect();
        let kwh = |(band, _): &(Band, u32)| band.energy.kwh().unwrap_or_default();
        // Of those that used the same, the names decide, so that a drawing stays as it is.
        shared.sort_by(|a, b| kwh(b).total_cmp(&kwh(a)).then_with(|| a.0.name.cmp(&b.0.name)));
        shared.truncate(BANDS_MAX.saturating_sub(alone));
        let in_bands = shared.iter().fold(alone, |all, (_, probes)| all.saturating_add(*probes as usize));
        self.largest.extend(shared.into_iter().map(|(band, _)| band));
        let unsettled_kwh = self.leave_unsettled() / 3.6e6;
        self.largest.sort_by(|a, b| natural_order(&a.name, &b.name));
        let watts =
            self.sum.iter().zip(&self.known).map(|(sum, known)| (*known > 0).then_some(*sum)).collect();
        let others = self.probes.saturating_sub(u32::try_from(in_bands).unwrap_or(u32::MAX));
        Stacked {
            total: Series {
                partial: self
                    .seconds
                    .into_iter()
                    .enumerate()
                    .filter(|(_, known)| *known < self.step)
                    .collect(),
                ..Series::whole(self.start, self.step, watts)
            },
            energy_kwh: self.joules / 3.6e6,
            energy: None,
            unsettled_kwh,
            known: self.known,
            probes: self.probes,
            bands: self.largest,
            others,
        }
    }
}

impl Stacked {
    /// The legend of the sum as it stands at `now` (Unix seconds).
    pub fn figures(&self, now: u64) -> Figures {
        let mut figures = Figures::of(&self.total, now);
        if figures.last.is_some() {
            figures.energy = EnergyFigure::Known(self.energy_kwh);
        }
        if let Some(energy) = self.energy {
            figures.energy = energy;
        }
        if figures.known_seconds > 0 {
            let settled_kwh = self.energy_kwh - self.unsettled_kwh;
            figures.average = Some(settled_kwh * 3.6e6 / figures.known_seconds as f64);
        }
        figures
    }

    /// Where the band of the probe `name`, or of those below a path that it is below, is among the bands; `None` for one of
    /// the others.
    pub fn position(&self, name: &str) -> Option<usize> {
        let is_below = |path: &str| name.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        let own = self.bands.iter().position(|band| band.name == name);
        own.or_else(|| self.bands.iter().position(|band| is_below(&band.name)))
    }
}

/// Orders ids as people do: `node-2` before `node-10`.
pub fn natural_order(a: &str, b: &str) -> std::cmp::Ordering {
    // Ids beside each other begin alike, and a hundred thousand are sorted: what is the same is passed over, up to a number.
    let is_same = |(a, b): &(u8, u8)| a == b;
    let same = a.bytes().zip(b.bytes()).take_while(is_same).count();
    let is_within = |at: &usize| {
        let ends_in_digit = a.as_bytes().get(..*at).and_then(<[u8]>::last).is_some_and(u8::is_ascii_digit);
        ends_in_digit || !a.is_char_boundary(*at)
    };
    let same = (0..=same).rev().find(|at| !is_within(at)).unwrap_or_default();
    let key = |text| NaturalKey { rest: str::get(text, same..).unwrap_or_default(), digits: "" };
    key(a).cmp(key(b)).then_with(|| a.cmp(b))
}

/// The characters of a text, with each number preceded by its length (in the place of a `0`) and without leading zeros, so that
/// a longer number sorts after a shorter one.
struct NaturalKey<'a> {
    rest: &'a str,
    /// What is left of a number.
    digits: &'a str,
}

impl Iterator for NaturalKey<'_> {
    type Item = (char, usize);

    fn next(&mut self) -> Option<Self::Item> {
        let mut digits = self.digits.chars();
        if let Some(digit) = digits.next() {
            self.digits = digits.as_str();
            return Some((digit, 0));
        }
        let mut rest = self.rest.chars();
        let character = rest.next()?;
        if !character.is_ascii_digit() {
            self.rest = rest.as_str();
            return Some((character, 0));
        }
        let end = self.rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        let significant = number.trim_start_matches('0');
        self.digits = if significant.is_empty() { "0" } else { significant };
        self.rest = rest;
        Some(('0', self.digits.len()))
    }
}
