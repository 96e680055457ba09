//! Finds out, once a session, where a card keeps what its configured outlets want.

use serde_json::Value;

use super::resource::{CHASSIS, FUJITSU, OUTLET, Place, SENSOR, Said, id, link, members, total};
use crate::driver::{DriverError, Finding};
use crate::http::Device;
use crate::outlets::Outlets;

/// More chassis on one card are left out: blade enclosures show some sixteen.
const CHASSIS_MAX: usize = 32;
/// More outlets of one PDU are left out: the largest have 54.
const OUTLETS_MAX: usize = 256;
/// More sensors are not looked at: each costs a request, and cards name theirs after what they measure.
const SENSORS_MAX: usize = 32;

/// Something measured: a chassis, an outlet, a whole PDU.
#[derive(Debug)]
pub(super) struct Metered {
    /// The card's name for it, an outlet's key in the configuration.
    pub(super) key: String,
    /// What its owner calls it.
    pub(super) label: Option<String>,
    /// The resource to read each round.
    pub(super) path: String,
    /// Where in it the watts are.
    pub(super) place: &'static Place,
    /// A second resource with the counter, where the first has none.
    pub(super) energy_path: Option<String>,
}

/// What the search has seen so far.
pub(super) struct Search<'a> {
    pub(super) device: &'a Device,
    pub(super) findings: Vec<Finding>,
}

impl Search<'_> {
    /// The resource at `path`, if there is one.
    pub(super) async fn get(&self, path: &str) -> Result<Option<Value>, DriverError> {
        match self.device.get(path, None).await?.found()? {
            Some(answer) => answer.json().map(Some),
            None => Ok(None),
        }
    }

    fn note(&mut self, what: String, value: &Said, is_used: bool, why: &str) {
        let value = match value {
            Said::Absent => "absent".to_owned(),
            Said::Null => "null".to_owned(),
            Said::Number(watts) => format!("{watts} W"),
        };
        self.findings.push(Finding { what, value, is_used, why: why.to_owned() });
    }

    /// The chassis of a card that say their power; only those in `wanted`, unless it is empty.
    pub(super) async fn chassis(
        &mut self,
        root: &Value,
        wanted: &[&str],
        sensor: Option<&str>,
    ) -> Result<Vec<Metered>, DriverError> {
        let collection = link(root, "Chassis").unwrap_or_else(|| "/redfish/v1/Chassis".to_owned());
        let collection = self.get(&collection).await?.unwrap_or_default();
        let mut metered = Vec::new();
        for path in members(&collection, CHASSIS_MAX) {
            let Some(chassis) = self.get(&path).await? else { continue };
            let id = id(&chassis, &path);
            if wanted.is_empty() || wanted.contains(&id.as_str()) {
                metered.extend(self.source(&path, &chassis, &id, sensor).await?);
            }
        }
        Ok(metered)
    }

    /// The best place of one chassis: the first that has a number; else the first that is null now but may not stay so.
    async fn source(
        &mut self,
        path: &str,
        chassis: &Value,
        id: &str,
        sensor: Option<&str>,
    ) -> Result<Option<Metered>, DriverError> {
        let label = chassis.get("Name").and_then(Value::as_str).map(str::to_owned);
        let metered = |path: String, place, energy_path| {
            Some(Metered { key: id.to_owned(), label: label.clone(), path, place, energy_path })
        };
        let mut fallback = None;
        let mut power_resource = None;
        if sensor.is_none() {
            for place in CHASSIS {
                let at = link(chassis, place.resource)
                    .unwrap_or_else(|| format!("{}/{}", path.trim_end_matches('/'), place.resource));
                let resource = match (&power_resource, place.resource) {
                    (Some(seen), "Power") => Clone::clone(seen),
                    _ => self.get(&at).await?,
                };
                if place.resource == "Power" {
                    power_resource = Some(resource.clone());
                }
                let said = resource.map_or(Said::Absent, |resource| place.power(&resource));
                let what = format!("{id}: {}", place.name);
                match said {
                    Said::Number(_) => {
                        self.note(what, &said, true, "the first in order that has a number");
                        return Ok(metered(at, place, None));
                    }
                    Said::Null => {
                        self.note(
                            what,
                            &said,
                            false,
                            "used only if nothing else has a number; is the host off?",
                        );
                        fallback = fallback.or_else(|| metered(at, place, None));
                    }
                    Said::Absent => self.note(what, &said, false, ""),
                }
            }
        }
        if let Some((power, energy, said)) = self.sensors(chassis, path, id, sensor).await?
            && (matches!(said, Said::Number(_)) || fallback.is_none())
        {
            return Ok(metered(power, &SENSOR, energy));
        }
        if let Some(said @ Said::Number(_)) =
            power_resource.flatten().map(|resource| FUJITSU.power(&resource))
        {
            self.note(format!("{id}: {}", FUJITSU.name), &said, true, "nothing standard has a number");
            let at =
                link(chassis, "Power").unwrap_or_else(|| format!("{}/Power", path.trim_end_matches('/')));
            return Ok(metered(at, &FUJITSU, None));
        }
        Ok(fallback)
    }

    /// The sensor that stands for the whole chassis, and the counter beside it.
    async fn sensors(
        &mut self,
        chassis: &Value,
        path: &str,
        id: &str,
        sensor: Option<&str>,
    ) -> Result<Option<(String, Option<String>, Said)>, DriverError> {
        let collection =
            link(chassis, "Sensors").unwrap_or_else(|| format!("{}/Sensors", path.trim_end_matches('/')));
        let mut candidates = match (self.get(&collection).await?, sensor) {
            (_, Some(sensor)) => vec![format!("{}/{sensor}", collection.trim_end_matches('/'))],
            (Some(collection), None) => members(&collection, usize::MAX),
            (None, None) => return Ok(None),
        };
        let says_so = |path: &String| {
            let name = path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
            ["power", "watt", "energy"].iter().any(|word| name.contains(word))
        };
        if sensor.is_none() && candidates.iter().any(says_so) {
            candidates.retain(says_so);
        }
        let (mut powers, mut energies) = (Vec::new(), Vec::new());
        for path in candidates.into_iter().take(SENSORS_MAX) {
            let Some(resource) = self.get(&path).await? else { continue };
            match resource.get("ReadingType").and_then(Value::as_str) {
                Some("Power") => powers.push((path, resource)),
                Some("EnergykWh" | "EnergyWh" | "EnergyJoules") => energies.push((path, resource)),
                Some(_) | None => {}
            }
        }
        let chosen = total(&powers);
        for sensor in &powers {
            let (path, resource) = sensor;
            let is_used = chosen == Some(sensor);
            let why = if is_used {
                "the only one or the one called total"
            } else {
                "sensor = \"ID\" would choose it"
            };
            self.note(format!("{id}: {path}"), &SENSOR.power(resource), is_used, why);
        }
        let energy = total(&energies).map(|(path, _)| path.clone());
        Ok(chosen.map(|(path, resource)| (path.clone(), energy, SENSOR.power(resource))))
    }

    /// The outlets of the PDU behind this service, with `total` for all of it; `None` where there is no PDU. Labels
    /// cost a request each and are read only when all outlets are wanted.
    pub(super) async fn pdu(
        &mut self,
        root: &Value,
        wanted: Option<&str>,
        outlets: &Outlets,
    ) -> Result<Option<Vec<Metered>>, DriverError> {
        let Some(equipment) = link(root, "PowerEquipment") else { return Ok(None) };
        let Some(equipment) = self.get(&equipment).await? else { return Ok(None) };
        let Some(pdus) = link(&equipment, "RackPDUs") else { return Ok(None) };
        let pdus = members(&self.get(&pdus).await?.unwrap_or_default(), CHASSIS_MAX);
        let name =
            |path: &String| path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        let names: Vec<String> = pdus.iter().map(name).collect();
        let pdu = match (pdus.as_slice(), wanted) {
            ([], _) => return Ok(None),
            ([only], None) => only,
            (several, Some(wanted)) => several.iter().find(|path| name(path) == wanted).ok_or_else(|| {
                DriverError::Refused(format!("no PDU {wanted:?} here; there are {names:?}"))
            })?,
            (_, None) => {
                return Err(DriverError::Refused(format!("several PDUs here; set pdu to one of {names:?}")));
            }
        };
        let Some(resource) = self.get(pdu).await? else { return Ok(None) };
        let mut metered = Vec::new();
        if let Some(path) = link(&resource, "Outlets") {
            let collection = self.get(&path).await?.unwrap_or_default();
            for path in members(&collection, OUTLETS_MAX) {
                let key = name(&path);
                let mut label = None;
                if outlets.wants_all() {
                    label = self.get(&path).await?.and_then(|outlet| consumer(&outlet));
                } else if outlets.probe(&key, None).is_none() {
                    continue;
                }
                metered.push(Metered { key, label, path, place: &OUTLET, energy_path: None });
            }
        }
        if let Some(path) = link(&resource, "Metrics") {
            let key = "total".to_owned();
            metered.push(Metered { key, label: None, path, place: &OUTLET, energy_path: None });
        }
        self.findings.push(Finding {
            what: format!("PDU {}", name(pdu)),
            value: format!("{} outlets and totals read", metered.len()),
            is_used: true,
            why: "the service root offers PowerEquipment".to_owned(),
        });
        Ok(Some(metered))
    }
}

/// Which machine an outlet feeds, by its owner's own words.
fn consumer(outlet: &Value) -> Option<String> {
    let first = outlet.pointer("/ElectricalConsumerNames/0").or_else(|| outlet.get("UserLabel"))?;
    first.as_str().map(str::to_owned)
}
