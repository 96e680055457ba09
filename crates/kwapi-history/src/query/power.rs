//! Power by step: least, mean and most watts of a probe, or of several together, in each span of a question.
//!
//! Samples show it where they are kept: a sample's power is that of the time since the one before, unless that is too
//! long ago. What lies before the oldest sample kept, or in an hour that cannot be read, comes from the RRD file, as
//! far as that goes. Of several probes power is added on a grid of a second (a row of the RRD files, where those show
//! it).

mod courses;
mod grid;
mod rows;

use std::collections::BTreeSet;

use kwapi_core::{Gaps, ProbeId, Timestamp, Watts};

use super::{EnergyRequest, EnergyRequestError, Query, SamplesSource};
use crate::samples::UnreadableSamples;

use courses::{PowerCourses, SampleTime};
use rows::RrdPower;

pub use grid::PowerMembers;

/// Rows of an answer with power.
const ROWS_MAX: usize = 1 << 20;
/// Samples in memory at once; more only where a minute of one probe has more.
const POINTS_MAX: usize = 1 << 20;
/// Hours of samples read for an answer, those of all probes together: at a sample a second some 500 million.
const SAMPLE_HOURS_MAX: u64 = 1 << 17;
const HOUR_US: u64 = 3_600_000_000;

/// Power in a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PowerSpan {
    /// The least of any sample (of several probes: of any second)…
    pub min: Option<Watts>,
    /// …the mean over the time of which power is known…
    pub mean: Option<Watts>,
    /// …and the most.
    pub max: Option<Watts>,
    /// The share of the time, and of several probes of the probes, of which power is known.
    pub known_share: f64,
    /// Whether samples cover some of it…
    pub has_samples: bool,
    /// …and the RRD files.
    pub has_rrd: bool,
}

/// Where power comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PowerFrom {
    Samples,
    Rrd,
}

/// Even power over some time.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    /// Unix microseconds.
    from: u64,
    to: u64,
    watts: f64,
    /// Of the RRD files, which keep averages: the least and the most within.
    min: f64,
    max: f64,
    /// How much of the time is known, at most all.
    known: f64,
    source: PowerFrom,
}

/// Power gathered over a span.
#[derive(Clone, Copy, Debug, Default)]
struct PowerTally {
    /// Watts times microseconds.
    sum: f64,
    known_us: f64,
    ends: Option<(f64, f64)>,
    has_samples: bool,
    has_rrd: bool,
}

impl PowerTally {
    /// Adds as much of a stretch as lies between two instants.
    fn add(&mut self, stretch: &Stretch, from: u64, to: u64) {
        let length = to.min(stretch.to).saturating_sub(from.max(stretch.from)) as f64 * stretch.known;
        if length > 0.0 {
            self.take(stretch.watts, length, (stretch.min, stretch.max));
            self.note(stretch.source);
        }
    }

    fn take(&mut self, watts: f64, known_us: f64, (min, max): (f64, f64)) {
        self.sum += watts * known_us;
        self.known_us += known_us;
        let (least, most) = self.ends.unwrap_or((min, max));
        self.ends = Some((least.min(min), most.max(max)));
    }

    fn note(&mut self, source: PowerFrom) {
        match source {
            PowerFrom::Samples => self.has_samples = true,
            PowerFrom::Rrd => self.has_rrd = true,
        }
    }

    fn mean(&self) -> Option<f64> {
        (self.known_us > 0.0).then(|| self.sum / self.known_us)
    }

    fn span(&self, known_share: f64) -> PowerSpan {
        PowerSpan {
            min: self.ends.map(|(least, _)| Watts(least)),
            mean: self.mean().map(Watts),
            max: self.ends.map(|(_, most)| Watts(most)),
            known_share: known_share.clamp(0.0, 1.0),
            has_samples: self.has_samples,
            has_rrd: self.has_rrd,
        }
    }
}

/// A question about power that was looked over: it is not too much.
#[derive(Debug)]
pub struct PowerQuery<'a> {
    query: &'a Query,
    now: Timestamp,
    /// Unknown time begins when a probe was not received for longer, but for those with longer intervals.
    gaps: Gaps,
    /// The first hour that samples are kept of, in Unix microseconds; `u64::MAX` where none are.
    kept_from: u64,
    /// Samples in memory at once.
    points_max: usize,
    unreadable: BTreeSet<UnreadableSamples>,
}

impl Query {
    /// Prepares to answer what power there was: of each of a question's probes, or of the sums of `members`.
    ///
    /// # Errors
    /// See [`EnergyRequestError`].
    pub fn power(
        &self,
        request: &EnergyRequest,
        members: Option<&PowerMembers>,
    ) -> Result<PowerQuery<'_>, EnergyRequestError> {
        request.check(members.map_or(request.probes.len(), PowerMembers::sums), ROWS_MAX)?;
        let kept_from = self.samples.as_ref().and_then(SamplesSource::kept_from).map(Timestamp::micros);
        let kept_from = kept_from.unwrap_or(u64::MAX);
        let of_samples = request.end.micros().saturating_sub(request.start.micros().max(kept_from));
        // Of very many sums an hour is read several times.
        let (probes, times) = members.map_or((request.probes.len(), 1), PowerMembers::effort);
        let hours = of_samples.div_ceil(HOUR_US).saturating_mul(probes as u64).saturating_mul(times);
        if hours > SAMPLE_HOURS_MAX {
            return Err(EnergyRequestError::TooManySamples { hours, max: SAMPLE_HOURS_MAX });
        }
        let gaps = self.history.as_ref().map(|history| history.gaps().clone()).unwrap_or_default();
        let (points_max, unreadable) = (POINTS_MAX, BTreeSet::new());
        Ok(PowerQuery { query: self, now: request.now, gaps, kept_from, points_max, unreadable })
    }
}

impl PowerQuery<'_> {
    /// The power of each of `probes` (in order of their ids) in each of `spans`, which follow each other without a gap.
    /// Reads files, and may take a while.
    pub fn of_probes(&mut self, probes: &[ProbeId], spans: &[(Timestamp, Timestamp)]) -> Vec<Vec<PowerSpan>> {
        let spans: Vec<(u64, u64)> = spans.iter().map(|(from, to)| (from.micros(), to.micros())).collect();
        let mut tallies = vec![vec![PowerTally::default(); spans.len()]; probes.len()];
        let (Some((from, _)), Some((_, to))) = (spans.first(), spans.last()) else { return Vec::new() };
        let time = (*from, *to);
        // Where each probe's first sample is, as far as they are read.
        let mut first = vec![u64::MAX; probes.len()];
        let mut unread = Vec::new();
        if let Some(mut courses) = self.courses(probes, time, &mut unread) {
            courses.each(&mut |place, window, points, gap| {
                if let (Some(first), Some((at, _))) = (first.get_mut(place), points.first()) {
                    *first = (*first).min(*at);
                }
                let Some(tallies) = tallies.get_mut(place) else { return };
                courses::stretches(points, gap, window, |stretch| lay(&spans, tallies, &stretch));
            });
        }
        for ((probe, tallies), first) in probes.iter().zip(&mut tallies).zip(first) {
            let gaps = self.without_samples(time, first, &unread);
            let Some(rrd) = self.rrd(probe, &gaps) else { continue };
            for (from, to) in gaps {
                rrd.stretches(from, to, |stretch| lay(&spans, tallies, &stretch));
            }
        }
        let span_of = |(tally, (from, to)): (&PowerTally, &(u64, u64))| {
            tally.span(tally.known_us / to.saturating_sub(*from).max(1) as f64)
        };
        tallies.iter().map(|tallies| tallies.iter().zip(&spans).map(span_of).collect()).collect()
    }

    /// The hours of samples that could not be read by now, and why.
    pub fn unreadable(&self) -> Vec<UnreadableSamples> {
        self.unreadable.iter().cloned().collect()
    }

    /// The samples of some time, if there are any; hours that cannot be read are added to `unread`.
    fn courses<'b>(
        &'b mut self,
        probes: &'b [ProbeId],
        (from, to): SampleTime,
        unread: &'b mut Vec<u64>,
    ) -> Option<PowerCourses<'b>> {
        let samples = self.query.samples.as_ref()?;
        let from = from.max(self.kept_from);
        let (gaps, points_max, unreadable) = (&self.gaps, self.points_max, &mut self.unreadable);
        let time = (from, to);
        (from < to).then_some(PowerCourses { samples, probes, time, gaps, points_max, unreadable, unread })
    }

    /// The parts of some time of which samples show nothing: before they were kept (of a probe whose first sample was
    /// `first` microseconds after 1970), and where they cannot be read.
    fn without_samples(&self, (from, to): SampleTime, first: u64, unread: &[u64]) -> Vec<SampleTime> {
        let begin = if first.saturating_sub(self.kept_from) < HOUR_US { first } else { self.kept_from };
        let mut gaps = vec![(from, to.min(begin))];
        let hours = unread.iter().map(|hour| (*hour, hour.saturating_add(HOUR_US)));
        gaps.extend(hours.map(|(begin, end)| (from.max(begin), to.min(end))));
        gaps.sort_unstable();
        let mut end = 0;
        for gap in &mut gaps {
            gap.0 = gap.0.max(end);
            end = end.max(gap.1);
        }
        gaps.retain(|(from, to)| from < to);
        gaps
    }

    /// The RRD rows of a probe, if they are needed and there are any.
    fn rrd(&self, probe: &ProbeId, gaps: &[SampleTime]) -> Option<RrdPower> {
        let history = self.query.history.as_ref()?;
        let time = (gaps.first()?.0, gaps.last()?.1);
        Some(RrdPower::read(history, probe, time, self.now))
    }
}

/// Adds a stretch to the spans that it lies in.
fn lay(spans: &[(u64, u64)], tallies: &mut [PowerTally], stretch: &Stretch) {
    let first = spans.partition_point(|(_, end)| *end <= stretch.from);
    for ((from, to), tally) in spans.iter().zip(tallies).skip(first) {
        if *from >= stretch.to {
            break;
        }
        tally.add(stretch, *from, *to);
    }
}

#[cfg(test)]
mod tests;
