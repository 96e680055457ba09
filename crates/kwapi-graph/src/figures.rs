//! The figures of a legend.

use kwapi_core::Series;

use super::format::energy_text;

/// Energy as a legend shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum EnergyFigure {
    /// Nothing is known, which is not 0 kWh.
    #[default]
    Unknown,
    /// So many kilowatt-hours.
    Known(f64),
    /// The same, of which a part was derived from averages; shown with a tilde.
    About(f64),
}

impl EnergyFigure {
    /// In kilowatt-hours, if it is known.
    pub fn kwh(self) -> Option<f64> {
        match self {
            Self::Unknown => None,
            Self::Known(kwh) | Self::About(kwh) => Some(kwh),
        }
    }

    /// Both together; what is not known of one adds nothing.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unknown, figure) | (figure, Self::Unknown) => figure,
            (Self::Known(a), Self::Known(b)) => Self::Known(a + b),
            (Self::Known(a) | Self::About(a), Self::Known(b) | Self::About(b)) => Self::About(a + b),
        }
    }

    /// As people read it, if it is known.
    pub fn text(self) -> Option<String> {
        self.kwh().map(|kwh| format!("{}{}", self.mark(), energy_text(kwh)))
    }

    /// What stands before a number that is not exact.
    pub fn mark(self) -> &'static str {
        match self {
            Self::Unknown | Self::Known(_) => "",
            Self::About(_) => "~",
        }
    }
}

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
    pub energy: EnergyFigure,
    /// How much time is known, in seconds.
    pub known_seconds: u64,
}

impl Figures {
    /// Takes them from the rows of `series`; a row that is no possible power counts as unknown, the others for
    /// the time they are known, see [`Series::known_seconds`].
    pub fn of(series: &Series, now: u64) -> Self {
        let mut figures = Self::default();
        let mut joules = 0.0;
        for (index, watts) in series.watts.iter().enumerate() {
            let Some(watts) = known(*watts) else { continue };
            let seconds = series.known_seconds(index, now);
            figures.min = Some(figures.min.map_or(watts, |min| min.min(watts)));
            figures.max = Some(figures.max.map_or(watts, |max| max.max(watts)));
            figures.last = Some(watts);
            joules += watts * seconds as f64;
            figures.known_seconds = figures.known_seconds.saturating_add(seconds);
        }
        if figures.known_seconds > 0 {
            figures.average = Some(joules / figures.known_seconds as f64);
        }
        if figures.last.is_some() {
            figures.energy = EnergyFigure::Known(joules / 3.6e6);
        }
        figures
    }

    /// The same, with the energy that is known better than from averages.
    #[must_use]
    pub fn with_energy(self, energy: EnergyFigure) -> Self {
        Self { energy, ..self }
    }

    /// The same, with a least and a most (watts) that averages do not show. Rows older than those were kept count as
    /// they are.
    #[must_use]
    pub fn reaching(self, min: f64, max: f64) -> Self {
        let least = known(Some(min)).map_or(self.min, |min| self.min.map(|averages| averages.min(min)));
        let most = known(Some(max)).map_or(self.max, |max| self.max.map(|averages| averages.max(max)));
        Self { min: least, max: most, ..self }
    }
}

/// More than this is not the sum of any probes there can be (10⁹ of them at the bus's limit), in watts.
const SUM_MAX: f64 = 1e18;

/// A row's power, if it is one: not negative, and no more than probes can sum to.
pub(super) fn known(watts: Option<f64>) -> Option<f64> {
    watts.filter(|watts| (0.0..=SUM_MAX).contains(watts))
}
