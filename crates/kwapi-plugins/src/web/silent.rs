//! Which probes are silent, in the few words that a page has for it before all numbers.

use std::cmp::Reverse;
use std::collections::HashMap;

use kwapi_core::{ProbeId, Timestamp};
use kwapi_graph::natural_order;

/// As many are named; the rest is a number.
const SHOWN_MAX: usize = 2;
/// So many silent probes directly below one path are named together: what failed is their rack.
const TOGETHER_MIN: usize = 3;

/// The silent ones of some probes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Silent {
    /// How many there are.
    pub(super) probes: usize,
    /// Those that fell silent last, first: somebody may still remember what was done then.
    pub(super) shown: Vec<SilentPlace>,
}

/// A silent probe, or several of one rack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SilentPlace {
    /// The probe; or the path that all of these are directly below.
    pub(super) name: ProbeId,
    /// How many they are.
    pub(super) probes: usize,
    /// When the last of them was last received.
    pub(super) since: Timestamp,
}

impl Silent {
    /// How many probes are not among those shown.
    pub(super) fn more(&self) -> usize {
        self.probes.saturating_sub(self.shown.iter().map(|place| place.probes).sum())
    }
}

/// Gathers silent probes by the path above them.
#[derive(Debug, Default)]
pub(super) struct SilentPlaces<'a> {
    probes: usize,
    places: HashMap<&'a str, Gathered<'a>>,
}

#[derive(Debug, Default)]
struct Gathered<'a> {
    probes: usize,
    since: Option<Timestamp>,
    first: Vec<(&'a ProbeId, Timestamp)>,
}

impl<'a> SilentPlaces<'a> {
    /// Adds a probe that was last received `at`.
    pub(super) fn add(&mut self, probe: &'a ProbeId, at: Timestamp) {
        self.probes += 1;
        let path = probe.as_str().rsplit_once('.').map_or(probe.as_str(), |(path, _)| path);
        let place = self.places.entry(path).or_default();
        place.probes += 1;
        place.since = place.since.max(Some(at));
        if place.first.len() < TOGETHER_MIN {
            place.first.push((probe, at));
        }
    }

    pub(super) fn finish(self) -> Silent {
        let mut all: Vec<SilentPlace> = Vec::new();
        for (path, Gathered { probes, since, first }) in self.places {
            match (since, ProbeId::new(path)) {
                (Some(since), Ok(name)) if probes >= TOGETHER_MIN => {
                    all.push(SilentPlace { name, probes, since });
                }
                _ => all.extend(first.into_iter().map(|(probe, since)| SilentPlace {
                    name: probe.clone(),
                    probes: 1,
                    since,
                })),
            }
        }
        let by_name = |a: &SilentPlace, b: &SilentPlace| natural_order(a.name.as_str(), b.name.as_str());
        all.sort_by(|a, b| Reverse(a.since).cmp(&Reverse(b.since)).then_with(|| by_name(a, b)));
        all.truncate(SHOWN_MAX);
        Silent { probes: self.probes, shown: all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(silent: &[(&str, u64)], expected: &str) {
        let ids: Vec<(ProbeId, u64)> =
            silent.iter().map(|(name, at)| (ProbeId::new(*name).unwrap(), *at)).collect();
        let mut places = SilentPlaces::default();
        for (probe, at) in &ids {
            places.add(probe, Timestamp::from_seconds(*at));
        }
        let found = places.finish();
        let shown = found
            .shown
            .iter()
            .map(|place| format!("{} ({}) since {}", place.name, place.probes, place.since.seconds()));
        let shown = shown.collect::<Vec<_>>().join(", ");
        assert_eq!(format!("{}: {shown} and {} more", found.probes, found.more()), expected);
    }

    #[test]
    fn the_last_to_fall_silent_is_named_first() {
        check(&[], "0:  and 0 more");
        check(&[("a.x", 10)], "1: a.x (1) since 10 and 0 more");
        check(&[("a.x", 10), ("b.y", 30), ("lamp", 20)], "3: b.y (1) since 30, lamp (1) since 20 and 1 more");
        check(&[("a.n10", 5), ("a.n9", 5)], "2: a.n9 (1) since 5, a.n10 (1) since 5 and 0 more");
    }

    #[test]
    fn what_fell_silent_with_its_rack_is_named_once() {
        let rack = [("a.r1.n1", 7), ("a.r1.n2", 8), ("a.r1.n3", 8), ("a.r1.n4", 2), ("b.n1", 3)];
        check(&rack, "5: a.r1 (4) since 8, b.n1 (1) since 3 and 0 more");
        // Awkward names stand for themselves.
        check(&[("..", 1), (".a", 2), ("a.", 3)], "3: a. (1) since 3, .a (1) since 2 and 1 more");
        check(&[(".a", 1), (".b", 1), (".c", 1)], "3: .a (1) since 1, .b (1) since 1 and 1 more");
    }
}
