//! The labels by which what is shown can be narrowed.

use std::collections::{BTreeMap, BTreeSet};

use kwapi_core::ProbeId;

use super::super::selection::ProbeFilter;
use crate::directory::Directory;

/// Of so many probes the labels are looked at: more take longer than a page may.
const PROBES_MAX: usize = 2_000;
/// As many labels are offered, and as many values of each.
const LABELS_MAX: usize = 6;
const VALUES_MAX: usize = 12;

/// A label and its values, each with where probes of it are.
#[derive(Debug)]
pub(super) struct Facet {
    pub(super) name: String,
    pub(super) values: Vec<(String, String)>,
}

/// Labels that distinguish some of `probes` and are not selected yet; `address`: where a selection is shown.
pub(super) fn facets(
    directory: &Directory,
    probes: &[ProbeId],
    selection: &ProbeFilter,
    address: impl Fn(&ProbeFilter) -> String,
) -> Vec<Facet> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for probe in probes.iter().take(PROBES_MAX) {
        for (name, value) in directory.labels(probe) {
            if selection.names(&name) || (found.len() >= LABELS_MAX && !found.contains_key(&name)) {
                continue;
            }
            let values = found.entry(name).or_default();
            if values.len() < VALUES_MAX {
                values.insert(value);
            }
        }
    }
    let facet = |(name, values): (String, BTreeSet<String>)| {
        let href = |value: &String| address(&selection.with(&name, value));
        let values = values.into_iter().map(|value| (value.clone(), href(&value))).collect();
        Facet { name, values }
    };
    found.into_iter().map(facet).collect()
}
