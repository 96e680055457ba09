//! Management cards and smart PDUs that speak Redfish over HTTPS.
//!
//! Cards keep power in different places; which one is used is found out when the session opens and kept. A chassis
//! is an outlet, by its `Id`; so is an outlet of a PDU, and `total` is all of a PDU.
//!
//! Source: DMTF DSP0266 1.20 (protocol: sessions 13.3.4, expand 7.3), DSP2046; `redfish/resource.rs`.

mod discover;
#[doc(hidden)]
pub mod resource;
mod session;

use std::sync::Arc;

use kwapi_core::{NoReading, ProbeId, Reading, Secret};
use serde::Deserialize;
use serde_json::Value;

use crate::driver::{Driver, DriverError, Finding, Readings};
use crate::http::{Clients, Device, Login};
use crate::outlets::Outlets;
use crate::tls::Tls;
use discover::{Metered, Search};
use resource::EnergySource;
use session::Session;

/// Where every service begins (DSP0266, 6.1).
const ROOT: &str = "/redfish/v1/";

/// `driver = "redfish"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The card: `bmc7`, `10.0.0.7:8443`, `https://bmc7`.
    pub host: String,
    /// A user that may read; the role `ReadOnly` is enough.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// How to log in.
    #[serde(default)]
    pub auth: Auth,
    /// Whom to trust.
    #[serde(default)]
    pub tls: Tls,
    /// The `Id` of the chassis to read, where several say their power.
    pub chassis: Option<String>,
    /// The `Id` of the power sensor to read, where several could be meant.
    pub sensor: Option<String>,
    /// The `Id` of the PDU to read, where several are behind one address.
    pub pdu: Option<String>,
}

/// How to log in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// A session where the card has them, else the password with each request.
    #[default]
    Auto,
    /// A session's token, deleted when the meter closes: the card checks the password once.
    Session,
    /// The password with each request.
    Basic,
}

/// A card whose sources are known.
#[derive(Debug)]
pub struct Redfish {
    session: Session,
    outlets: Vec<Outlet>,
    /// Configured, but the card has none such.
    missing: Vec<(ProbeId, String)>,
    /// The collection that brings all outlets in one answer, where the card can.
    expanded: Option<(String, &'static str)>,
    findings: Vec<Finding>,
}

#[derive(Debug)]
struct Outlet {
    probe: ProbeId,
    metered: Metered,
    energy: EnergySource,
}

impl Driver for Redfish {
    const NAME: &'static str = "redfish";
    const SUMMARY: &'static str = "servers' management cards and smart PDUs, over Redfish (HTTPS)";
    type Config = Config;
    type Shared = Clients;

    fn check(config: &Config) -> Result<(), String> {
        crate::http::check("host", &config.host, "https", &config.tls)?;
        let login = Login::from_keys(config.username.as_ref(), config.password.as_ref());
        if login.map_err(DriverError::into_message)?.user.is_none() && config.auth != Auth::Auto {
            return Err("auth says how to log in, but not as whom: set username and password".to_owned());
        }
        Ok(())
    }

    fn check_outlets(config: &Config, outlets: &Outlets) -> Result<(), String> {
        let key = config.chassis.as_ref().map(|_| "chassis").or(config.sensor.as_ref().map(|_| "sensor"));
        match (key, outlets.named().len()) {
            (Some(key), probes @ 2..) => {
                Err(format!("{key} chooses one thing to read, and {probes} probes are configured: give one"))
            }
            _ => Ok(()),
        }
    }

    async fn open(config: &Config, outlets: &Outlets, clients: &Arc<Clients>) -> Result<Self, DriverError> {
        let login = Login::from_keys(config.username.as_ref(), config.password.as_ref())?;
        let device = Device::new(clients, &config.host, "https", &config.tls, login)?;
        let root = device.get(ROOT, None).await?.required("is this a Redfish card?")?.json()?;
        let session = Session::open(device, config.auth, &root).await?;
        let mut search = Search { device: session.device(), findings: session.findings() };

        let keys: Vec<&str> = match &config.chassis {
            Some(chassis) => vec![chassis],
            None if outlets.named().len() > 1 => outlets.named().iter().map(|o| o.key.as_str()).collect(),
            None => Vec::new(),
        };
        let (metered, is_pdu) = match search.pdu(&root, config.pdu.as_deref(), outlets).await? {
            Some(metered) => (metered, true),
            None => (search.chassis(&root, &keys, config.sensor.as_deref()).await?, false),
        };
        let findings = search.findings;
        let (outlets, missing) = assign(outlets, metered)
            .map_err(|why| DriverError::Refused(format!("{}: {why}", session.device().base())))?;
        let expanded = is_pdu.then(|| expansion(&root, &outlets)).flatten();
        Ok(Self { session, outlets, missing, expanded, findings })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        for (probe, key) in &self.missing {
            readings.push(probe, Err(NoReading::NoSuchOutlet(key.clone())));
        }
        let device = self.session.device();
        let mut members = Vec::new();
        if let Some((collection, query)) = &self.expanded {
            let answer =
                device.get(collection, Some(query)).await?.required("the outlets are gone")?.json()?;
            members = answer.get("Members").and_then(Value::as_array).cloned().unwrap_or_default();
        }
        let is_only = self.outlets.len() == 1;
        for Outlet { probe, metered, energy } in &mut self.outlets {
            let member =
                members.iter().find(|member| resource::link(member, "").as_ref() == Some(&metered.path));
            let reading = match member {
                Some(member) => metered.place.read(member, energy),
                None => match read(device, metered, energy).await {
                    // One bad outlet of many is that outlet's; a lost link is everybody's.
                    Err(error @ (DriverError::Busy(_) | DriverError::Malformed { .. })) if !is_only => {
                        Err(NoReading::NotReady(error.to_string()))
                    }
                    Err(error) => return Err(error),
                    Ok(reading) => reading,
                },
            };
            readings.push(probe, reading);
        }
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = self.findings.clone();
        for Outlet { probe, metered, energy } in &self.outlets {
            findings.push(Finding {
                what: format!("{probe}: energy counter"),
                value: energy
                    .name()
                    .map_or_else(|| "none".to_owned(), |name| format!("{}{name}", metered.path)),
                is_used: energy.name().is_some(),
                why: "the first of lifetime, joules and kWh that has a number".to_owned(),
            });
        }
        findings
    }
}

/// Reads one resource, and its counter's where that is another.
async fn read(
    device: &Device,
    metered: &Metered,
    energy: &mut EnergySource,
) -> Result<Result<Reading, NoReading>, DriverError> {
    let Some(answer) = device.get(&metered.path, None).await?.found()? else {
        return Ok(Err(NoReading::NoSuchOutlet(format!("{} is gone", metered.path))));
    };
    let resource = answer.json()?;
    let Some(energy_path) = &metered.energy_path else { return Ok(metered.place.read(&resource, energy)) };
    let reading = metered.place.read(&resource, &mut EnergySource::default());
    let Ok(reading) = reading else { return Ok(reading) };
    let counter = match device.get(energy_path, None).await?.found()? {
        Some(answer) => energy.read(&answer.json()?),
        None => Ok(None),
    };
    Ok(counter.map(|counter| Reading { counter, ..reading }))
}

/// What is read, and the probes that nothing answers to, each with why.
type Assigned = (Vec<Outlet>, Vec<(ProbeId, String)>);

/// Which probe is which chassis or outlet.
fn assign(outlets: &Outlets, metered: Vec<Metered>) -> Result<Assigned, String> {
    if metered.is_empty() {
        return Err(
            "no chassis and no PDU says its power in EnvironmentMetrics, Power, Sensors or Oem; may this \
            user read them, and does the card's licence include power?"
                .to_owned(),
        );
    }
    let outlet = |probe, metered| Outlet { probe, metered, energy: EnergySource::default() };
    let keys: Vec<String> = metered.iter().map(|metered| metered.key.clone()).collect();
    let is_named = outlets.named().iter().any(|outlet| keys.contains(&outlet.key));
    match (outlets.named(), outlets.wants_all() || is_named) {
        // `probe = "web1"` on a server: its one chassis, whatever the card calls it.
        ([only], false) => match <[Metered; 1]>::try_from(metered) {
            Ok([metered]) => Ok((vec![outlet(only.probe.clone(), metered)], Vec::new())),
            Err(_) => Err(format!(
                "several say their power, and adding them could count twice; set chassis to one of {keys:?}, or \
                name a probe for each"
            )),
        },
        (named, _) => {
            let missing = named
                .iter()
                .filter(|outlet| !keys.contains(&outlet.key))
                .map(|outlet| (outlet.probe.clone(), format!("{:?}; there are {keys:?}", outlet.key)))
                .collect();
            let found = metered
                .into_iter()
                .filter_map(|metered| {
                    let probe = outlets.probe(&metered.key, metered.label.as_deref())?;
                    Some(outlet(probe, metered))
                })
                .collect();
            Ok((found, missing))
        }
    }
}

/// The request that brings all outlets of a PDU at once, where the service root says that it can (DSP0266, 7.3.1).
fn expansion(root: &Value, outlets: &[Outlet]) -> Option<(String, &'static str)> {
    let can = |what: &str| {
        let place = format!("/ProtocolFeaturesSupported/ExpandQuery/{what}");
        root.pointer(&place).and_then(Value::as_bool).unwrap_or(false)
    };
    let query = if can("NoLinks") {
        "$expand=."
    } else if can("ExpandAll") {
        "$expand=*"
    } else {
        return None;
    };
    let of_collection: Vec<_> = outlets.iter().filter(|outlet| outlet.metered.key != "total").collect();
    let [first, _, ..] = of_collection.as_slice() else { return None };
    let (collection, _) = first.metered.path.trim_end_matches('/').rsplit_once('/')?;
    Some((collection.to_owned(), query))
}

#[cfg(test)]
mod tests;
