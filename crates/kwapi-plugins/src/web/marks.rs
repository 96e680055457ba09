//! How sure the rows of a probe's graph are, by the ledger, and the key to it in words.

use std::time::Duration;

use kwapi_core::{Period, ProbeId, Series, Timestamp};
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
    RowMark { status, bridged: watts }
}

/// No shorter row of the ledger is asked: what is within it is told from whether a row of the graph has a power.
const STEP_SECONDS_MIN: u64 = 60;

/// How sure each row of `series`, the power of a probe over a period, is at `now`. Empty where the graph has nothing to mark: all
/// is measured or absent, or no ledger tells.
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
    let marks = marks_of(series, &spans, step);
    let occurring = Occurring::in_rows(&marks);
    let has_power = series.watts.iter().any(Option::is_some);
    let is_marked = occurring.has(RowStatus::Bridged)
        || has_power && (occurring.has(RowStatus::Estimated) || occurring.has(RowStatus::Unknown));
    if is_marked { marks } else { Vec::new() }
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
            // The ledger knows all of that time, only its power is not in the file: no more is said of it.
            Some(_) => RowMark::default(),
            None => {
                let status = if has_power { RowStatus::Measured } else { RowStatus::Absent };
                RowMark { status, bridged: None }
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
