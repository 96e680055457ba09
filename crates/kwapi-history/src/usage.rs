//! What a legend says of a series: least, most, average, last, energy.

use std::time::Duration;

use kwapi_core::{Energy, Timestamp, Watts};

use crate::Series;

/// Power and energy over a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Average over the time that is known; unknown time is left out.
    pub average: Option<Watts>,
    /// The least.
    pub min: Option<Watts>,
    /// The most.
    pub max: Option<Watts>,
    /// The newest row that is known.
    pub last: Option<Watts>,
    /// Energy used; unknown time counts as zero.
    pub energy: Energy,
    /// How much of the time is known.
    pub known: Duration,
}

impl Usage {
    /// Sums up `series`; a row counts for the time it is known, see [`Series::known_seconds`].
    pub fn of(series: &Series, now: Timestamp) -> Self {
        let mut usage = Self::default();
        let (mut joules, mut known_seconds) = (0.0, 0);
        for (index, watts) in series.watts.iter().enumerate() {
            let Some(watts) = *watts else { continue };
            let seconds = series.known_seconds(index, now.seconds());
            joules += watts * seconds as f64;
            known_seconds += seconds;
            usage.min = Some(Watts(usage.min.map_or(watts, |min| min.0.min(watts))));
            usage.max = Some(Watts(usage.max.map_or(watts, |max| max.0.max(watts))));
            usage.last = Some(Watts(watts));
        }
        usage.known = Duration::from_secs(known_seconds);
        usage.average = (known_seconds > 0).then(|| Watts(joules / known_seconds as f64));
        usage.energy = Energy::from_joules(joules).unwrap_or_default();
        usage
    }

    /// The same, with a least and a most that averages do not show. Rows older than those were kept count as they are.
    #[must_use]
    pub fn reaching(self, min: Watts, max: Watts) -> Self {
        let least = self.min.map(|averages| Watts(averages.0.min(min.0)));
        let most = self.max.map(|averages| Watts(averages.0.max(max.0)));
        Self { min: least, max: most, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn energy_counts_unknown_as_zero_and_the_average_leaves_it_out() {
        let series = Series::whole(7_200, 3_600, vec![Some(100.0), None, Some(300.0)]);
        let usage = Usage::of(&series, Timestamp::from_seconds(18_000));
        assert_eq!(usage.energy, Energy::from_watt_hours(400));
        assert_eq!(usage.average, Some(Watts(200.0)));
        assert_eq!((usage.min, usage.max), (Some(Watts(100.0)), Some(Watts(300.0))));
        assert_eq!(usage.known, Duration::from_secs(7_200));
    }

    #[test]
    fn a_row_in_progress_counts_until_now() {
        let series = Series::whole(0, 3_600, vec![Some(100.0)]);
        let usage = Usage::of(&series, Timestamp::from_seconds(1_800));
        assert_eq!(usage.energy, Energy::from_watt_hours(50));
    }

    #[test]
    fn a_row_counts_for_the_time_it_is_known() {
        let series = Series { partial: vec![(1, 36)], ..Series::whole(0, 3_600, vec![Some(100.0); 2]) };
        let usage = Usage::of(&series, Timestamp::from_seconds(7_200));
        assert_eq!((usage.energy, usage.known), (Energy::from_watt_hours(101), Duration::from_secs(3_636)));
        assert_eq!(usage.average, Some(Watts(100.0)));
    }

    #[test]
    fn a_row_counts_from_when_its_probe_was_first_seen() {
        let mut series = Series::whole(0, 3_600, vec![None, Some(100.0), Some(100.0)]);
        series.begins(5_400);
        assert_eq!([0, 1, 2].map(|row| series.known_seconds(row, 10_000)), [3_600, 1_800, 2_800]);
    }
}
