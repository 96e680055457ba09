//! From when on rows are made again around a late sample.

use std::time::Duration;

use kwapi_core::Timestamp;

use super::super::groups::GroupFold;
use crate::store::POWER;

/// Which rows that have ended are made again, if the journal is not too long to be read: those of up to so many seconds.
/// Longer ones stand as they are: a late sample is a small part of a week.
pub(super) const ROW_SECONDS: [u64; 5] = [21_600, 7_200, 900, 10, 1];

/// How far around a late sample anything changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around {
    /// Samples that are further apart have unknown time between them.
    pub(super) gap: Duration,
    /// So many seconds before rows state what held in them.
    pub(super) before: u64,
}

impl Around {
    pub(super) fn of_groups(fold: &GroupFold) -> Self {
        Self { gap: fold.max_gap(), before: fold.lag().as_secs() }
    }

    /// The second from which on a late sample changes anything: it may have held since one gap before.
    pub(super) fn touched(self, late: Timestamp) -> u64 {
        late.seconds().saturating_sub(self.gap.as_secs().saturating_add(1))
    }

    /// Whether the journal is read from so early that what held in a second is known.
    pub(super) fn is_reached(self, second: u64, reach: u64) -> bool {
        second.saturating_sub(self.before) >= reach
    }

    /// From which second on rows that late samples touch are made again, and of up to how many seconds, where the journal
    /// is read from the second `reach` at the earliest.
    pub(super) fn rework_begin(self, late: &[Timestamp], until: Timestamp, reach: u64) -> Option<(u64, u64)> {
        let touched = self.touched(*late.iter().min()?);
        let choices = ROW_SECONDS.map(|row_seconds| (rows_begin(touched, row_seconds, until), row_seconds));
        choices.into_iter().find(|(from, _)| self.is_reached(*from, reach))
    }
}

/// The latest second, at or before `at`, from which on each row of up to `row_seconds` that has ended by `until` is made
/// again as a whole.
pub(super) fn rows_begin(at: u64, row_seconds: u64, until: Timestamp) -> u64 {
    let lengths = POWER.archives.iter().map(|(_, steps, _)| POWER.step.saturating_mul(*steps));
    let begins = lengths.filter(|length| *length <= row_seconds).filter_map(|length| {
        let begin = at / length * length;
        (begin.saturating_add(length) <= until.seconds()).then_some(begin)
    });
    begins.min().unwrap_or(at).min(at)
}
