//! `[[virtual]]`: probes that are sums of others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kwapi_core::ProbeId;
use kwapi_drivers::manager::VirtualSpec;
use serde::Deserialize;

use super::document::{Document, DocumentError, Step};
use super::meters::MeterConfig;

/// Machines, racks, rooms, sites, regions: nobody needs more.
const DEPTH_MAX: usize = 16;

/// `[[virtual]] probe = "rack1" sum = ["pduA.7", "pduB.7"]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    probe: ProbeId,
    sum: Vec<ProbeId>,
    #[serde(default)]
    max_gap_seconds: Option<f64>,
}

/// Reads them. A part is measured by a meter of this configuration (unless some meter names its outlets by a template,
/// whose probes are only known once it is read), or is a sum itself, whose parts then stand for it.
///
/// # Errors
/// When a sum has no parts, one that nobody measures, one twice, or itself.
pub(crate) fn read(document: &Document, meters: &[MeterConfig]) -> Result<Vec<VirtualSpec>, DocumentError> {
    let written: Vec<Written> = document.section("virtual")?;
    let at = |index: usize| [Step::Key("virtual".to_owned()), Step::Index(index)];
    let measured: BTreeSet<&ProbeId> =
        meters.iter().flat_map(|meter| meter.outlets.named()).map(|outlet| &outlet.probe).collect();
    let mut sums = BTreeMap::new();
    for (index, Written { probe, sum, .. }) in written.iter().enumerate() {
        if sum.is_empty() {
            return Err(document.error(&at(index), format!("`{probe}`: `sum` must not be empty")));
        }
        if measured.contains(probe) {
            return Err(document.error(&at(index), format!("`{probe}` is already measured by a meter")));
        }
        if sums.insert(probe, sum.as_slice()).is_some() {
            return Err(document.error(&at(index), format!("duplicate sum `{probe}`")));
        }
    }
    let all_known = meters.iter().all(|meter| !meter.outlets.selects_all());
    let mut specs = Vec::new();
    for (index, Written { probe, max_gap_seconds, .. }) in written.iter().enumerate() {
        let mut parts = Vec::new();
        add_parts(probe, &sums, &mut Vec::new(), &mut parts)
            .map_err(|message| document.error(&at(index), message))?;
        if let Some(part) = parts.iter().find(|part| all_known && !measured.contains(part)) {
            let known = measured.iter().chain(sums.keys()).map(|probe| probe.as_str());
            let advice = super::names::nearest(part.as_str(), known)
                .map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
            return Err(document.error(&at(index), format!("no meter measures `{part}`{advice}")));
        }
        let default = meters.iter().map(|meter| meter.max_gap).max().unwrap_or(Duration::from_secs(10));
        let max_gap = match max_gap_seconds {
            None => default,
            Some(seconds) => Duration::try_from_secs_f64(*seconds)
                .ok()
                .filter(|max_gap| !max_gap.is_zero())
                .ok_or_else(|| document.error(&at(index), "`max_gap_seconds` must be a positive number"))?,
        };
        let max_gap_follows = max_gap_seconds.is_none();
        specs.push(VirtualSpec { probe: probe.clone(), parts, max_gap, max_gap_follows });
    }
    Ok(specs)
}

/// Adds what `sum` comes down to: the measured probes, each once. `trail` are the sums it is a part of.
fn add_parts<'a>(
    sum: &'a ProbeId,
    sums: &BTreeMap<&'a ProbeId, &'a [ProbeId]>,
    trail: &mut Vec<&'a ProbeId>,
    parts: &mut Vec<ProbeId>,
) -> Result<(), String> {
    trail.push(sum);
    for part in sums.get(sum).copied().unwrap_or_default() {
        if trail.contains(&part) {
            let circle: Vec<String> = trail.iter().map(|probe| format!("`{probe}`")).collect();
            return Err(format!("circular sum: {} contains `{part}`", circle.join(" contains ")));
        }
        if trail.len() > DEPTH_MAX {
            return Err(format!("`{sum}`: sums nested more than {DEPTH_MAX} deep"));
        }
        if sums.contains_key(part) {
            add_parts(part, sums, trail, parts)?;
        } else if parts.contains(part) {
            let whole = trail.first().map_or_else(String::new, ToString::to_string);
            return Err(format!("`{whole}` counts `{part}` twice"));
        } else {
            parts.push(part.clone());
        }
    }
    trail.pop();
    Ok(())
}
