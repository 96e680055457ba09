//! `[[virtual]]`: probes that are sums of others.

use std::collections::BTreeSet;
use std::time::Duration;

use kwapi_core::ProbeId;
use kwapi_drivers::manager::VirtualSpec;
use serde::Deserialize;

use super::document::{ConfigError, Document, Step};
use super::meters::Meter;

/// `[[virtual]] probe = "rack1" sum = ["pduA.7", "pduB.7"]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    probe: ProbeId,
    sum: Vec<ProbeId>,
    #[serde(default)]
    max_gap_seconds: Option<f64>,
}

/// Reads them. A part must be measured by a meter of this configuration, unless some meter names its outlets by a
/// template, whose probes are only known once it is read.
///
/// # Errors
/// When a sum has no parts, or one that nobody measures.
pub(crate) fn read(document: &Document, meters: &[Meter]) -> Result<Vec<VirtualSpec>, ConfigError> {
    let written: Vec<Written> = document.section("virtual")?;
    let measured: BTreeSet<&ProbeId> =
        meters.iter().flat_map(|meter| meter.outlets.named()).map(|outlet| &outlet.probe).collect();
    let sums: BTreeSet<&ProbeId> = written.iter().map(|sum| &sum.probe).collect();
    let all_known = meters.iter().all(|meter| !meter.outlets.wants_all());
    let mut specs = Vec::new();
    for (index, Written { probe, sum, max_gap_seconds }) in written.iter().enumerate() {
        let path = [Step::Key("virtual".to_owned()), Step::Index(index)];
        if sum.is_empty() {
            return Err(document.error(&path, format!("`{probe}`: a sum has at least one part")));
        }
        if measured.contains(probe) {
            return Err(document.error(&path, format!("`{probe}` is measured by a meter already")));
        }
        let unknown = sum.iter().find(|part| all_known && !measured.contains(part) && !sums.contains(part));
        if let Some(part) = unknown {
            let advice = super::names::nearest(part.as_str(), measured.iter().map(|probe| probe.as_str()))
                .map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
            return Err(document.error(&path, format!("no meter measures `{part}`{advice}")));
        }
        let default = meters.iter().map(|meter| meter.max_gap).max().unwrap_or(Duration::from_secs(10));
        let max_gap = match max_gap_seconds {
            None => default,
            Some(seconds) => Duration::try_from_secs_f64(*seconds)
                .map_err(|_| document.error(&path, "`max_gap_seconds` must be a positive number"))?,
        };
        specs.push(VirtualSpec { probe: probe.clone(), parts: sum.clone(), max_gap });
    }
    Ok(specs)
}
