//! What of a row lies between two instants, as its samples tell.
//!
//! The ledger has laid the energy between two successive samples evenly, and so it is taken here. A row whose samples
//! do not come to what it says (some are missing, came late, or lie beside time of which nothing is known) is not taken
//! from them.

use std::collections::HashMap;
use std::ops::Range;

use kwapi_core::{Increment, ProbeId};

use super::SamplesSource;
use crate::samples::SampleRow;

/// How far beside a row the samples next to it are looked for, in milliseconds…
const BESIDE_MS: u64 = 60_000;
/// …and of a few probes with longer intervals.
const FAR_BESIDE_MS: u64 = 3_600_000;
const FAR_PROBES_MAX: usize = 64;
/// Samples taken into memory for one question.
const SAMPLES_MAX: usize = 1 << 22;
/// Rows' shares of a stretch are whole numbers: its parts may differ by so much, in millijoules and milliseconds.
const ROUNDING: u64 = 3;

/// Time and total of each sample, by probe.
#[derive(Debug, Default)]
pub(super) struct Courses {
    points: HashMap<ProbeId, Vec<Point>>,
    samples: usize,
}

/// A sample: Unix milliseconds, and the millijoules that its probe's account had come to.
type Point = (u64, u64);

impl Courses {
    /// Reads the samples of and beside some `rows` (Unix milliseconds), of `probes` in order of their ids.
    pub(super) fn read(samples: &SamplesSource, probes: &[ProbeId], rows: &[Range<u64>]) -> Self {
        let mut courses = Self::default();
        courses.add(samples, probes, rows, BESIDE_MS);
        let is_beside = |probe: &ProbeId| {
            let points = courses.points.get(probe).map(Vec::as_slice).unwrap_or_default();
            rows.iter().all(|row| {
                let at = points.partition_point(|(at, _)| *at <= row.start);
                at > 0 && points.last().is_some_and(|(at, _)| *at >= row.end)
            })
        };
        let far: Vec<ProbeId> = probes.iter().filter(|probe| !is_beside(probe)).cloned().collect();
        if !far.is_empty() && far.len() <= FAR_PROBES_MAX {
            far.iter().for_each(|probe| _ = courses.points.remove(probe));
            courses.add(samples, &far, rows, FAR_BESIDE_MS);
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
            let unreadable = samples.energies(probes, times, |probe, SampleRow { at, total, .. }| {
                let Some(total) = total.filter(|_| self.samples < SAMPLES_MAX) else { return };
                self.samples += 1;
                let point = (at.micros() / 1_000, total.millijoules());
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
            points.sort_unstable();
        }
    }

    /// Where in a row its energy lies; `None` where the samples do not come to it.
    pub(super) fn course(&self, probe: &ProbeId, row: Range<u64>, increment: &Increment) -> Option<Course> {
        let points = self.points.get(probe)?;
        let mut of_one_status = (0..3).filter(|status| {
            let of = |parts: &[i64; 3]| parts.get(*status).is_some_and(|part| *part != 0);
            of(&increment.mj) || of(&increment.ms)
        });
        let status = of_one_status.next()?;
        if of_one_status.next().is_some() {
            return None;
        }
        let first = points.partition_point(|(at, _)| *at <= row.start).saturating_sub(1);
        let last = points.partition_point(|(at, _)| *at < row.end);
        let points = points.get(first..=last.min(points.len().checked_sub(1)?))?;
        if points.windows(2).any(|pair| matches!(pair, [(_, before), (_, after)] if after < before)) {
            return None;
        }
        let course = Course {
            points: points.to_vec(),
            row,
            status,
            mj: *increment.mj.get(status)?,
            ms: *increment.ms.get(status)?,
        };
        let (mj, ms) = course.before(course.row.end);
        let is_right = mj.abs_diff(course.mj) <= ROUNDING && ms.abs_diff(course.ms) <= ROUNDING;
        is_right.then_some(course)
    }
}

/// Where in a row its energy lies.
#[derive(Debug)]
pub(super) struct Course {
    points: Vec<Point>,
    row: Range<u64>,
    status: usize,
    /// All of the row's energy and time.
    mj: i64,
    ms: i64,
}

impl Course {
    /// What lies between two instants.
    pub(super) fn between(&self, from: u64, to: u64) -> Increment {
        let ((mj_before, ms_before), (mj, ms)) = (self.bounded(from), self.bounded(to));
        let mut increment = Increment::default();
        if let (Some(of_mj), Some(of_ms)) =
            (increment.mj.get_mut(self.status), increment.ms.get_mut(self.status))
        {
            (*of_mj, *of_ms) = (mj - mj_before, ms - ms_before);
        }
        increment
    }

    /// What lies before an instant: nothing at the row's begin, and all at its end.
    fn bounded(&self, at: u64) -> (i64, i64) {
        if at >= self.row.end {
            return (self.mj, self.ms);
        }
        let (mj, ms) = self.before(at);
        (mj.min(self.mj.max(0)), ms.min(self.ms.max(0)))
    }

    /// Energy and time of the samples from the row's begin to an instant.
    fn before(&self, at: u64) -> (i64, i64) {
        let (mut mj, mut ms) = (0_u64, 0);
        for pair in self.points.windows(2) {
            let &[(from, before), (to, after)] = pair else { continue };
            let (begin, end) = (from.max(self.row.start), to.min(at));
            if end > begin {
                let gained = u128::from(after - before);
                let until = |at: u64| gained * u128::from(at - from) / u128::from(to - from);
                mj = mj.saturating_add(u64::try_from(until(end) - until(begin)).unwrap_or(u64::MAX));
                ms += end - begin;
            }
        }
        (i64::try_from(mj).unwrap_or(i64::MAX), i64::try_from(ms).unwrap_or(i64::MAX))
    }
}
