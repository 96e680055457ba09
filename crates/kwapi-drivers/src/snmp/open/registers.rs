//! What each energy counter is known by after a restart: the device's serial number and the counter's own object.

use std::collections::HashMap;
use std::sync::Arc;

use async_snmp::Oid;
use kwapi_core::Register;

use crate::driver::DriverError;

use super::super::agent::Agent;
use super::super::plan::Point;
use super::super::profile::{Field, Profile};

/// A longer serial number is cut here.
const SERIAL_CHARS_MAX: usize = 100;

/// Reads the serial numbers of the devices whose registers these points have: one request, if the profile states where. A
/// device that does not report it goes by its address alone.
pub(super) async fn identify(
    profile: Option<&Profile>,
    points: &mut [Point],
    agent: &mut Agent,
) -> Result<(), DriverError> {
    let counted = |point: &Point| point.columns.iter().any(|(field, _)| *field == Field::Energy);
    let mut oids: Vec<Oid> =
        points.iter().filter(|point| counted(point)).filter_map(|point| serial_at(profile, point)).collect();
    oids.sort();
    oids.dedup();
    let values = if oids.is_empty() { Vec::new() } else { agent.get_cautiously(&oids).await? };
    let serials: HashMap<Oid, String> = oids
        .into_iter()
        .zip(values)
        .filter_map(|(oid, value)| {
            let serial = value.text().or_else(|| value.integer().map(|number| number.to_string()))?;
            Some((oid, serial.chars().take(SERIAL_CHARS_MAX).collect()))
        })
        .collect();
    for point in points {
        let Some((_, oid)) = point.columns.iter().find(|(field, _)| *field == Field::Energy) else {
            continue;
        };
        let serial = serial_at(profile, point).and_then(|oid| serials.get(&oid).cloned());
        point.register =
            Some(Arc::new(Register { serial, path: Some(oid.to_string()), ..Register::default() }));
    }
    Ok(())
}

/// Where the device, or the unit of a chain that a point is of, states its serial number.
fn serial_at(profile: Option<&Profile>, point: &Point) -> Option<Oid> {
    let serial = profile?.serial.as_ref()?;
    if serial.is_indexed() {
        return Some(serial.at(&[point.section.unit_of(&point.index)?]));
    }
    Some(serial.at(&[]))
}
