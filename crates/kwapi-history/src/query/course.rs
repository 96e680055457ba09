//! The samples of and beside the rows of the ledger that an answer has in part.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use kwapi_core::{Increment, ProbeId};

use super::SamplesSource;
use super::settled::settled;
use super::stretch::{Course, Point, Stretch};
use crate::samples::SampleRow;

/// How far beside a row the samples next to it are looked for, in milliseconds…
const BESIDE_MS: u64 = 60_000;
/// …and of a few probes with longer intervals.
const FAR_BESIDE_MS: u64 = 3_600_000;
const FAR_PROBES_MAX: usize = 64;
/// Samples taken into memory for one question.
const SAMPLES_MAX: usize = 1 << 22;
/// Time and total of each sample, by probe.
#[derive(Debug, Default)]
pub(super) struct Courses {
    points: HashMap<ProbeId, Vec<Point>>,
    /// Those of which samples were looked for further away.
    far: HashSet<ProbeId>,
    samples: usize,
}

impl Courses {
    /// Reads the samples of and beside some `rows` (Unix milliseconds), of `probes` in order of their ids.
    pub(super) fn read(samples: &SamplesSource, probes: &[ProbeId], rows: &[Range<u64>]) -> Self {
        let mut courses = Self::default();
        courses.add(samples, probes, rows, BESIDE_MS);
        let is_beside = |probe: &ProbeId| {
            rows.iter().all(|row| {
                let points = courses.around(probe, row, BESIDE_MS);
                let is_before = points.first().is_some_and(|point| point.at() <= row.start);
                is_before && points.last().is_some_and(|point| point.at() >= row.end)
            })
        };
        let far: Vec<ProbeId> = probes.iter().filter(|probe| !is_beside(probe)).cloned().collect();
        if !far.is_empty() && far.len() <= FAR_PROBES_MAX {
            far.iter().for_each(|probe| _ = courses.points.remove(probe));
            courses.add(samples, &far, rows, FAR_BESIDE_MS);
            courses.far.extend(far);
        }
        courses
    }

    fn add(&mut self, samples: &SamplesSource, probes: &[ProbeId], rows: &[Range<u64>], beside: u64) {
        let mut spans: Vec<Range<u64>> = Vec::new();
        for row in rows {
            let span = row.start.saturating_sub(beside)..row.end.saturating_add(beside);
            match spans.last_mut() {
                Some(last) if last.end >= span.start => last.end = last.end.max(span.end),
                _ => spans.push(span),
            }
        }
        for span in spans {
            if self.samples >= SAMPLES_MAX {
                break;
            }
            let times = span.start.saturating_mul(1_000)..span.end.saturating_mul(1_000);
            let unreadable =
                samples.energies(probes, times, |probe, SampleRow { at, total, power, quality, .. }| {
                    let Some(total) = total.filter(|_| self.samples < SAMPLES_MAX) else { return };
                    self.samples += 1;
                    let (micros, total, watts) = (at.micros(), total.millijoules(), power.0);
                    let point = Point { micros, total, watts, quality };
                    if let Some(points) = self.points.get_mut(probe) {
                        points.push(point);
                    } else {
                        self.points.insert(probe.clone(), vec![point]);
                    }
                });
            for file in unreadable {
                // The answer names the hour.
                tracing::warn!(cause = %file.cause, "a file of samples cannot be read");
            }
        }
        for points in self.points.values_mut() {
            points.sort_unstable_by_key(|point| (point.micros, point.total));
        }
    }

    /// The samples of and beside a row: those of another row need not follow them.
    fn around(&self, probe: &ProbeId, row: &Range<u64>, beside: u64) -> &[Point] {
        let points = self.points.get(probe).map(Vec::as_slice).unwrap_or_default();
        let first = points.partition_point(|point| point.at() < row.start.saturating_sub(beside));
        let last = points.partition_point(|point| point.at() < row.end.saturating_add(beside));
        points.get(first..last).unwrap_or_default()
    }

    /// Where in a row its energy lies; `None` where the samples do not show it.
    pub(super) fn course(&self, probe: &ProbeId, row: Range<u64>, increment: &Increment) -> Option<Course> {
        let beside = if self.far.contains(probe) { FAR_BESIDE_MS } else { BESIDE_MS };
        let stretches = stretches(self.around(probe, &row, beside), &row)?;
        let raw = || {
            let stretches = Some(stretches.clone()).filter(|stretches| !stretches.is_empty())?;
            Course::exact(stretches, row.clone(), *increment)
        };
        let settled = || {
            let stretches = settled(Stretch::padded(stretches.clone(), &row), increment)?;
            Course::exact(stretches, row.clone(), *increment)
        };
        let [_, _, bridged_ms] = increment.ms;
        // What was bridged in a row may have come later; where nothing was, the samples have it as it was used.
        let course = if bridged_ms == 0 { raw().or_else(settled) } else { settled().or_else(raw) };
        course.or_else(|| Course::near(stretches, row.clone(), *increment))
    }
}

/// The stretches of a row; `None` where a total falls.
fn stretches(points: &[Point], row: &Range<u64>) -> Option<Vec<Stretch>> {
    let Some(newest) = points.len().checked_sub(1) else { return Some(Vec::new()) };
    let first = points.partition_point(|point| point.at() <= row.start).saturating_sub(1);
    let last = points.partition_point(|point| point.at() < row.end);
    Stretch::between_all(points.get(first..=last.min(newest))?, row)
}
