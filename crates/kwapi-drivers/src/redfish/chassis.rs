//! Lists the chassis of a card that report their power.

use serde_json::Value;

use super::metered::Metered;
use super::resource::{id, label, link, segment, serial};
use super::search::{ABSENT, Search};
use crate::driver::DriverError;

/// More chassis on one card are not looked at unless they are named: a card of eight GPUs shows some sixty.
const CHASSIS_MAX: usize = 128;

impl Search<'_> {
    /// The chassis of a card that report their power or may do so later; only those in `wanted`, unless it is empty.
    /// Nothing is requested of others where the wanted ones are found by their path: querying some parts of some cards
    /// resets them.
    pub(super) async fn chassis(
        &mut self,
        root: &Value,
        wanted: &[&str],
        sensor: Option<&str>,
    ) -> Result<Vec<Metered>, DriverError> {
        let collection = link(root, "Chassis").unwrap_or_else(|| "/redfish/v1/Chassis".to_owned());
        let mut paths = self.members(&collection).await?;
        let is_wanted_path = |path: &String| wanted.contains(&segment(path));
        if !wanted.is_empty() && wanted.iter().all(|key| paths.iter().any(|path| segment(path) == *key)) {
            paths.retain(is_wanted_path);
        }
        if paths.len() > CHASSIS_MAX {
            self.note(
                "chassis",
                format!("{} of {}", CHASSIS_MAX, paths.len()),
                "the others are ignored; set chassis to the Id of the one to read",
            );
            paths.truncate(CHASSIS_MAX);
        }
        let mut metered: Vec<Metered> = Vec::new();
        let mut without = 0_u32;
        for path in paths {
            let Some(chassis) = self.get(&path).await? else { continue };
            let id = id(&chassis, &path);
            if !wanted.is_empty() && !wanted.contains(&id.as_str()) && !wanted.contains(&segment(&path)) {
                continue;
            }
            let key = if wanted.contains(&segment(&path)) { segment(&path).to_owned() } else { id };
            let noted = self.findings.len();
            let sources = self.sources(&path, &chassis, &key, sensor).await?;
            let Some(mut found) = Metered::new(key, label(chassis.get("Name")), sources) else {
                // Boards and backplanes by the dozen: what they do not have is not worth a line each.
                let remarks = self.findings.split_off(noted);
                self.findings.extend(remarks.into_iter().filter(|remark| remark.value != ABSENT));
                without += 1;
                continue;
            };
            // Two chassis that link to one resource are one machine.
            let same = found.path().and_then(|path| metered.iter().find(|other| other.path() == Some(path)));
            if let Some(same) = same {
                let why = format!("same power resource as {}; would count twice", same.key);
                self.note(found.key, "ignored", why);
                continue;
            }
            found.chassis = Some((path, sensor.map(str::to_owned)));
            found.serial = serial(&chassis);
            metered.push(found);
        }
        if without > 0 {
            self.note("other chassis", format!("{without} without power"), "they report no power");
        }
        Ok(metered)
    }
}
