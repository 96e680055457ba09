//! The power that samples show, as even stretches: a bounded number of samples at a time.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use kwapi_core::{Gaps, ProbeId, silent_after};

use super::super::SamplesSource;
use super::{HOUR_US, PowerFrom, Stretch};
use crate::samples::UnreadableSamples;

/// From when until when, in Unix microseconds.
pub(super) type SampleTime = (u64, u64);
/// Unix microseconds and watts.
pub(super) type PowerPoint = (u64, f64);

/// Probes read together.
const PROBES_TOGETHER: usize = 256;
/// No shorter time is read by itself.
const WINDOW_MIN_US: u64 = 60_000_000;
/// As many probes have more time read at once, and the samples beside it looked for further away: intervals may be long.
const FAR_PROBES_MAX: usize = 64;
const FAR_HOURS: u64 = 6;

/// The samples of some probes (in order of their ids) and time.
pub(super) struct PowerCourses<'a> {
    pub(super) samples: &'a SamplesSource,
    pub(super) probes: &'a [ProbeId],
    pub(super) time: SampleTime,
    pub(super) gaps: &'a Gaps,
    /// Samples in memory at once.
    pub(super) points_max: usize,
    pub(super) unreadable: &'a mut BTreeSet<UnreadableSamples>,
    /// The begins of the hours that could not be read, in Unix microseconds.
    pub(super) unread: &'a mut Vec<u64>,
}

/// Takes the samples of the probe at a place, in order of time, that are in a window or next to it, and after how many
/// microseconds without a sample power is not known.
pub(super) type EachCourse<'a> = dyn FnMut(usize, SampleTime, &[PowerPoint], u64) + 'a;

impl PowerCourses<'_> {
    /// Hands over all samples, window by window.
    pub(super) fn each(&mut self, each: &mut EachCourse<'_>) {
        let is_far = self.probes.len() <= FAR_PROBES_MAX;
        let length = if is_far { FAR_HOURS * HOUR_US } else { HOUR_US };
        let max_gap = self.longest_gap(0..self.probes.len());
        let beside = if is_far { max_gap.max(HOUR_US) } else { max_gap };
        let (mut from, to) = self.time;
        while from < to {
            let end = (from - from % length).saturating_add(length).min(to);
            for first in (0..self.probes.len()).step_by(PROBES_TOGETHER) {
                let last = self.probes.len().min(first + PROBES_TOGETHER);
                self.window(first, last, (from, end), beside, each);
            }
            from = end;
        }
    }

    /// The samples of the probes from `first` to before `last` in a window. Where they are too many, of half the probes or
    /// half the window at a time.
    fn window(
        &mut self,
        first: usize,
        last: usize,
        (from, to): SampleTime,
        beside: u64,
        each: &mut EachCourse<'_>,
    ) {
        let is_least = last - first <= 1 && to - from <= WINDOW_MIN_US;
        let Some(courses) = self.read(first, last, (from, to), beside, is_least) else {
            if last - first > 1 {
                let middle = first.midpoint(last);
                self.window(first, middle, (from, to), beside, each);
                self.window(middle, last, (from, to), beside, each);
            } else {
                let middle = from.midpoint(to);
                // Whose samples are this dense is received often.
                let beside = beside.min(self.longest_gap(first..last).max(WINDOW_MIN_US));
                self.window(first, last, (from, middle), beside, each);
                self.window(first, last, (middle, to), beside, each);
            }
            return;
        };
        for (points, place) in courses.into_iter().zip(first..) {
            let Some(probe) = self.probes.get(place).filter(|_| !points.is_empty()) else { continue };
            let usual = silent_after(usual_interval(&points), self.gaps.of(probe));
            each(place, (from, to), &points, micros(usual));
        }
    }

    /// The longest gap of the probes at these places, in microseconds.
    fn longest_gap(&self, places: Range<usize>) -> u64 {
        let probes = self.probes.get(places).unwrap_or_default();
        micros(probes.iter().map(|probe| self.gaps.of(probe)).max().unwrap_or_default())
    }

    /// `None`: there are too many.
    fn read(
        &mut self,
        first: usize,
        last: usize,
        (from, to): SampleTime,
        beside: u64,
        is_least: bool,
    ) -> Option<Vec<Vec<PowerPoint>>> {
        let (probes, points_max) = (self.probes.get(first..last).unwrap_or_default(), self.points_max);
        let mut courses: Vec<Vec<PowerPoint>> = vec![Vec::new(); probes.len()];
        let (mut count, mut place) = (0_usize, 0);
        let times = from.saturating_sub(beside)..to.saturating_add(beside);
        let unreadable = self.samples.energies(probes, times, |probe, sample| {
            count += 1;
            if count > points_max && !is_least {
                return;
            }
            // Rows of a probe lie together.
            if probes.get(place) != Some(probe) {
                place = probes.binary_search(probe).unwrap_or(usize::MAX);
            }
            if let Some(course) = courses.get_mut(place) {
                course.push((sample.at.micros(), sample.power.0));
            }
        });
        if count > points_max && !is_least {
            return None;
        }
        for file in unreadable {
            let hour = file.hour.micros();
            if !self.unread.contains(&hour) {
                self.unread.push(hour);
            }
            self.unreadable.insert(file);
        }
        for course in &mut courses {
            course.sort_unstable_by_key(|(at, _)| *at);
        }
        Some(courses)
    }
}

/// The interval of a probe: what a quarter of the times between its samples do not exceed. Neither two samples that happen
/// to follow each other at once nor gaps make it another.
fn usual_interval(points: &[PowerPoint]) -> Duration {
    let spacings = points.windows(2).filter_map(|pair| match pair {
        [(before, _), (after, _)] => Some(after.saturating_sub(*before)),
        _ => None,
    });
    let mut spacings: Vec<u64> = spacings.collect();
    let quarter = spacings.len() / 4;
    if spacings.is_empty() {
        return Duration::ZERO;
    }
    let (_, usual, _) = spacings.select_nth_unstable(quarter);
    Duration::from_micros(*usual)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The stretches of even power between successive samples, as far as they are in a window.
pub(super) fn stretches(
    points: &[PowerPoint],
    gap: u64,
    (from, to): SampleTime,
    mut each: impl FnMut(Stretch),
) {
    for pair in points.windows(2) {
        let &[(before, _), (after, watts)] = pair else { continue };
        let (begin, end) = (before.max(from), after.min(to));
        if begin < end && after - before <= gap {
            let source = PowerFrom::Samples;
            each(Stretch { from: begin, to: end, watts, min: watts, max: watts, known: 1.0, source });
        }
    }
}
