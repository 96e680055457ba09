//! Management cards and smart PDUs with Redfish over HTTPS.
//!
//! Cards keep power in different places; which one is used is found out when the session opens, and looked at again. A
//! chassis is an outlet, by its `Id`; so is an outlet of a PDU, and `total` is all of a PDU.
//!
//! Source: DMTF DSP0266 1.20 (protocol: sessions 13.3.4, expand 7.3), DSP2046; `redfish/resource.rs`.

mod chassis;
mod energy;
mod metered;
mod pdu;
mod places;
pub(crate) mod resource;
mod search;
mod sensors;
mod session;
mod source;

use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{NoReading, ProbeId, Secret};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::config::{ConfigError, DriverKey, Names};
use crate::driver::{Driver, DriverError, Finding, Readings};
use crate::http::{Access, Clients, DeviceClient};
use crate::last_value::LastValue;
use crate::outlets::Outlets;
use crate::tls::DeviceTls;
use metered::Metered;
use search::Search;
use session::RedfishSession;

/// Where every service begins (DSP0266, 6.1).
const ROOT: &str = "/redfish/v1/";
/// How often the card is listed again for what is configured and was not there.
const LIST_AGAIN: Duration = Duration::from_secs(600);
/// Of what a search remarked, so much goes into the error when it found nothing.
const REMARKS_MAX: usize = 6;

/// `driver = "redfish"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedfishConfig {
    /// The card: `bmc7`, `10.0.0.7:8443`, `https://bmc7`.
    pub host: String,
    /// A user that may read; the role `ReadOnly` is enough.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// How to log in.
    #[serde(default)]
    pub auth: RedfishAuth,
    /// Whom to trust.
    #[serde(default)]
    pub tls: DeviceTls,
    /// The `Id` of the chassis to read, where several report their power.
    pub chassis: Option<String>,
    /// The `Id` of the power sensor to read, where several could be meant.
    pub sensor: Option<String>,
    /// The `Id` of the PDU to read, where several are behind one address.
    pub pdu: Option<String>,
}

/// How to log in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RedfishAuth {
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
    session: RedfishSession,
    config: RedfishConfig,
    wanted: Outlets,
    root: Value,
    outlets: Vec<Outlet>,
    /// Configured, but the card has none such.
    missing: Vec<(ProbeId, String)>,
    listed: Instant,
    /// The collection that returns all outlets in one answer, where the card can.
    expanded: Option<(String, &'static str)>,
    findings: Vec<Finding>,
}

#[derive(Debug)]
struct Outlet {
    probe: ProbeId,
    metered: Metered,
    last_value: LastValue,
}

fn access(config: &RedfishConfig) -> Access<'_> {
    Access {
        tls: &config.tls,
        username: config.username.as_deref(),
        password: config.password.as_ref(),
        ..Access::new("host", &config.host, "https")
    }
}

impl Driver for Redfish {
    const NAME: &'static str = "redfish";
    const SUMMARY: &'static str = "server BMCs and smart PDUs over Redfish (HTTPS)";
    const KEYS: &'static [DriverKey] = &[
        DriverKey::required(
            "host",
            "the card: name or address, with a port or https:// before it if need be",
        ),
        DriverKey::new("username", "a user that may read").login(),
        DriverKey::new("password", "its password").secret(),
        DriverKey::new("auth", "how to log in: session, basic or auto").login().or("auto"),
        DriverKey::new("tls", "certificate verification: system, ca:FILE, sha256:FINGERPRINT or insecure")
            .login()
            .or("system")
            .naming(Names::Authority),
        DriverKey::new("chassis", "Id of the chassis to read").otherwise("the only one with power"),
        DriverKey::new("sensor", "Id of the power sensor to read").otherwise("the one named total"),
        DriverKey::new("pdu", "Id of the PDU to read").otherwise("the only one"),
    ];
    type Config = RedfishConfig;
    type Shared = Clients;

    fn check(config: &RedfishConfig) -> Result<(), ConfigError> {
        access(config).check()?;
        if config.username.is_none() && config.auth != RedfishAuth::Auto {
            let why = "requires username and password";
            return Err(ConfigError::of("auth", why));
        }
        Ok(())
    }

    fn check_outlets(config: &RedfishConfig, outlets: &Outlets) -> Result<(), ConfigError> {
        let key = config.chassis.as_ref().map(|_| "chassis").or(config.sensor.as_ref().map(|_| "sensor"));
        match (key, outlets.named().len()) {
            (Some(key), probes @ 2..) => {
                let why = format!("selects one resource, but {probes} probes are configured; configure one");
                Err(ConfigError::of(key, why))
            }
            _ => Ok(()),
        }
    }

    async fn open(
        config: &RedfishConfig,
        outlets: &Outlets,
        clients: &Arc<Clients>,
    ) -> Result<Self, DriverError> {
        let device = access(config).device(clients)?;
        let root = device.get(ROOT, None).await?.required("check that this is a Redfish service")?.json()?;
        let session = RedfishSession::open(device, config.auth, &root).await?;
        let listed = Instant::now();
        let (metered, is_pdu, mut findings) = list(session.device(), config, outlets, &root).await?;
        let (wanted, config) = (outlets.clone(), config.clone());
        let (outlets, missing) = assign(&wanted, metered)
            .map_err(|why| DriverError::Refused(format!("{}: {why}", session.device().base())))?;
        let expanded = is_pdu.then(|| expansion(&root, &outlets)).flatten();
        findings.splice(0..0, session.findings());
        Ok(Self { session, config, wanted, root, outlets, missing, listed, expanded, findings })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        self.list_again().await?;
        for (probe, key) in &self.missing {
            readings.push(probe, Err(NoReading::NoSuchOutlet(key.clone())));
        }
        let device = self.session.device();
        let mut members = Vec::new();
        if let Some((collection, query)) = &self.expanded {
            let answer = device
                .get(collection, Some(query))
                .await?
                .required("the outlets have disappeared")?
                .json()?;
            members = answer.get("Members").and_then(Value::as_array).cloned().unwrap_or_default();
        }
        let is_only = self.outlets.len() == 1;
        for Outlet { probe, metered, last_value } in &mut self.outlets {
            let member = members.iter().find(|member| {
                let path = resource::link(member, "");
                path.is_some() && path.as_deref() == metered.path()
            });
            let reading = match (member, metered.source().map(|source| source.place)) {
                (Some(member), Some(place)) => place.read(member, &mut metered.energy),
                _ => match metered.read(device).await {
                    // One bad outlet of many is that outlet's; a lost link is everybody's.
                    Err(
                        error @ (DriverError::Busy(_)
                        | DriverError::Malformed { .. }
                        | DriverError::Refused(_)),
                    ) if !is_only => Err(NoReading::NotReady(error.to_string())),
                    Err(error) => return Err(error),
                    Ok(reading) => reading,
                },
            };
            let reading = reading.map(|reading| metered.registered(reading));
            readings.push(probe, last_value.noted(reading));
        }
        Ok(())
    }

    fn accuracy(&self) -> Vec<(ProbeId, f64)> {
        let of = |outlet: &Outlet| {
            let metered = &outlet.metered;
            Some((outlet.probe.clone(), metered.sources.get(metered.chosen)?.accuracy?))
        };
        self.outlets.iter().filter_map(of).collect()
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = self.findings.clone();
        for Outlet { metered, .. } in &self.outlets {
            findings.extend(metered.findings());
        }
        for Outlet { probe, metered, .. } in &self.outlets {
            let name = metered.energy.name();
            findings.push(Finding {
                what: format!("{probe}: energy counter"),
                value: name.map_or_else(
                    || "none".to_owned(),
                    |name| format!("{}{name}", metered.path().unwrap_or_default()),
                ),
                is_used: name.is_some(),
                why: "the first of lifetime, joules and kWh with a value".to_owned(),
            });
        }
        findings
    }
}

impl Redfish {
    /// Lists the card again where something is wanted that was not there: a blade that was put in, a chassis that shows
    /// itself when the host starts.
    async fn list_again(&mut self) -> Result<(), DriverError> {
        let is_wanted = self.wanted.selects_all() || !self.missing.is_empty();
        if !is_wanted || self.listed.elapsed() < LIST_AGAIN {
            return Ok(());
        }
        self.listed = Instant::now();
        let device = self.session.device();
        let (metered, is_pdu, _) = match list(device, &self.config, &self.wanted, &self.root).await {
            Ok(listed) => listed,
            Err(error @ (DriverError::Link(_) | DriverError::Untrusted(_))) => return Err(error),
            // What is known is still read.
            Err(_) => return Ok(()),
        };
        let Ok((outlets, missing)) = assign(&self.wanted, metered) else { return Ok(()) };
        let is_known = |outlet: &Outlet| self.outlets.iter().any(|known| known.probe == outlet.probe);
        let new: Vec<Outlet> = outlets.into_iter().filter(|outlet| !is_known(outlet)).collect();
        self.outlets.extend(new);
        self.missing = missing
            .into_iter()
            .filter(|(probe, _)| !self.outlets.iter().any(|known| known.probe == *probe))
            .collect();
        self.expanded = is_pdu.then(|| expansion(&self.root, &self.outlets)).flatten();
        Ok(())
    }
}

/// What the card has of what is wanted, whether it is a PDU, and what was remarked on the way.
async fn list(
    device: &DeviceClient,
    config: &RedfishConfig,
    outlets: &Outlets,
    root: &Value,
) -> Result<(Vec<Metered>, bool, Vec<Finding>), DriverError> {
    let mut search = Search::new(device);
    let keys: Vec<&str> = match &config.chassis {
        Some(chassis) => vec![chassis],
        None if outlets.named().len() > 1 => outlets.named().iter().map(|o| o.key.as_str()).collect(),
        None => Vec::new(),
    };
    // A chassis that is named is all that is requested.
    let pdu = config.pdu.as_deref();
    let is_chassis = config.chassis.is_some() || config.sensor.is_some();
    if !is_chassis && let Some(metered) = search.pdu(root, pdu::OF_A_RACK, pdu, outlets).await? {
        return Ok((metered, true, search.findings));
    }
    let metered = search.chassis(root, &keys, config.sensor.as_deref()).await?;
    if !metered.is_empty() {
        return Ok((metered, false, search.findings));
    }
    if !is_chassis && let Some(metered) = search.pdu(root, pdu::OTHERS, pdu, outlets).await? {
        return Ok((metered, true, search.findings));
    }
    match search.failure {
        Some(failure) => Err(failure),
        None => Err(DriverError::Refused(format!("{}: {}", device.base(), nothing_found(&search.findings)))),
    }
}

/// Why nothing is read, with what was seen.
fn nothing_found(findings: &[Finding]) -> String {
    let seen = findings.iter().filter(|finding| finding.value != search::ABSENT).take(REMARKS_MAX);
    let seen: Vec<String> =
        seen.map(|finding| format!("{} {} ({})", finding.what, finding.value, finding.why)).collect();
    let seen = if seen.is_empty() { String::new() } else { format!("; seen: {}", seen.join("; ")) };
    format!(
        "no chassis or PDU reports power in EnvironmentMetrics, Power, PowerSubsystem, Sensors or Oem; check this user's read access and whether the BMC's licence includes power{seen}"
    )
}

/// What is read, and the probes that nothing answers to, each with why.
type Assigned = (Vec<Outlet>, Vec<(ProbeId, String)>);

/// Which probe is which chassis or outlet.
fn assign(outlets: &Outlets, metered: Vec<Metered>) -> Result<Assigned, String> {
    let outlet = |probe, metered| Outlet { probe, metered, last_value: LastValue::default() };
    let keys: Vec<String> = metered.iter().map(|metered| metered.key.clone()).collect();
    let is_named = outlets.named().iter().any(|outlet| keys.contains(&outlet.key));
    match (outlets.named(), outlets.selects_all() || is_named) {
        // `probe = "web1"` on a server: its one chassis, whatever the card calls it.
        ([only], false) => match <[Metered; 1]>::try_from(with_numbers_first(metered)) {
            Ok([metered]) => Ok((vec![outlet(only.probe.clone(), metered)], Vec::new())),
            Err(_) => Err(format!(
                "several chassis report power, and adding them could count it twice; set chassis to one of {keys:?}, or configure a probe for each"
            )),
        },
        (named, _) => {
            let missing = named
                .iter()
                .filter(|outlet| !keys.contains(&outlet.key))
                .map(|outlet| (outlet.probe.clone(), format!("{:?}; available: {keys:?}", outlet.key)))
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

/// Those that have a number, or all where none has: an enclosure that lists its supplies' capacity reports no power.
fn with_numbers_first(metered: Vec<Metered>) -> Vec<Metered> {
    if !metered.iter().any(Metered::has_number) {
        return metered;
    }
    metered.into_iter().filter(Metered::has_number).collect()
}

/// The request that returns all outlets of a PDU at once, where the service root states that it can (DSP0266, 7.3.1).
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
    let (collection, _) = first.metered.path()?.trim_end_matches('/').rsplit_once('/')?;
    Some((collection.to_owned(), query))
}

#[cfg(test)]
mod tests;
