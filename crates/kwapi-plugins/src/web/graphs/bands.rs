//! What the bands of a sum used, each joule once.

use std::collections::{HashMap, HashSet};

use kwapi_core::{Period, ProbeId};
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

/// Up to so many probes have a band each.
const ALONE_MAX: usize = 12;

/// Of each part of a sum the path whose band it shares: above a dozen parts the first level of their names at which they are
/// not all below one path. `None` where each has a band of its own.
pub(super) fn paths(parts: &[ProbeId]) -> Option<Vec<&str>> {
    if parts.len() <= ALONE_MAX {
        return None;
    }
    let mut start = 0;
    loop {
        let path = |probe: &ProbeId| -> usize {
            let id = probe.as_str();
            let rest = id.get(start..).unwrap_or_default();
            rest.find('.').filter(|at| *at > 0).map_or(id.len(), |at| start + at)
        };
        let paths: Vec<&str> = parts.iter().filter_map(|probe| probe.as_str().get(..path(probe))).collect();
        let distinct: HashSet<&str> = paths.iter().copied().collect();
        match paths.first() {
            // One path is above all: what distinguishes them is below it.
            Some(first) if distinct.len() == 1 && first.len() + 1 > start => start = first.len() + 1,
            _ if distinct.len() == parts.len() || paths.len() != parts.len() => return None,
            _ => return Some(paths),
        }
    }
}

/// A sum as it is drawn, with the energies that there are now.
pub(super) fn with_energies(stacked: &Stacked, seen: &Seen, used: &Used, period: Period) -> Stacked {
    let energies = BandEnergies::new(seen, used, period);
    let paths = paths(&seen.parts);
    let mut of_name: HashMap<&str, EnergyFigure> = HashMap::new();
    for (at, probe) in seen.parts.iter().enumerate() {
        let name = paths.as_ref().and_then(|paths| paths.get(at).copied()).unwrap_or(probe.as_str());
        if let Some(energy) = energies.of(at) {
            let sum = of_name.entry(name).or_default();
            *sum = sum.plus(energy);
        }
    }
    let band = |band: &Band| Band {
        energy: of_name.get(band.name.as_str()).copied().unwrap_or(band.energy),
        ..band.clone()
    };
    Stacked { energy: energies.total, bands: stacked.bands.iter().map(band).collect(), ..stacked.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(names: &[&str], expected: Option<&[&str]>) {
        let mut parts: Vec<ProbeId> = names.iter().map(|name| ProbeId::new(name).unwrap()).collect();
        // More than a dozen, without a further path.
        let last = parts.last().unwrap().clone();
        parts.extend(std::iter::repeat_n(last, 13));
        let mut shown = paths(&parts);
        if let Some(paths) = &mut shown {
            paths.dedup();
        }
        assert_eq!(shown.as_deref(), expected, "{names:?}");
    }

    #[test]
    fn probes_share_the_first_level_that_distinguishes_them() {
        check(&["lyon.r1.a", "paris.r1.a"], Some(&["lyon", "paris"]));
        check(&["lyon.r1.a", "lyon.r1.b", "lyon.r2.a"], Some(&["lyon.r1", "lyon.r2"]));
        // The meter of all has a band of its own: what is not measured below it.
        check(&["lyon", "lyon.r1.a", "lyon.r2.b"], Some(&["lyon", "lyon.r1", "lyon.r2"]));
        check(&["alone", "lyon.r1.a"], Some(&["alone", "lyon"]));
        check(&[".x.a", "..", "a.", "é.🔌"], Some(&[".x.a", "..", "a", "é"]));
    }

    #[test]
    fn a_dozen_and_names_without_a_level_stand_alone() {
        let of = |names: Vec<String>| -> Vec<ProbeId> {
            names.iter().map(|name| ProbeId::new(name).unwrap()).collect()
        };
        let few = of((0..12).map(|index| format!("r{}.n{index}", index % 2)).collect());
        assert_eq!(paths(&few), None);
        let flat = of((0..40).map(|index| format!("rack.n{index}")).collect());
        assert_eq!(paths(&flat), None);
        let more = of((0..13).map(|index| format!("r{}.n{index}", index % 2)).collect());
        assert_eq!(paths(&more).unwrap()[..3], ["r0", "r1", "r0"]);
    }
}
