//! A section of the original's `drivers.conf`: probes, a driver and its parameters.

use std::path::Path;

use toml::Value;

use super::super::draft::{Draft, Keys};
use super::super::literal::Literal;
use super::super::notation::number;
use super::super::oslo::OsloSection;

/// What its driver `Dummy` takes without parameters.
const DUMMY_WATTS: (f64, f64) = (75.0, 100.0);

/// Adds the meter of a section.
pub(super) fn convert(path: &Path, section: &OsloSection, draft: &mut Draft) {
    let origin = format!("{}:{}: [{}]", path.display(), section.line, section.name);
    let Some(driver) = section.text("driver") else {
        draft.lost(format!("{origin}: no driver"));
        return;
    };
    let parameters = match section.text("parameters").map(Literal::read) {
        None => Parameters::default(),
        Some(Ok(Literal::Map(entries))) => Parameters { entries },
        Some(Ok(_)) => {
            draft.lost(format!("{origin}: parameters must be a dictionary"));
            return;
        }
        Some(Err(why)) => {
            draft.lost(format!("{origin}: parameters: {why}"));
            return;
        }
    };
    let Some(keys) = meter(driver, parameters, &origin, draft) else { return };
    let Some(probes) = probes(section, &origin, draft) else { return };
    let keys = match probes.as_slice() {
        [Value::String(probe)] => keys.with("probe", probe.clone()),
        _ => keys.with("probes", probes),
    };
    draft.meter(origin, keys.with("name", section.name.clone()));
    for option in &section.options {
        if !["driver", "probes", "parameters"].contains(&option.key.as_str()) {
            draft.lost(format!("{}:{}: {}: unknown", path.display(), option.line, option.key));
        }
    }
}

/// The names by position; those that are none are left empty.
fn probes(section: &OsloSection, origin: &str, draft: &mut Draft) -> Option<Vec<Value>> {
    let listed = match section.text("probes").map(Literal::read) {
        Some(Ok(Literal::List(items))) => items,
        Some(Ok(single @ Literal::Text(_))) => vec![single],
        Some(Ok(_)) | None => {
            draft.lost(format!("{origin}: no list of probes"));
            return None;
        }
        Some(Err(why)) => {
            draft.lost(format!("{origin}: probes: {why}"));
            return None;
        }
    };
    let mut named = Vec::new();
    for item in &listed {
        let name = item.text().filter(|name| !name.is_empty());
        let taken = name.and_then(|name| draft.probe(origin, &name));
        named.push(Value::String(taken.unwrap_or_default()));
    }
    let has_any = named.iter().any(|name| name.as_str().is_some_and(|name| !name.is_empty()));
    if !has_any {
        draft.lost(format!("{origin}: no probe is left"));
        return None;
    }
    Some(named)
}

/// The driver's own keys.
fn meter(driver: &str, mut parameters: Parameters, origin: &str, draft: &mut Draft) -> Option<Keys> {
    let keys = match driver {
        "Dummy" => {
            let (low, high) = DUMMY_WATTS;
            let low = parameters.number("min").unwrap_or(low);
            let high = parameters.number("max").unwrap_or(high).max(low);
            Keys::meter("dummy")
                .with("watts", f64::midpoint(low, high))
                .with("jitter_watts", (high - low) / 2.0)
        }
        "Wattsup" => Keys::meter("wattsup").maybe("device", parameters.text("device")),
        "Ipmi" => {
            let keys = Keys::meter("ipmi").maybe("host", parameters.text("host"));
            if parameters.text("interface").is_some_and(|interface| interface == "lan") {
                draft.lost(format!("{origin}: interface lan: version 2.0 is tried first, then 1.5"));
            }
            draft.has_secret();
            let keys = keys.maybe("username", parameters.text("username"));
            keys.maybe("password", parameters.text("password")).maybe("sensor", parameters.text("sensor"))
        }
        "Snmp" => snmp(&mut parameters, origin, draft),
        _ => {
            draft.lost(format!("{origin}: there is no driver like {driver:?}; see kwapi drivers --list"));
            return None;
        }
    };
    for (key, _) in parameters.entries {
        draft.lost(format!("{origin}: parameter {key:?} of {driver}: unknown"));
    }
    Some(keys)
}

fn snmp(parameters: &mut Parameters, origin: &str, draft: &mut Draft) -> Keys {
    let mut keys =
        Keys::meter("snmp").maybe("host", parameters.text("ip").or_else(|| parameters.text("host")));
    let protocol = parameters.text("protocol").unwrap_or_default();
    let community = parameters.text("community");
    match (protocol.trim_start_matches('v'), parameters.text("user")) {
        ("3", Some(user)) => {
            keys.set("user", user);
            draft.lost(format!("{origin}: version 3 without passwords, as before; see auth_password"));
        }
        (version, _) => {
            if version == "1" {
                keys.set("version", "1");
            }
            draft.has_secret();
            keys = keys.maybe("community", community);
        }
    }
    if let Some(oid) = parameters.text("oid") {
        draft.lost(format!(
            "{origin}: oid {oid}: the family of the PDU is detected, and probes are by outlet number (before, by row); compare kwapi probe NAME"
        ));
    }
    keys
}

/// The entries of a dictionary, each to be taken once.
#[derive(Default)]
struct Parameters {
    entries: Vec<(String, Literal)>,
}

impl Parameters {
    fn take(&mut self, key: &str) -> Option<Literal> {
        let at = self.entries.iter().position(|(known, _)| known == key)?;
        Some(self.entries.remove(at).1)
    }

    fn text(&mut self, key: &str) -> Option<String> {
        self.take(key)?.text()
    }

    fn number(&mut self, key: &str) -> Option<f64> {
        let value = self.take(key)?;
        value.number().or_else(|| number(&value.text()?)?.as_float()).filter(|number| number.is_finite())
    }
}
