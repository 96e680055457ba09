//! The power that a probe's RRD files show, as even stretches: at each instant by the finest rows that reach back to it.

use kwapi_core::{Period, ProbeId, Series, Timestamp};

use super::{PowerFrom, Stretch};
use crate::History;

/// The rows of a probe, finest first.
#[derive(Debug, Default)]
pub(super) struct RrdPower {
    /// Averages, with the least and the most of the same rows where they are kept.
    periods: Vec<(Series, Option<(Series, Series)>)>,
    now: u64,
}

impl RrdPower {
    /// Reads the rows of a probe that cover the time between two instants (Unix microseconds); what cannot be read is not
    /// there, which its page reports.
    pub(super) fn read(history: &History, probe: &ProbeId, (from, to): (u64, u64), now: Timestamp) -> Self {
        let begin =
            |period: &Period| now.seconds().saturating_sub(period.seconds()).saturating_mul(1_000_000);
        // The first that reaches back far enough, and as its rows may begin up to one later, the next.
        let reaches = |period: &Period| begin(period) <= from;
        let most = Period::ALL.iter().position(reaches).map_or(Period::ALL.len(), |last| last + 2);
        let wanted = Period::ALL.into_iter().take(most).filter(|period| begin(period) < to);
        let of_period = |period: Period| {
            let averages = history.fetch(probe, period, now).ok().flatten()?;
            let peaks = history.peaks(probe, period, now).ok().flatten();
            // Rows beside each other are of the same time.
            let peaks = peaks.filter(|(min, _)| (min.start, min.step) == (averages.start, averages.step));
            Some((averages, peaks))
        };
        Self { periods: wanted.filter_map(of_period).collect(), now: now.seconds() }
    }

    /// The stretches between two instants (Unix microseconds) of which something is known.
    pub(super) fn stretches(&self, from: u64, to: u64, mut each: impl FnMut(Stretch)) {
        let mut at = from;
        while at < to {
            let begin = |(series, _): &&(Series, _)| series.start.saturating_mul(1_000_000);
            let Some((series, peaks)) = self.periods.iter().find(|period| begin(period) <= at) else {
                // Before all of them: on to where the first begins.
                let next = self.periods.iter().map(|period| begin(&period)).min();
                match next.filter(|next| *next < to) {
                    Some(next) => at = next,
                    None => return,
                }
                continue;
            };
            let step = series.step.max(1);
            let row = (at / 1_000_000).saturating_sub(series.start) / step;
            let Ok(row) = usize::try_from(row) else { return };
            let end = series.row_start(row).saturating_add(step).saturating_mul(1_000_000).min(to);
            if let Some(watts) = series.watts.get(row).copied().flatten() {
                let of_row = |series: &Series| series.watts.get(row).copied().flatten();
                let ends = peaks.as_ref().and_then(|(min, max)| of_row(min).zip(of_row(max)));
                let (min, max) = ends.unwrap_or((watts, watts));
                let known = series.known_seconds(row, self.now) as f64 / step as f64;
                each(Stretch { from: at, to: end, watts, min, max, known, source: PowerFrom::Rrd });
            }
            if end <= at {
                return;
            }
            at = end;
        }
    }
}
