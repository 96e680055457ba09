//! What a configuration does not state explicitly: what a restart alone changes, and what is probably not meant.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use kwapi_core::ProbeId;
use kwapi_drivers::Driver as _;
use kwapi_drivers::dummy::Dummy;
use kwapi_drivers::manager::{MeterSpec, VirtualSpec};
use toml::{Table, Value};

use super::Labels;
use super::document::{Document, Step};
use super::meters::MeterConfig;
use super::nearest;
use super::sections::{ApiSection, SamplesSection};

/// A fingerprint of each table that a running process does not apply again.
pub(super) fn fixed(document: &Document) -> BTreeMap<String, u64> {
    // No process has bills and tariffs: who makes a bill reads them.
    const TAKEN_UP: [&str; 8] =
        ["meter", "inventory", "virtual", "labels", "credentials", "drivers", "bill", "tariff"];
    /// What is taken up of a table that is not: who may read, and who sees which probes.
    const SCOPES: [&str; 3] = ["scope", "see_all", "token"];
    /// The tables with keys of the bus, which are taken up: what messages are signed with, who may connect, and how to log
    /// in to NATS.
    const BUS: [&str; 5] = ["bus", "drivers", "forwarder", "api", "rrd"];
    let print = |name: &str, value: &Value| {
        let mut value = value.clone();
        if BUS.contains(&name) {
            value.as_table_mut().into_iter().for_each(|table| {
                table.remove("key");
                leave_out_keys(table);
            });
        }
        let auth = value.as_table_mut().and_then(|table| table.get_mut("auth")).and_then(Value::as_table_mut);
        // Of the pages' login all is taken up, but that there is one.
        auth.into_iter().for_each(|auth| auth.retain(|key, _| name != "rrd" && !SCOPES.contains(&key)));
        let mut hasher = DefaultHasher::new();
        value.to_string().hash(&mut hasher);
        hasher.finish()
    };
    let mut fixed: BTreeMap<String, u64> = document
        .tables
        .iter()
        .filter(|(name, _)| !TAKEN_UP.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), print(name, value)))
        .collect();
    for key in ["publish", "spool_megabytes_max"] {
        if let Some(value) = document.tables.get("drivers").and_then(|drivers| drivers.get(key)) {
            let value = Value::Table([(key.to_owned(), value.clone())].into_iter().collect());
            fixed.insert(format!("drivers.{key}"), print("drivers", &value));
        }
    }
    fixed
}

/// Leaves out `keys`, `nats` and `curve.clients` of a table and of the endpoints in it.
fn leave_out_keys(table: &mut Table) {
    table.remove("keys");
    table.remove("nats");
    if let Some(Value::Table(curve)) = table.get_mut("curve") {
        curve.remove("clients");
    }
    for list in ["publish", "subscribe"] {
        if let Some(Value::Array(endpoints)) = table.get_mut(list) {
            endpoints.iter_mut().filter_map(Value::as_table_mut).for_each(leave_out_keys);
        }
    }
}

/// Samples that are sent to another machine unencrypted.
pub(super) fn samples_in_clear(document: &Document, samples: &SamplesSection) -> Option<String> {
    let s3 = samples.s3.as_ref().filter(|s3| s3.is_in_clear())?;
    let path = ["samples", "s3", "endpoint"].map(|key| Step::Key(key.to_owned()));
    let message = format!("endpoint = {:?}: samples are sent unencrypted; use https://", s3.endpoint);
    Some(document.error(&path, message).to_string())
}

/// Totals that are sent to another machine unencrypted.
pub(super) fn peers_in_clear(document: &Document, api: &ApiSection) -> Vec<String> {
    let in_clear = api.config.peers.iter().enumerate().filter(|(_, peer)| peer.is_in_clear());
    in_clear
        .map(|(index, peer)| {
            let path = [Step::Key("api".to_owned()), Step::Key("peers".to_owned()), Step::Index(index)];
            let message =
                format!("{:?}: names of probes and totals are sent unencrypted; use https://", peer.url);
            document.error(&path, message).to_string()
        })
        .collect()
}

/// Labels of probes that nobody measures.
pub(super) fn unknown_labels(
    document: &Document,
    labels: &BTreeMap<ProbeId, Labels>,
    meters: &[MeterConfig],
    sums: &[VirtualSpec],
) -> Vec<String> {
    let named = meters.iter().flat_map(|meter| meter.outlets.named()).map(|outlet| &outlet.probe);
    let known: BTreeSet<&ProbeId> = named.chain(sums.iter().map(|sum| &sum.probe)).collect();
    let templates: Vec<&str> = meters.iter().filter_map(|meter| meter.outlets.template()).collect();
    // What stands for an outlet or its label may be anything; what stands around it may not.
    let may_be = |probe: &ProbeId, template: &str| {
        let head = template.split('{').next().unwrap_or_default();
        let tail = template.rsplit('}').next().unwrap_or_default();
        probe.as_str().starts_with(head) && probe.as_str().ends_with(tail)
    };
    let mut warnings = Vec::new();
    for probe in labels.keys() {
        if known.contains(probe) || templates.iter().any(|template| may_be(probe, template)) {
            continue;
        }
        let advice = nearest(probe.as_str(), known.iter().map(|probe| probe.as_str()))
            .map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
        let path = [Step::Key("labels".to_owned()), Step::Key(probe.to_string())];
        let message = format!("labels for `{probe}`, which no meter measures{advice}");
        warnings.push(document.error(&path, message).to_string());
    }
    warnings
}

/// Meters that read an outlet which another reads already.
pub(super) fn shared_outlets(
    document: &Document,
    meters: &[MeterConfig],
    specs: &[MeterSpec],
) -> Vec<String> {
    let mut known: HashMap<String, (ProbeId, &str)> = HashMap::new();
    let mut warnings = Vec::new();
    for (meter, spec) in meters.iter().zip(specs) {
        // Dummies are as many devices as there are meters.
        if meter.driver == Dummy::NAME {
            continue;
        }
        let mut again = Vec::new();
        for (probe, place) in spec.places() {
            match known.entry(place) {
                Entry::Vacant(new) => _ = new.insert((probe, &meter.name)),
                Entry::Occupied(first) => again.push((probe, first.get().clone())),
            }
        }
        let Some((probe, (other, name))) = again.first() else { continue };
        let more = match again.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let message = format!(
            "`{probe}` is the same outlet of the same device as `{other}` of meter `{name}`{more}: sums count its power twice, and its energy counter is bridged across restarts for one of them only"
        );
        warnings.push(meter.error(document, &[], message).to_string());
    }
    warnings
}
