//! Groups: the prefixes of the dotted paths of probes. `lyon.rack3.web1` is in the groups `lyon` and `lyon.rack3`.
//!
//! **Each joule counts once along a path.** A probe whose id is a prefix of others is the meter of that subtree: a sum
//! counts it, and not what is below. What it measures beyond those directly below it is its rest.

use std::collections::HashMap;

use crate::ProbeId;

/// The groups that a probe is in, the outermost first. Its own id is none of them.
pub fn groups_of(probe: &ProbeId) -> impl Iterator<Item = &str> {
    let id = probe.as_str();
    id.match_indices('.').filter_map(move |(at, _)| id.get(..at)).filter(|group| !group.is_empty())
}

/// Of each probe the place of the meter directly above it: of those whose id is a prefix of its path, the longest.
pub fn meters_above(probes: &[ProbeId]) -> Vec<Option<usize>> {
    let places: HashMap<&str, usize> = probes.iter().map(ProbeId::as_str).zip(0..).collect();
    probes
        .iter()
        .map(|probe| groups_of(probe).filter_map(|group| places.get(group).copied()).last())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(names: &[&str]) -> Vec<ProbeId> {
        names.iter().map(|name| ProbeId::new(name).unwrap()).collect()
    }

    #[test]
    fn a_group_is_every_prefix_of_the_path_but_the_whole() {
        let groups = |id: &str| groups_of(&ProbeId::new(id).unwrap()).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(groups("lyon.rack3.web1"), ["lyon", "lyon.rack3"]);
        assert_eq!(groups("web1"), Vec::<String>::new());
        assert_eq!(groups(".a"), Vec::<String>::new());
        assert_eq!(groups("a..b"), ["a", "a."]);
    }

    #[test]
    fn the_meter_above_is_the_nearest_whatever_stands_between_in_order() {
        let probes =
            ids(&["lyon", "lyon.rack3", "lyon.rack3-spare.x", "lyon.rack3.web1", "lyon.rack31", "paris.a"]);
        assert_eq!(meters_above(&probes), [None, Some(0), Some(0), Some(1), Some(0), None]);
    }

    proptest! {
        /// What each meter has beyond those directly below it adds up to what stands at the top.
        #[test]
        fn rests_add_up_to_the_meters_at_the_top(
            paths in prop::collection::btree_set(prop::collection::vec(0..3_u8, 1..5), 1..40),
        ) {
            let name = |path: &Vec<u8>| path.iter().map(|step| format!("n{step}")).collect::<Vec<_>>().join(".");
            let probes: Vec<ProbeId> = paths.iter().map(|path| ProbeId::new(name(path)).unwrap()).collect();
            let above = meters_above(&probes);
            let energy = |at: usize| (at as i64 * 7_919) % 1_009;
            let mut rest: Vec<i64> = (0..probes.len()).map(energy).collect();
            for (at, above) in above.iter().enumerate() {
                if let Some(above) = above {
                    rest[*above] -= energy(at);
                    prop_assert!(probes[at].is_within(probes[*above].as_str()) && *above != at);
                }
            }
            let top: i64 = (0..probes.len()).filter(|at| above[*at].is_none()).map(energy).sum();
            prop_assert_eq!(rest.iter().sum::<i64>(), top);
            // Nothing between a probe and its meter has a meter of its own.
            for (at, above) in above.iter().enumerate() {
                let between = probes.iter().zip(0..).filter(|(other, place)| {
                    *place != at && probes[at].is_within(other.as_str())
                });
                prop_assert_eq!(between.max_by_key(|(other, _)| other.as_str().len()).map(|(_, place)| place), *above);
            }
        }
    }
}
