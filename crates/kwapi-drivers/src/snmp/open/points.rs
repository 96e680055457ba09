//! Which outlets a session reads: those that are named, or all that the device lists.

use std::collections::HashSet;
use std::sync::Arc;

use async_snmp::Oid;

use crate::driver::{DriverError, Finding};
use crate::outlets::Outlets;

use super::super::agent::Agent;
use super::super::config::Config;
use super::super::interpret;
use super::super::plan::{self, Point};
use super::super::profile::{Field, Kind, Profile, Section};
use super::super::walk;
use super::{base, no_such_key};

pub(super) fn named_points(
    config: &Config,
    outlets: &Outlets,
    profile: Option<&Arc<Profile>>,
) -> Result<Vec<Point>, DriverError> {
    let mut points = Vec::new();
    let mut sections: Vec<(Kind, Arc<Section>)> = Vec::new();
    for outlet in outlets.named() {
        if let Some(section) = config.oids.get(&outlet.key) {
            let section = Arc::new(section.clone());
            points.push(Point::new(outlet.probe.clone(), &section, &[], true));
            continue;
        }
        let refused = |why: String| DriverError::Refused(format!("outlet {:?}: {why}", outlet.key));
        let Some(profile) = profile else {
            return Err(refused("it is not among `oids`, and there is no profile".to_owned()));
        };
        let (kind, numbers) = plan::parse_key(&outlet.key).ok_or_else(|| no_such_key(&outlet.key))?;
        let section = if let Some((_, section)) = sections.iter().find(|(known, _)| *known == kind) {
            Arc::clone(section)
        } else {
            let section = profile.section(kind).ok_or_else(|| {
                let word = if kind == Kind::Outlet { "outlets" } else { kind.word() };
                refused(format!("profile {:?} measures no {word}", profile.name))
            })?;
            let section = Arc::new(section.clone());
            sections.push((kind, Arc::clone(&section)));
            section
        };
        let index = section.index(&numbers).ok_or_else(|| {
            refused(format!("profile {:?} wants {} numbers", profile.name, section.index_length))
        })?;
        points.push(Point::new(outlet.probe.clone(), &section, &index, config.voltage_and_current));
    }
    Ok(points)
}

pub(super) async fn all_points(
    config: &Config,
    outlets: &Outlets,
    profile: Option<&Arc<Profile>>,
    agent: &mut Agent,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Point>, DriverError> {
    let mut points = Vec::new();
    for (key, section) in &config.oids {
        if let Some(probe) = outlets.probe(key, None) {
            points.push(Point::new(probe, &Arc::new(section.clone()), &[], true));
        }
    }
    let Some(profile) = profile else { return Ok(points) };
    // All outlets; where the device measures none, all of what it does measure.
    let (mut measured, mut indexes) = (None, Vec::new());
    for (kind, section) in profile.kinds() {
        indexes = rows(section, profile.max_repetitions, agent).await?;
        measured = measured.or(Some((kind, section)));
        if !indexes.is_empty() {
            measured = Some((kind, section));
            break;
        }
    }
    let Some((kind, section)) = measured else { return Ok(points) };
    let section = Arc::new(section.clone());
    let labels = labels(&section, &indexes, agent).await?;
    let mut taken: HashSet<_> = points.iter().map(|point| point.probe.clone()).collect();
    for (index, label) in indexes.iter().zip(labels) {
        let key = plan::key(kind, &section, index);
        let why = match outlets.probe(&key, label.as_deref()) {
            // Two outlets under one name would be one probe that jumps between them, and a wrong bill.
            Some(probe) if !taken.insert(probe.clone()) => "another outlet has that name",
            Some(probe) => {
                points.push(Point::new(probe, &section, index, config.voltage_and_current));
                continue;
            }
            None => "the template makes no probe id of its name",
        };
        tracing::warn!(host = config.host, outlet = key, ?label, why, "an outlet is left out");
        findings.push(Finding {
            what: format!("outlet {key}"),
            value: label.unwrap_or_default(),
            is_used: false,
            why: why.to_owned(),
        });
    }
    if points.is_empty() {
        return Err(DriverError::Refused(format!(
            "{} lists no outlets where profile {:?} has them: try another profile, or name the outlets",
            config.address(),
            profile.name
        )));
    }
    Ok(points)
}

async fn rows(
    section: &Section,
    max_repetitions: u32,
    agent: &mut Agent,
) -> Result<Vec<Vec<u32>>, DriverError> {
    let Some(column) = section.listing() else { return Ok(Vec::new()) };
    if !column.is_indexed() {
        return Ok(vec![Vec::new()]);
    }
    let listed = agent.walk(column.base(), max_repetitions).await?;
    let rows = walk::rows(section, listed.iter().map(|(oid, value)| (oid, value)));
    if !rows.is_empty() || section.list.is_none() {
        return Ok(rows);
    }
    // The listing is a table of names that this firmware lacks; the values list the rows as well.
    let unlisted = Section { list: None, ..section.clone() };
    let Some(base) = unlisted.listing().and_then(base) else { return Ok(Vec::new()) };
    let listed = agent.walk(&base, max_repetitions).await?;
    Ok(walk::rows(&unlisted, listed.iter().map(|(oid, value)| (oid, value))))
}

async fn labels(
    section: &Section,
    indexes: &[Vec<u32>],
    agent: &mut Agent,
) -> Result<Vec<Option<String>>, DriverError> {
    let Some(column) = &section.label else { return Ok(vec![None; indexes.len()]) };
    let oids: Vec<Oid> = indexes.iter().map(|index| column.at(index)).collect();
    let values = agent.get_cautiously(&oids).await?;
    Ok(values.into_iter().map(|value| interpret::label(&vec![(Field::Label, value)])).collect())
}

/// What the session reads power and energy from.
pub(super) fn sources(section: &Section) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(power) = &section.power {
        findings.push(Finding {
            what: "power".to_owned(),
            value: format!("objects below {}", power.oid.base()),
            is_used: true,
            why: if power.digits.is_some() {
                "scaled by the digits that the device states".to_owned()
            } else {
                format!("{} W a count", power.watts)
            },
        });
    }
    if let Some(energy) = &section.energy {
        findings.push(Finding {
            what: "energy counter".to_owned(),
            value: format!("objects below {}", energy.oid.base()),
            is_used: true,
            why: if energy.digits.is_some() {
                "scaled by the digits that the device states".to_owned()
            } else {
                format!("{} Wh a count; the total is anchored to it", energy.watt_hours)
            },
        });
    }
    if let (Some(current), None) = (&section.current, &section.power) {
        findings.push(Finding {
            what: "current".to_owned(),
            value: format!("objects below {}", current.oid.base()),
            is_used: true,
            why: "the device says no watts".to_owned(),
        });
    }
    findings
}
