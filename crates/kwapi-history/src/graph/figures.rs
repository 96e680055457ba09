//! The figures of a legend.

use crate::Series;

/// What a stretch of power comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Least power in watts; `None` when nothing is known.
    pub min: Option<f64>,
    /// Most power in watts.
    pub max: Option<f64>,
    /// Mean power of the time that is known, in watts.
    pub average: Option<f64>,
    /// The newest row known, in watts.
    pub last: Option<f64>,
    /// Energy of the time that is known; unknown time adds nothing.
    pub energy_kwh: f64,
    /// How much time is known, in seconds.
    pub known_seconds: u64,
}

impl Figures {
    /// Takes them from the rows of `series`; a row that is no possible power counts as unknown.
    pub fn of(series: &Series) -> Self {
        let mut figures = Self::default();
        let (mut sum, mut rows) = (0.0, 0_u64);
        for watts in series.watts.iter().copied().filter_map(known) {
            figures.min = Some(figures.min.map_or(watts, |min| min.min(watts)));
            figures.max = Some(figures.max.map_or(watts, |max| max.max(watts)));
            figures.last = Some(watts);
            sum += watts;
            rows += 1;
        }
        if rows > 0 {
            figures.average = Some(sum / rows as f64);
            figures.known_seconds = rows.saturating_mul(series.step);
            figures.energy_kwh = sum * series.step as f64 / 3.6e6;
        }
        figures
    }
}

/// More than this is not the sum of any probes there can be (10⁹ of them at the bus's limit), in watts.
const SUM_MAX: f64 = 1e18;

/// A row's power, if it is one: not negative, and no more than probes can sum to.
pub(super) fn known(watts: Option<f64>) -> Option<f64> {
    watts.filter(|watts| (0.0..=SUM_MAX).contains(watts))
}
