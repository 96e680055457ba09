//! CSV exports of NetBox: devices and power cables. A PDU with its outlets becomes a meter; what is plugged in gives each
//! outlet its name, by site, rack and device.

mod sheet;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use toml::{Table, Value};

use super::draft::{Draft, Keys};
pub(super) use sheet::Sheet;
use sheet::{Row, SheetKind};

/// Logins are not in NetBox.
const CREDENTIALS: &str = "pdu";
/// Devices that are listed in one remark.
const LISTED_MAX: usize = 20;

/// A device.
#[derive(Clone, Debug, Default)]
struct Device {
    site: Option<String>,
    rack: Option<String>,
    tenant: Option<String>,
    role: Option<String>,
    model: Option<String>,
    status: Option<String>,
    address: Option<String>,
    management: Option<String>,
}

/// An outlet and what is plugged in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Plug {
    pdu: String,
    outlet: String,
    device: String,
    port: String,
    origin: String,
}

/// Adds the content of the sheets.
///
/// # Errors
/// When cables name no devices, as one line.
pub(super) fn convert(files: &[(PathBuf, Sheet)], draft: &mut Draft) -> Result<(), String> {
    if files.is_empty() {
        return Ok(());
    }
    let mut devices: BTreeMap<String, Device> = BTreeMap::new();
    for (_, sheet) in files.iter().filter(|(_, sheet)| sheet.kind == SheetKind::Devices) {
        for row in &sheet.rows {
            if let Some(name) = row.get(&["name"]) {
                devices.insert(name.to_owned(), Device::of(row));
            }
        }
    }
    let mut plugs: BTreeSet<Plug> = BTreeSet::new();
    for (path, sheet) in files.iter().filter(|(_, sheet)| sheet.kind == SheetKind::Cables) {
        for row in &sheet.rows {
            let origin = format!("{}:{}", path.display(), row.line);
            match plug(row, &devices, &origin) {
                Ok(Some(plug)) => _ = plugs.insert(plug),
                Ok(None) => {}
                Err(why) => draft.lost(format!("{origin}: {why}")),
            }
        }
        if sheet.is_by_id() {
            return Err(format!(
                "{}: this export names devices by id only; export the table of cables with the columns Device A, Termination A, Device B and Termination B",
                path.display()
            ));
        }
    }
    meters(&plugs, &devices, draft);
    remark_unmeasured(&plugs, &devices, draft);
    Ok(())
}

impl Device {
    fn of(row: &Row) -> Self {
        let text = |keys: &[&str]| row.get(keys).map(ToOwned::to_owned);
        let address = |keys: &[&str]| {
            text(keys).map(|address| address.split('/').next().unwrap_or_default().trim().to_owned())
        };
        Self {
            site: text(&["site"]),
            rack: text(&["rack"]),
            tenant: text(&["tenant"]),
            role: text(&["role", "device_role"]),
            model: text(&["type", "device_type"]),
            status: text(&["status"]),
            address: address(&[
                "ip_address",
                "primary_ip",
                "primary_ipv4",
                "primary_ip4",
                "ipv4_address",
                "primary_ipv6",
                "primary_ip6",
            ]),
            management: address(&["oob_ip", "out-of-band_ip", "oob_ip_address"]),
        }
    }

    /// Whether its role or type shows that others are plugged into it.
    fn is_pdu(&self, name: &str) -> bool {
        let texts = [self.role.as_deref(), self.model.as_deref(), Some(name)];
        texts.into_iter().flatten().any(|text| {
            let text = text.to_ascii_lowercase();
            text.split(|character: char| !character.is_ascii_alphabetic())
                .any(|word| ["pdu", "rpdu", "ipdu", "epdu", "ups"].contains(&word))
                || text.contains("power distribution")
        })
    }
}

/// What a row of cables means; `None`: it carries no power to a device.
fn plug(row: &Row, devices: &BTreeMap<String, Device>, origin: &str) -> Result<Option<Plug>, &'static str> {
    let end = |side: &str| {
        let of = |keys: [String; 2]| row.get(&keys.each_ref().map(String::as_str)).map(ToOwned::to_owned);
        (
            of([format!("side_{side}_device"), format!("device_{side}")]),
            of([format!("side_{side}_name"), format!("termination_{side}")]),
            of([format!("side_{side}_type"), format!("termination_{side}_type")])
                .unwrap_or_default()
                .to_ascii_lowercase(),
        )
    };
    let (one, other) = (end("a"), end("b"));
    let typed = |kind: &str, text: &str| text.replace([' ', '_', '.'], "").ends_with(kind);
    let has_types = !one.2.is_empty() && !other.2.is_empty();
    let is_outlet = |(device, _, kind): &(Option<String>, Option<String>, String)| {
        if has_types {
            return typed("poweroutlet", kind);
        }
        let name = device.as_deref().unwrap_or_default();
        devices.get(name).cloned().unwrap_or_default().is_pdu(name)
    };
    let is_power = |text: &str| text.to_ascii_lowercase().contains("power");
    let is_cable_of_power = row.get(&["type"]).is_some_and(is_power);
    let (outlet, port) = match (is_outlet(&one), is_outlet(&other)) {
        (true, false) => (one, other),
        (false, true) => (other, one),
        (true, true) if has_types || is_cable_of_power => return Err("both ends look like a PDU's outlets"),
        (false, false) if !has_types && is_cable_of_power => {
            return Err("a power cable, and neither end is known for a PDU (by its role, type or name)");
        }
        _ => return Ok(None),
    };
    // A PDU's network cable.
    if has_types && !typed("powerport", &port.2)
        || !has_types && row.get(&["type"]).is_some() && !is_cable_of_power
    {
        return Ok(None);
    }
    let (Some(pdu), Some(outlet), Some(device)) = (outlet.0, outlet.1, port.0) else {
        return Err("an end without device or name");
    };
    let port = port.1.unwrap_or_default();
    Ok(Some(Plug { pdu, outlet, device, port, origin: origin.to_owned() }))
}

/// A meter for each PDU.
fn meters(plugs: &BTreeSet<Plug>, devices: &BTreeMap<String, Device>, draft: &mut Draft) {
    let mut by_pdu: BTreeMap<&str, Vec<&Plug>> = BTreeMap::new();
    let mut supplies: BTreeMap<&str, usize> = BTreeMap::new();
    for plug in plugs {
        by_pdu.entry(&plug.pdu).or_default().push(plug);
        *supplies.entry(&plug.device).or_default() += 1;
    }
    if !by_pdu.is_empty() {
        draft.credentials(CREDENTIALS, Keys::default().with("community", "public"));
        draft.lost(format!("logins of the PDUs are not in NetBox: set them in [credentials.{CREDENTIALS}]"));
    }
    for (name, plugs) in by_pdu {
        let pdu = devices.get(name).cloned().unwrap_or_default();
        let is_in_use = pdu.status.as_deref().is_none_or(|status| status.eq_ignore_ascii_case("active"));
        if !is_in_use {
            draft.lost(format!("PDU {name}: its status is {}", pdu.status.as_deref().unwrap_or_default()));
            continue;
        }
        let host = pdu.address.clone().unwrap_or_else(|| {
            draft.lost(format!("PDU {name}: no address; its name is used"));
            name.to_owned()
        });
        let mut probes = Table::new();
        for Plug { outlet, device, port, origin, .. } in plugs {
            let known = devices.get(device).cloned().unwrap_or_default();
            let mut probe = path(&known, device);
            if supplies.get(device.as_str()).is_some_and(|count| *count > 1) {
                probe = format!("{probe}.{}", part(port));
            }
            let key = outlet_key(outlet);
            if probes.contains_key(&key) {
                draft.lost(format!("{origin}: outlet {outlet} of {name} has another cable"));
                continue;
            }
            let Some(probe) = draft.probe(origin, &probe) else { continue };
            let labels = [("tenant", known.tenant), ("role", known.role)];
            let labels = labels.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
            draft.labels(&probe, labels.collect());
            probes.insert(key, Value::String(probe));
        }
        if probes.is_empty() {
            continue;
        }
        let keys = Keys::meter("snmp").with("host", host).with("name", name).with("credentials", CREDENTIALS);
        draft.meter(format!("PDU {name}"), keys.with("probes", probes));
    }
}

/// Devices that no outlet measures.
fn remark_unmeasured(plugs: &BTreeSet<Plug>, devices: &BTreeMap<String, Device>, draft: &mut Draft) {
    let plugged: BTreeSet<&str> = plugs.iter().map(|plug| plug.device.as_str()).collect();
    let others =
        devices.iter().filter(|(name, device)| !plugged.contains(name.as_str()) && !device.is_pdu(name));
    let (managed, unknown): (Vec<_>, Vec<_>) = others.partition(|(_, device)| device.management.is_some());
    let list = |names: Vec<&str>| {
        let more = names.len().saturating_sub(LISTED_MAX);
        let listed = names.into_iter().take(LISTED_MAX).collect::<Vec<_>>().join(" ");
        if more > 0 { format!("{listed} and {more} more") } else { listed }
    };
    if !managed.is_empty() {
        let addresses = managed.iter().filter_map(|(_, device)| device.management.as_deref()).collect();
        draft.lost(format!(
            "without a power cable, and with an out-of-band address: kwapi discover {}",
            list(addresses)
        ));
    }
    if !unknown.is_empty() {
        let names = unknown.iter().map(|(name, _)| name.as_str()).collect();
        draft.lost(format!("without a power cable: {}", list(names)));
    }
}

/// `site.rack.device`.
fn path(device: &Device, name: &str) -> String {
    let parts = [device.site.as_deref(), device.rack.as_deref(), Some(name)];
    parts.into_iter().flatten().map(part).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".")
}

/// One part of a path: a dot would make two of it.
fn part(text: &str) -> String {
    text.trim()
        .chars()
        .map(|character| if character == '.' || character.is_whitespace() { '-' } else { character })
        .collect()
}

/// What the driver calls an outlet: the number at the end of its name, without zeros before it, or its name.
fn outlet_key(name: &str) -> String {
    let name = name.trim();
    let digits = name.chars().rev().take_while(char::is_ascii_digit).count();
    let (_, number) = name.split_at_checked(name.len() - digits).unwrap_or((name, ""));
    // `2.7` is outlet 7 of unit 2, and stays.
    let is_number = name.chars().all(|character| character.is_ascii_digit() || character == '.');
    if number.is_empty() || is_number && name.contains('.') {
        return name.to_owned();
    }
    let plain = number.trim_start_matches('0');
    if plain.is_empty() { "0".to_owned() } else { plain.to_owned() }
}
