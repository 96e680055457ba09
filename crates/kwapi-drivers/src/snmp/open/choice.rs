//! Which of a device's tables is read: by what they report, not by being there. A table of -1 hides the one with the
//! truth (an APC AP7900B), outlets that have names and no sensors hide the inlet that is measured (Raritan's 1000
//! series).

use std::sync::Arc;

use async_snmp::Oid;
use kwapi_core::{NoReading, Reading};

use crate::driver::{DriverError, Finding};

use super::super::agent::Agent;
use super::super::config::SnmpConfig;
use super::super::interpret::{self, ColumnValues, Usefulness};
use super::super::known::{Chosen, ListedRow, ROWS_MAX};
use super::super::profile::{Field, Profile, ProfileKind, Section};

/// A column whose index stands in the middle of its OIDs is walked with its neighbours: a dozen a row.
const WALKED_MAX: usize = 16 * ROWS_MAX;

/// Looks at all kinds of things that these profiles have until one has watts, and chooses the most useful: outlets
/// before inlets, and of two profiles the first, where they are equally so. Also returns what was skipped, and why.
pub(super) async fn all(
    config: &SnmpConfig,
    profiles: &[Arc<Profile>],
    agent: &mut Agent,
) -> Result<(Option<Chosen>, Vec<Finding>), DriverError> {
    let mut best: Option<Chosen> = None;
    let mut passed_over: Vec<Chosen> = Vec::new();
    let mut findings = Vec::new();
    let mut refused = None;
    'kinds: for kind in ProfileKind::ALL {
        for profile in profiles {
            let Some(section) = profile.section(kind) else { continue };
            if config.unit.is_some() && section.unit_at.is_none() {
                continue;
            }
            let surveyed = match survey(config, profile, kind, section, agent).await {
                Ok(surveyed) => surveyed,
                Err(error @ DriverError::Link(_)) => return Err(error),
                // One table that is kept from us costs no other.
                Err(error) => {
                    let why = error.into_message();
                    refused.get_or_insert(why.clone());
                    findings.push(passed(profile, kind, why));
                    continue;
                }
            };
            if surveyed.rows.is_empty() {
                continue;
            }
            if best.as_ref().is_none_or(|best| surveyed.usefulness > best.usefulness) {
                passed_over.extend(best.replace(surveyed));
            } else {
                passed_over.push(surveyed);
            }
            if best.as_ref().is_some_and(|best| best.usefulness == Usefulness::Watts) {
                break 'kinds;
            }
        }
    }
    if let (None, Some(why)) = (&best, refused) {
        return Err(DriverError::Refused(why));
    }
    if let Some(best) = &best {
        for other in passed_over {
            findings.push(Finding {
                what: format!("{} by {}", other.kind.plural(), other.profile),
                value: format!("{}, {}", other.rows.len(), other.usefulness.describe()),
                is_used: false,
                why: format!("the {} report {}", best.kind.plural(), best.usefulness.describe()),
            });
        }
    }
    Ok((best, findings))
}

fn passed(profile: &Profile, kind: ProfileKind, why: String) -> Finding {
    let what = format!("{} by {}", kind.plural(), profile.name);
    Finding { what, value: String::new(), is_used: false, why }
}

async fn survey(
    config: &SnmpConfig,
    profile: &Profile,
    kind: ProfileKind,
    section: &Section,
    agent: &mut Agent,
) -> Result<Chosen, DriverError> {
    let mut indexes = list(config, profile, kind, section, agent).await?;
    if let Some(unit) = config.unit {
        indexes.retain(|index| section.unit_of(index) == Some(unit));
    }
    let (section, rows) = adapt(section, &indexes, agent).await?;
    let readings: Vec<_> = rows.iter().map(|row| interpret::reading(&section, row)).collect();
    let listed = indexes.into_iter().zip(&rows).zip(&readings).map(|((index, row), reading)| ListedRow {
        index,
        label: interpret::label(row),
        is_reported: is_reported(reading),
    });
    Ok(Chosen {
        profile: profile.name.clone(),
        kind,
        usefulness: Usefulness::of(&readings),
        rows: listed.collect(),
        section: Arc::new(section),
    })
}

/// Whether a device reports something of a row, if only that it cannot measure now.
pub(in crate::snmp) fn is_reported(reading: &Result<Reading, NoReading>) -> bool {
    !matches!(reading, Err(NoReading::NoSuchOutlet(_)))
}

/// The rows there are of one kind of thing.
async fn list(
    config: &SnmpConfig,
    profile: &Profile,
    kind: ProfileKind,
    section: &Section,
    agent: &mut Agent,
) -> Result<Vec<Vec<u32>>, DriverError> {
    if section.index_length == 0 {
        return Ok(vec![Vec::new()]);
    }
    for listing in section.listings() {
        let limit = if listing.is_last() { ROWS_MAX + 1 } else { WALKED_MAX };
        let walked = agent.walk(listing.base(), profile.max_repetitions, limit).await?;
        let rows = section.rows(listing, walked.rows.iter().map(|(oid, value)| (oid, value)));
        if walked.is_cut || rows.len() > ROWS_MAX {
            return Err(DriverError::Refused(format!(
                "{} lists more than {ROWS_MAX} {}; name the ones to read",
                config.address(),
                kind.plural()
            )));
        }
        if !rows.is_empty() {
            return Ok(rows);
        }
    }
    Ok(Vec::new())
}

/// The section as the device has it of whose these rows are, and what they report.
pub(super) async fn adapt(
    section: &Section,
    indexes: &[Vec<u32>],
    agent: &mut Agent,
) -> Result<(Section, Vec<ColumnValues>), DriverError> {
    let reports_watts = |field: Field| {
        !matches!(
            field,
            Field::Voltage
                | Field::VoltageDigits
                | Field::Current
                | Field::CurrentDigits
                | Field::LineCurrent
        )
    };
    let has_other = section.current.is_some() || section.line_current.is_some();
    if section.power.is_some() {
        let rows = read(section, indexes, reports_watts, agent).await?;
        let readings: Vec<_> = rows.iter().map(|row| interpret::reading(section, row)).collect();
        let usefulness = Usefulness::of(&readings);
        if usefulness == Usefulness::Zeros && section.current.is_some() {
            // A column that the firmware never fills looks like an idle device: its amperes show otherwise.
            let by_current = Section { power: None, energy: None, line_current: None, ..section.clone() };
            let reported = read(&by_current, indexes, |_| true, agent).await?;
            let readings: Vec<_> = reported.iter().map(|row| interpret::reading(&by_current, row)).collect();
            if Usefulness::of(&readings) >= Usefulness::Load {
                return Ok((by_current, reported));
            }
        }
        if usefulness > Usefulness::Nothing || !has_other {
            return Ok((Section { line_current: None, ..section.clone() }, rows));
        }
    }
    let rows = read(section, indexes, |_| true, agent).await?;
    let adapted = interpret::on_device(section, &rows);
    if adapted.current.as_ref().map(|current| &current.oid)
        == section.current.as_ref().map(|current| &current.oid)
    {
        return Ok((adapted, rows));
    }
    let rows = read(&adapted, indexes, |_| true, agent).await?;
    Ok((adapted, rows))
}

async fn read(
    section: &Section,
    indexes: &[Vec<u32>],
    is_wanted: impl Fn(Field) -> bool,
    agent: &mut Agent,
) -> Result<Vec<ColumnValues>, DriverError> {
    let columns = section.columns();
    let columns: Vec<_> = columns.into_iter().filter(|(field, _)| is_wanted(*field)).collect();
    let oids: Vec<Oid> =
        indexes.iter().flat_map(|index| columns.iter().map(|(_, column)| column.at(index))).collect();
    let mut values = agent.get_cautiously(&oids).await?.into_iter();
    let row = |_| columns.iter().map(|(field, _)| *field).zip(values.by_ref()).collect();
    Ok(indexes.iter().map(row).collect())
}
