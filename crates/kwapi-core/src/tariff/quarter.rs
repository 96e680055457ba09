//! Quarter hours as a calendar has them.

use jiff::tz::TimeZone;

/// A quarter hour as the calendar of a zone has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QuarterOfWeek {
    /// 0: Monday.
    pub(crate) weekday: usize,
    /// 0: from midnight on.
    pub(crate) quarter: usize,
}

impl QuarterOfWeek {
    /// The one that begins at the Unix millisecond `begin`, if it is a whole one in `zone`.
    pub(crate) fn of(begin: u64, zone: &TimeZone) -> Option<Self> {
        let at = jiff::Timestamp::from_millisecond(i64::try_from(begin).ok()?).ok()?;
        let shown = zone.to_datetime(at);
        let is_whole = shown.minute() % 15 == 0 && shown.second() == 0 && shown.subsec_nanosecond() == 0;
        let weekday = usize::try_from(shown.weekday().to_monday_zero_offset()).ok()?;
        let quarter = usize::try_from(shown.hour()).ok()? * 4 + usize::try_from(shown.minute()).ok()? / 15;
        is_whole.then_some(Self { weekday, quarter })
    }
}
