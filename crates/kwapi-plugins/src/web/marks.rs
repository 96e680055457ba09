//! How sure the rows of a graph are, by the ledger, and the key to it in words.

use std::time::Duration;

use kwapi_core::{Period, ProbeId, RowStep, Series, Timestamp};
use kwapi_graph::{RowMark, RowStatus, window};
use kwapi_history::EnergySpan;

use crate::directory::Directory;

/// How sure a row with this energy is: as most of its time.
pub(super) fn row_mark(energy: &EnergySpan, has_power: bool) -> RowMark {
    let [measured, estimated, bridged] = energy.known.ms.map(|ms| u64::try_from(ms).unwrap_or(0));
    let measured = measured.saturating_add(energy.rrd_ms);
    let status = match has_power {
        // What has a power is drawn: a part that is unknown stands in the table.
        true if estimated > measured => RowStatus::Estimated,
        true => RowStatus::Measured,
        false if bridged > 0 && bridged >= energy.unknown_ms => RowStatus::Bridged,
        false if energy.absent_ms > energy.unknown_ms => RowStatus::Absent,
        false => RowStatus::Unknown,
    };
    let [_, _, bridged_mj] = energy.known.mj;
    // Millijoules by milliseconds are watts.
    let watts = (status == RowStatus::Bridged).then(|| bridged_mj as f64 / bridged.max(1) as f64);
    RowMark { bridged: watts, ..RowMark::of(status) }
}

/// No shorter row of the ledger is queried: what is within it is derived from whether a row of the graph has a power.
pub(super) const STEP_SECONDS_MIN: u64 = 60;

/// How sure each row of `series`, the power of a probe over a period, is at `now`. Empty where the graph has nothing to mark: all
/// is measured or absent, or no ledger is kept.
pub(super) fn of_period(
    directory: &Directory,
    probe: &ProbeId,
    period: Period,
    series: &Series,
    now: Timestamp,
) -> Vec<RowMark> {
    let step = period.step_seconds().max(STEP_SECONDS_MIN);
    let (start, end) = window(period, now.seconds());
    let times = (Timestamp::from_seconds(start), Timestamp::from_seconds(end));
    let spans = directory.statuses(probe, times, Duration::from_secs(step), now).unwrap_or_default();
    where_marked(marks_of(series, &spans, step), series)
}

/// Marks, where there is something to mark.
fn where_marked(marks: Vec<RowMark>, series: &Series) -> Vec<RowMark> {
    let occurring = Occurring::in_rows(&marks);
    let has_power = series.watts.iter().any(Option::is_some);
    let is_marked = occurring.has(RowStatus::Bridged)
        || has_power && (occurring.has(RowStatus::Estimated) || occurring.has(RowStatus::Unknown));
    if is_marked { marks } else { Vec::new() }
}

/// A sum is marked where it lacks so large a share: of its probes' power in the row, and of their energy by the ledger.
const LACKING_SHARE_MIN: f64 = 0.05;
/// As many rows of the ledger are read for the course of a sum. Of more probes, longer rows decide, and whether a probe
/// has a power in the row.
const SUM_ROWS_MAX: u64 = 1 << 20;

/// How sure each row of `series` is, the power of several probes together over a period, at `now`: `tops` are those of them
/// that no other measures, `shares` of each row the share of the probes whose power is in it. Empty as for a probe.
pub(super) fn of_sum(
    directory: &Directory,
    tops: &[ProbeId],
    period: Period,
    series: &Series,
    shares: &[f64],
    now: Timestamp,
) -> Vec<RowMark> {
    let step = sum_step(period, tops.len());
    let (start, end) = window(period, now.seconds());
    let times = (Timestamp::from_seconds(start), Timestamp::from_seconds(end));
    let Some(spans) = directory.sum_statuses(tops, times, Duration::from_secs(step), now) else {
        return Vec::new();
    };
    let rows =
        series.watts.iter().enumerate().map(|(row, watts)| {
            (series.row_start(row), *watts, shares.get(row).copied().unwrap_or_default())
        });
    where_marked(marks_of_sum(rows, &spans, step, series.step), series)
}

/// In stretches of how many seconds the ledger is queried about a sum of so many probes.
fn sum_step(period: Period, probes: usize) -> u64 {
    const MINUTE: u64 = RowStep::Minute.milliseconds() / 1_000;
    const QUARTER: u64 = RowStep::Quarter.milliseconds() / 1_000;
    const DAY: u64 = RowStep::Day.milliseconds() / 1_000;
    let finest = period.step_seconds().max(STEP_SECONDS_MIN);
    let rows = |step: u64| {
        let row = match step {
            0..QUARTER => MINUTE,
            QUARTER..DAY => QUARTER,
            DAY.. => DAY,
        };
        (period.seconds() / row).saturating_mul(probes as u64)
    };
    let steps = [finest, QUARTER, DAY].into_iter().filter(|step| *step >= finest);
    steps.into_iter().find(|step| rows(*step) <= SUM_ROWS_MAX).unwrap_or(finest.max(DAY))
}

/// The marks of rows of a sum (their begins in Unix seconds, their watts, and the share of the probes that is in these), each by
/// the one of `spans`, of `step` seconds each, in which it begins. Where these are longer than the rows, of `row_step` seconds,
/// they show what it is that a row lacks, and its power how much.
pub(super) fn marks_of_sum(
    rows: impl Iterator<Item = (u64, Option<f64>, f64)>,
    spans: &[EnergySpan],
    step: u64,
    row_step: u64,
) -> Vec<RowMark> {
    let step = step.max(1);
    let Some(first) = spans.first() else { return Vec::new() };
    let first = first.start.seconds() / step;
    let of_row = |(start, watts, share): (u64, Option<f64>, f64)| {
        let place = (start / step).checked_sub(first).and_then(|place| usize::try_from(place).ok());
        match place.and_then(|place| spans.get(place)) {
            Some(span) if step > row_step => coarse_mark(span, row_step as f64 * 1e3, watts, share),
            Some(span) => sum_mark(span, watts, share),
            None if watts.is_some() => RowMark::default(),
            None => RowMark::of(RowStatus::Absent),
        }
    };
    rows.map(of_row).collect()
}

/// How sure a row of a sum is: what it lacks is unknown or bridged where that is more than [`LACKING_SHARE_MIN`] of its probes'
/// time; what it has is as sure as most of that.
fn sum_mark(span: &EnergySpan, watts: Option<f64>, power_share: f64) -> RowMark {
    let [measured, estimated, bridged] = span.known.ms.map(|ms| ms.max(0) as f64);
    let (measured, unknown) = (measured + span.rrd_ms as f64, span.unknown_ms as f64);
    let all = measured + estimated + bridged + unknown;
    if all <= 0.0 {
        return if watts.is_some() { RowMark::default() } else { RowMark::of(RowStatus::Absent) };
    }
    let lacks = |part: f64| {
        let is_lacking = watts.is_none() || 1.0 - power_share > LACKING_SHARE_MIN;
        is_lacking && part / all > LACKING_SHARE_MIN
    };
    let of = |status, part: f64| RowMark { share: Some(part / all), ..RowMark::of(status) };
    if lacks(unknown) {
        of(RowStatus::Unknown, unknown)
    } else if lacks(bridged) {
        let [_, _, bridged_mj] = span.known.mj;
        let length_ms = span.end.since(span.start).as_millis() as f64;
        let total = watts.unwrap_or_default() + bridged_mj as f64 / length_ms.max(1.0);
        RowMark { bridged: Some(total), ..of(RowStatus::Bridged, bridged) }
    } else {
        known_mark(span, watts)
    }
}

/// The marks of the rows of `series`, each by the one of `spans`, of `step` seconds each, in which it begins.
fn marks_of(series: &Series, spans: &[EnergySpan], step: u64) -> Vec<RowMark> {
    let Some(first) = spans.first() else { return Vec::new() };
    let begin = first.start.seconds();
    let of_row = |(row, watts): (usize, &Option<f64>)| {
        let after = series.row_start(row).checked_sub(begin);
        let span = after.and_then(|after| spans.get(usize::try_from(after / step.max(1)).ok()?));
        let has_power = watts.is_some();
        match span {
            Some(span) if has_power || span.known_ms() == 0 || is_in_doubt(span) => row_mark(span, has_power),
            // The ledger has all of that time, only its power is not in the file: no more is marked.
            Some(_) => RowMark::default(),
            None => {
                let status = if has_power { RowStatus::Measured } else { RowStatus::Absent };
                RowMark::of(status)
            }
        }
    };
    series.watts.iter().enumerate().map(of_row).collect()
}

/// Whether something of a span is not measured.
fn is_in_doubt(span: &EnergySpan) -> bool {
    let [_, _, bridged] = span.known.ms;
    bridged > 0 || span.unknown_ms > 0 || span.absent_ms > 0
}

/// How sure what a sum has is: as most of it. Where the ledger has all of the time, but for a little, no more is marked.
fn known_mark(span: &EnergySpan, watts: Option<f64>) -> RowMark {
    let [measured, estimated, _] = span.known.ms.map(|ms| ms.max(0) as f64);
    if watts.is_none() || estimated <= measured + span.rrd_ms as f64 {
        return RowMark::default();
    }
    let all = span.known_ms().saturating_add(span.unknown_ms);
    RowMark { share: Some(estimated / all as f64), ..RowMark::of(RowStatus::Estimated) }
}

/// How sure a row of a sum is, of `row_ms` milliseconds, by a span that is longer: what the row lacks beyond the probes that
/// were not there is of the kind of most that the span lacks, as far as that may lie in the row.
fn coarse_mark(span: &EnergySpan, row_ms: f64, watts: Option<f64>, power_share: f64) -> RowMark {
    let [_, _, bridged] = span.known.ms.map(|ms| ms.max(0) as f64);
    let (unknown, absent) = (span.unknown_ms as f64, span.absent_ms as f64);
    let whole = span.known_ms() as f64 + unknown + absent;
    if watts.is_none() && absent > unknown + bridged {
        return RowMark::of(RowStatus::Absent);
    }
    let lacking = 1.0 - power_share - if watts.is_some() { absent / whole.max(1.0) } else { 0.0 };
    let probes = whole / (span.end.since(span.start).as_millis() as f64).max(1.0);
    let is_explained = unknown + bridged >= lacking * probes * row_ms / 2.0;
    if lacking <= LACKING_SHARE_MIN || unknown + bridged <= 0.0 || !is_explained {
        return known_mark(span, watts);
    }
    let share = Some(lacking);
    if unknown >= bridged {
        return RowMark { share, ..RowMark::of(RowStatus::Unknown) };
    }
    let [_, _, bridged_mj] = span.known.mj;
    let total = watts.unwrap_or_default() + bridged_mj as f64 / bridged * lacking * probes;
    RowMark { bridged: Some(total), share, ..RowMark::of(RowStatus::Bridged) }
}

/// The statuses that occur in a graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Occurring(u8);

impl Occurring {
    /// Those of rows.
    pub(super) fn in_rows(marks: &[RowMark]) -> Self {
        Self(marks.iter().fold(0, |all, mark| all | Self::bit(mark.status)))
    }

    /// Those of either.
    #[must_use]
    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn has(self, status: RowStatus) -> bool {
        self.0 & Self::bit(status) != 0
    }

    const fn bit(status: RowStatus) -> u8 {
        match status {
            RowStatus::Measured => 1,
            RowStatus::Estimated => 2,
            RowStatus::Bridged => 4,
            RowStatus::Unknown => 8,
            RowStatus::Absent => 16,
        }
    }

    /// Their forms as little pictures, and what they mean; `measured` is what that means in the graph.
    pub(super) fn keys(self, measured: &'static str) -> Vec<(String, &'static str)> {
        let keys = [
            (RowStatus::Measured, r#"class="kw-sure" y="3" width="14" height="4""#, measured),
            (
                RowStatus::Estimated,
                r#"class="kw-barred" fill="url(#kw-bars)" width="14" height="10""#,
                "estimated",
            ),
            (
                RowStatus::Bridged,
                r#"class="kw-bridged" stroke-dasharray="4 2" x=".5" y=".5" width="13" height="9""#,
                "bridged: the energy is known, its course is not",
            ),
            (
                RowStatus::Unknown,
                r#"class="kw-frame" fill="url(#kw-hatch)" x=".5" y=".5" width="13" height="9""#,
                "unknown: not counted",
            ),
            (
                RowStatus::Absent,
                r#"class="kw-frame" fill="none" x=".5" y=".5" width="13" height="9""#,
                "before the first or after the last message",
            ),
        ];
        keys.into_iter()
            .filter(|(status, ..)| self.has(*status))
            .map(|(_, form, words)| {
                (format!(r#"<svg viewBox="0 0 14 10" aria-hidden="true"><rect {form}/></svg>"#), words)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
