//! The outlets of a smart PDU, and all of it.

use serde_json::Value;

use super::metered::Metered;
use super::resource::{OUTLET, Shown, label, link, segment, serial};
use super::search::Search;
use crate::driver::{DriverError, Finding};
use crate::outlets::Outlets;

/// More outlets of one PDU are left out: the largest have 54.
const OUTLETS_MAX: usize = 256;
/// More PDUs behind one address are not looked at.
const PDUS_MAX: usize = 64;

/// Collections of what distributes power, as the schema `PowerEquipment` 1.2 has them: those of a rack, which come before
/// any chassis of the same service, and those of a room and of power shelves, which come after.
pub(super) const OF_A_RACK: &[&str] = &["RackPDUs"];
pub(super) const OTHERS: &[&str] = &["FloorPDUs", "PowerShelves", "Switchgear"];

impl Search<'_> {
    /// The outlets of the PDU behind this service, or `total` for all of it; `None` where there is none in these
    /// `collections`. Labels cost a request each and are read only when all outlets are wanted.
    pub(super) async fn pdu(
        &mut self,
        root: &Value,
        collections: &[&str],
        wanted: Option<&str>,
        outlets: &Outlets,
    ) -> Result<Option<Vec<Metered>>, DriverError> {
        let Some(equipment) = link(root, "PowerEquipment") else { return Ok(None) };
        let Some(equipment) = self.get(&equipment).await? else { return Ok(None) };
        let mut pdus = Vec::new();
        for collection in collections {
            if let Some(collection) = link(&equipment, collection) {
                pdus.extend(self.members(&collection).await?.into_iter().take(PDUS_MAX));
            }
        }
        let names: Vec<&str> = pdus.iter().map(|path| segment(path)).collect();
        let pdu = match (pdus.as_slice(), wanted) {
            ([], _) => return Ok(None),
            ([only], None) => only,
            (several, Some(wanted)) => {
                several.iter().find(|path| segment(path) == wanted).ok_or_else(|| {
                    DriverError::Refused(format!("unknown PDU {wanted:?}; available: {names:?}"))
                })?
            }
            (_, None) => {
                return Err(DriverError::Refused(format!("several PDUs found; set pdu to one of {names:?}")));
            }
        };
        let Some(resource) = self.get(pdu).await? else { return Ok(None) };
        let mut metered = Vec::new();
        let mut has_metered_outlets = false;
        if let Some(collection) = link(&resource, "Outlets") {
            let paths = self.members(&collection).await?;
            if paths.len() > OUTLETS_MAX {
                self.note("outlets", format!("{OUTLETS_MAX} of {}", paths.len()), "the others are ignored");
            }
            for path in paths.into_iter().take(OUTLETS_MAX) {
                let key = segment(&path).to_owned();
                let mut consumer = None;
                if outlets.selects_all() {
                    let outlet = self.get(&path).await?;
                    has_metered_outlets |= outlet
                        .as_ref()
                        .is_some_and(|outlet| matches!(OUTLET.power(outlet), Shown::Number(_)));
                    consumer = outlet.and_then(|outlet| consumer_of(&outlet));
                } else if outlets.probe(&key, None).is_none() {
                    continue;
                }
                metered.push(Metered::in_one_place(key, consumer, path, &OUTLET));
            }
        }
        if let Some(path) = link(&resource, "Metrics") {
            let total = Metered::in_one_place("total".to_owned(), None, path, &OUTLET);
            // All there is, and nothing twice: the outlets where they are measured, else the whole.
            if outlets.selects_all() && has_metered_outlets {
                self.note("total", "left out", "it counts what the outlets do; name it to read it");
            } else {
                if outlets.selects_all() && !metered.is_empty() {
                    let count = metered.len();
                    self.note("outlets", format!("{count} without power"), "power is reported by the total");
                    metered.clear();
                }
                metered.push(total);
            }
        }
        let serial = serial(&resource);
        for metered in &mut metered {
            metered.serial.clone_from(&serial);
        }
        self.findings.push(Finding {
            what: format!("PDU {}", segment(pdu)),
            value: format!("{} outlets and totals", metered.len()),
            is_used: true,
            why: "the service root lists PowerEquipment".to_owned(),
        });
        Ok(Some(metered))
    }
}

/// Which machine an outlet feeds, by its owner's own words.
fn consumer_of(outlet: &Value) -> Option<String> {
    label(outlet.pointer("/ElectricalConsumerNames/0").or_else(|| outlet.get("UserLabel")))
}
