//! What the bands of a sum used, each joule once.

use std::collections::HashMap;

use kwapi_core::Period;
use kwapi_graph::{Band, EnergyFigure, Stacked};

use super::super::overview::Seen;
use super::super::used::Used;

/// What the parts of a sum used: of a meter of a subtree what is not measured directly below it.
#[derive(Debug)]
pub(super) struct BandEnergies {
    of: Vec<Option<EnergyFigure>>,
    /// All together; each joule once.
    pub(super) total: Option<EnergyFigure>,
}

impl BandEnergies {
    pub(super) fn new(seen: &Seen, used: &Used, period: Period) -> Self {
        let above = |at: usize| seen.above.get(at).copied().flatten();
        let mut of: Vec<_> = seen.parts.iter().map(|probe| used.figure(probe, period)).collect();
        let own = of.clone();
        for (at, energy) in own.iter().enumerate() {
            let below = energy.and_then(EnergyFigure::kwh);
            if let (Some(meter), Some(below)) = (above(at).and_then(|meter| of.get_mut(meter)), below) {
                *meter = match *meter {
                    Some(EnergyFigure::Known(kwh)) => Some(EnergyFigure::Known((kwh - below).max(0.0))),
                    Some(EnergyFigure::About(kwh)) => Some(EnergyFigure::About((kwh - below).max(0.0))),
                    unknown => unknown,
                };
            }
        }
        let tops = seen.parts.iter().enumerate().filter(|(at, _)| above(*at).is_none());
        Self { of, total: used.sum(tops.map(|(_, probe)| probe), period) }
    }

    pub(super) fn of(&self, part: usize) -> Option<EnergyFigure> {
        self.of.get(part).copied().flatten()
    }
}

/// A sum as it is drawn, with the energies that there are now.
pub(super) fn with_energies(stacked: &Stacked, seen: &Seen, used: &Used, period: Period) -> Stacked {
    let energies = BandEnergies::new(seen, used, period);
    let of_name: HashMap<&str, EnergyFigure> = seen
        .parts
        .iter()
        .enumerate()
        .filter_map(|(at, probe)| Some((probe.as_str(), energies.of(at)?)))
        .collect();
    let band = |band: &Band| Band {
        energy: of_name.get(band.name.as_str()).copied().unwrap_or(band.energy),
        ..band.clone()
    };
    Stacked { energy: energies.total, bands: stacked.bands.iter().map(band).collect(), ..stacked.clone() }
}
