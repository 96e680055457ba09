//! Which outlets a `[[meter]]` table selects as which probes, and that no two meters are one.

use std::collections::{BTreeMap, BTreeSet};

use kwapi_core::ProbeId;
use kwapi_core::ranges::RangeName;
use kwapi_drivers::{Outlet, Outlets};
use toml::{Table, Value};

use super::{MeterConfig, Written};
use crate::config::document::{Document, DocumentError, Step};

/// The outlets that the table at `path` names, for `host` where it stands for a range.
pub(super) fn outlets(
    document: &Document,
    path: &[Step],
    written: &Written,
    host: Option<&RangeName>,
) -> Result<Outlets, DocumentError> {
    let at = [path, &[Step::Key("probes".to_owned())]].concat();
    let id = |text: &str| {
        let text = host.map_or_else(|| text.to_owned(), |host| host.fill_in(text));
        ProbeId::new(&text).map_err(|error| document.error(&at, format!("{text:?}: {error}")))
    };
    let advice = "set `probe = \"name\"` for a meter with one outlet, `probes = [\"web1\", \"\", \"web3\"]` by position, \
        `probes = { 7 = \"web1\" }` by the device's key, or `probe = \"rack1.{outlet}\"` for all outlets";
    match (&written.probe, &written.probes) {
        (Some(_), Some(_)) => Err(document.error(&at, "`probe` and `probes` are mutually exclusive")),
        (Some(template), None) if template.contains("{outlet}") || template.contains("{label}") => {
            Ok(Outlets::all(host.map_or_else(|| template.clone(), |host| host.fill_in(template))))
        }
        (Some(probe), None) => Ok(Outlets::by_position([Some(id(probe)?)])),
        (None, Some(Value::Array(probes))) => {
            let by_position: Result<Vec<Option<ProbeId>>, DocumentError> = probes
                .iter()
                .map(|probe| match probe.as_str() {
                    Some("") => Ok(None),
                    Some(probe) => id(probe).map(Some),
                    None => Err(document.error(&at, advice)),
                })
                .collect();
            Ok(Outlets::by_position(by_position?))
        }
        (None, Some(Value::Table(probes))) => {
            let mut by_key = Vec::new();
            for (key, probe) in flattened(probes) {
                let Some(probe) = probe.as_str() else { return Err(document.error(&at, advice)) };
                by_key.push(Outlet { key, probe: id(probe)? });
            }
            Ok(Outlets::by_key(by_key))
        }
        (None, _) => Err(document.error(&at, advice)),
    }
}

/// A device's key may have dots, which TOML takes for tables unless it is quoted: `{ rack.left = "x" }`.
fn flattened(table: &Table) -> Vec<(String, &Value)> {
    let mut flat = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => {
                flat.extend(
                    flattened(inner).into_iter().map(|(rest, value)| (format!("{key}.{rest}"), value)),
                );
            }
            value => flat.push((key.clone(), value)),
        }
    }
    flat
}

/// Two meters of one name, or one probe measured twice, would overwrite each other.
pub(super) fn refuse_twins(document: &Document, meters: &[MeterConfig]) -> Result<(), DocumentError> {
    let mut names = BTreeSet::new();
    let mut probes = BTreeMap::new();
    for meter in meters {
        if !names.insert(meter.name.as_str()) {
            let message = format!("duplicate meter `{}`; set a different `name` for one of them", meter.name);
            return Err(meter.error(document, &[], message));
        }
        for outlet in meter.outlets.named() {
            if let Some(other) = probes.insert(&outlet.probe, meter) {
                let message = format!("probe `{}` is already measured by `{}`", outlet.probe, other.name);
                return Err(meter.error(document, &[], message));
            }
        }
    }
    Ok(())
}
